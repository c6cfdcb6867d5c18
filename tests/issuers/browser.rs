//! A browser as far as these tests need one: cookies for each address, redirects, forms.

use aperium_tests::http::{self, Reply};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use url::{Url, form_urlencoded};

/// Redirects of one navigation.
const MAX_REDIRECTS: usize = 12;

/// Cookies, by the authority that set them.
#[derive(Default)]
pub(crate) struct Browser {
    jar: Arc<Mutex<BTreeMap<String, BTreeMap<String, String>>>>,
    at: Mutex<Option<Url>>,
}

impl Clone for Browser {
    /// Another browser with the same cookies.
    fn clone(&self) -> Self {
        let jar = self.jar.lock().expect("a lock").clone();
        Self { jar: Arc::new(Mutex::new(jar)), at: Mutex::default() }
    }
}

impl Browser {
    /// Opens a page and goes wherever it leads.
    pub(crate) async fn follow(&self, url: &str) -> Reply {
        let reply = self.send("GET", url, &[("accept", "text/html"), ("sec-fetch-site", "none")], "").await;
        self.redirected(url, reply).await
    }

    /// Fills in the form that leads to a path of the page's own address, and goes wherever that leads.
    pub(crate) async fn submit(&self, url: &str, fields: &[(&str, &str)]) -> Reply {
        let origin = Url::parse(url).expect("a URL").origin().ascii_serialization();
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "text/html"),
            ("origin", origin.as_str()),
            ("sec-fetch-site", "same-origin"),
        ];
        let reply = self.send("POST", url, &headers, &body).await;
        self.redirected(url, reply).await
    }

    /// One request, with the cookies of its address.
    pub(crate) async fn send(&self, method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let parsed = Url::parse(url).expect("a URL");
        *self.at.lock().expect("a lock") = Some(parsed.clone());
        let cookies = self.jar.lock().expect("a lock").get(parsed.authority()).map(|cookies| {
            cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
        });
        let mut headers = headers.to_vec();
        headers.extend(cookies.as_deref().filter(|text| !text.is_empty()).map(|text| ("cookie", text)));
        let request = http::request(method, url, &headers, Bytes::from(body.to_owned()));
        let reply = http::send(request).await.expect("an answer");
        let mut jar = self.jar.lock().expect("a lock");
        let cookies = jar.entry(parsed.authority().to_owned()).or_default();
        for line in reply.headers.get_all("set-cookie") {
            let line = line.to_str().expect("a cookie");
            let (name, value) = line.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            if value.is_empty() {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        reply
    }

    async fn redirected(&self, url: &str, mut reply: Reply) -> Reply {
        let mut at = Url::parse(url).expect("a URL");
        for _ in 0..MAX_REDIRECTS {
            let Some(to) = reply.header("location").filter(|_| (300..400).contains(&reply.status)) else {
                return reply;
            };
            at = at.join(to).expect("a URL");
            // Nobody listens where agents come back to.
            if at.path() == "/agent" {
                *self.at.lock().expect("a lock") = Some(at);
                return reply;
            }
            reply = self
                .send(
                    "GET",
                    at.as_str(),
                    &[
                        ("accept", "text/html"),
                        ("sec-fetch-site", "cross-site"),
                        ("sec-fetch-mode", "navigate"),
                        ("sec-fetch-dest", "document"),
                    ],
                    "",
                )
                .await;
        }
        panic!("it goes in circles at {at}");
    }

    /// Where it is.
    pub(crate) fn at(&self) -> Url {
        self.at.lock().expect("a lock").clone().expect("a page")
    }
}

/// Where the first form of a page leads.
pub(crate) fn action(page: &Reply) -> String {
    between(page.text(), "action=\"", "\"")
}

/// What stands between two texts.
pub(crate) fn between(text: &str, before: &str, after: &str) -> String {
    let rest = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}")).1;
    rest.split(after).next().unwrap_or_default().to_owned()
}
