//! All that is outside, in one server: MCP servers and HTTP APIs that repeat what they are sent, an authorization server
//! and an issuer that hand out secrets, and a collector of traces.

mod issuer;
mod mirror;

pub(crate) use issuer::{REFUSED, SIGN_IN};
pub(crate) use mirror::TOOLS;

use crate::places::{Kind, Places};
use aperium_tests::canary::Planted;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{StatusCode, header};
use http_body_util::BodyExt as _;
use issuer::Issuer;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;

/// The server.
pub(crate) struct Company {
    pub(crate) address: SocketAddr,
    issuer: Arc<Issuer>,
}

struct Inside {
    places: Places,
    issuer: Arc<Issuer>,
}

/// What a request to it was.
struct Asked {
    parts: http::request::Parts,
    body: String,
}

impl Company {
    #[expect(clippy::disallowed_methods, reason = "a server that the programs of the test alone ask")]
    pub(crate) async fn open(places: &Places, planted: &Planted) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let issuer = Arc::new(Issuer::new(format!("http://{address}"), planted));
        let inside = Arc::new(Inside { places: places.clone(), issuer: Arc::clone(&issuer) });
        let router = Router::new().fallback(answer).with_state(inside);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, issuer }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A token of the issuer for the gateway, for an agent of this person.
    pub(crate) fn agents_token(&self, person: &str, tenant: &str) -> String {
        self.issuer.agents_token(person, tenant)
    }

    /// The next who signs in does so as this person, for this sign-in.
    pub(crate) fn signs_in(&self, person: &str, tenant: &str, nonce: &str) {
        self.issuer.signs_in(person, tenant, nonce);
    }
}

async fn answer(State(inside): State<Arc<Inside>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let asked = Asked { parts, body: String::from_utf8_lossy(&body).into_owned() };
    let path = asked.parts.uri.path().to_owned();
    let told = format!("{} {} {:?}\n{}", asked.parts.method, asked.parts.uri, asked.parts.headers, asked.body);
    let kind = if path == "/v1/traces" { Kind::Trace } else { Kind::Upstream };
    inside.places.add(kind, path.clone(), told);
    match path.split('/').nth(1).unwrap_or_default() {
        "mcp" => mirror::mcp(&asked),
        "people" if inside.issuer.lets_in(&asked) => mirror::mcp(&asked),
        "people" => inside.issuer.challenge(),
        "api" => mirror::api(&asked),
        "v1" => json(StatusCode::OK, &Value::Object(serde_json::Map::new())),
        _ => inside.issuer.answer(&asked),
    }
}

fn json(status: StatusCode, body: &Value) -> Response {
    let builder = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    builder.body(Body::from(body.to_string())).expect("a response")
}
