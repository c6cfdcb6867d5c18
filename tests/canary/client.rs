//! Clients of the system: programs with a token, and browsers. All that comes back to them is a place.

use crate::places::{Kind, Places};
use aperium_tests::canary::Planted;
use aperium_tests::http::{self, Reply};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use url::form_urlencoded;

/// A client of one address.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) base: String,
    places: Places,
    planted: Planted,
    cookies: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Client {
    pub(crate) fn new(base: &str, places: &Places, planted: &Planted) -> Self {
        let (places, planted) = (places.clone(), planted.clone());
        Self { base: base.to_owned(), places, planted, cookies: Arc::default() }
    }

    /// Another browser at the same address.
    pub(crate) fn another(&self) -> Self {
        Self { cookies: Arc::default(), ..self.clone() }
    }

    /// Where it connects to.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.base.trim_start_matches("http://").parse().expect("an address")
    }

    /// Sends a request with the cookies; what comes back is seen, the value of a cookie aside: that is its owner's.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let reply = self.send_unseen(method, path, headers, body).await;
        let mut text = format!("{}\n", reply.status);
        for (name, value) in reply.headers.iter().filter(|(name, _)| *name != "set-cookie") {
            text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
        }
        let bytes = [text.as_bytes(), &reply.body].concat();
        self.places.add(Kind::Answer, format!("{method} {}", path.split('?').next().unwrap_or_default()), bytes);
        reply
    }

    /// The same for the one answer that a secret belongs in.
    pub(crate) async fn send_unseen(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let cookies = self.cookies.lock().expect("a lock").clone();
        let cookies: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let mut headers = headers.to_vec();
        headers.extend((!cookies.is_empty()).then_some(("cookie", cookies.as_str())));
        let url = format!("{}{path}", self.base);
        let request = http::request(method, &url, &headers, Bytes::from(body.to_owned()));
        let reply = http::send(request).await.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        for line in reply.headers.get_all("set-cookie") {
            let line = line.to_str().expect("a cookie");
            let (name, value) = line.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            let mut cookies = self.cookies.lock().expect("a lock");
            if value.is_empty() {
                cookies.remove(name);
            } else {
                self.planted.notice(&format!("cookie {name}"), value);
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        reply
    }

    /// A request of a program with this token, or with none.
    pub(crate) async fn ask(&self, token: &str, method: &str, path: &str, body: &Value) -> Reply {
        let authorization = format!("Bearer {token}");
        let mut headers = vec![("accept", "application/json, text/event-stream")];
        headers.extend((!token.is_empty()).then_some(("authorization", authorization.as_str())));
        if body.is_null() {
            return self.send(method, path, &headers, "").await;
        }
        headers.push(("content-type", "application/json"));
        self.send(method, path, &headers, &body.to_string()).await
    }

    /// The same without a token, of a program that may not listen yet.
    pub(crate) async fn try_ask(&self, method: &str, path: &str) -> Option<Reply> {
        http::send(http::request(method, &format!("{}{path}", self.base), &[], Bytes::new())).await.ok()
    }

    /// A call of a tool in either era.
    pub(crate) async fn call(&self, token: &str, stateless: bool, tool: &str, arguments: &Value) -> Reply {
        let mut params = json!({"name": tool, "arguments": arguments});
        let authorization = format!("Bearer {token}");
        let mut headers = vec![("accept", "application/json, text/event-stream"), ("content-type", "application/json")];
        headers.extend((!token.is_empty()).then_some(("authorization", authorization.as_str())));
        if stateless {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                "io.modelcontextprotocol/clientInfo": {"name": "canary", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {},
            });
            headers.extend([("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", tool)]);
        }
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        self.send("POST", "/v1/mcp", &headers, &body.to_string()).await
    }

    /// Opens a page.
    pub(crate) async fn open(&self, path: &str) -> Reply {
        self.led(path, "none").await
    }

    /// Opens a page, led there by a page of such a site.
    pub(crate) async fn led(&self, path: &str, site: &str) -> Reply {
        let headers = [
            ("accept", "text/html"),
            ("sec-fetch-site", site),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        self.send("GET", path, &headers, "").await
    }

    /// Sends a form of a page of ours.
    pub(crate) async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "text/html"),
            ("origin", self.base.as_str()),
            ("sec-fetch-site", "same-origin"),
        ];
        self.send("POST", path, &headers, &query(fields)).await
    }

    /// What protects the forms of a page.
    pub(crate) async fn csrf(&self, path: &str) -> String {
        let page = self.open(path).await;
        let (_, rest) =
            page.text().split_once("name=\"csrf\" value=\"").unwrap_or_else(|| panic!("no form: {}", page.text()));
        rest.split('"').next().unwrap_or_default().to_owned()
    }
}

/// Fields of a form, or of a query.
pub(crate) fn query(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}
