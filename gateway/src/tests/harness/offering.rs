//! An upstream that offers more than tools, in either era, and answers raw text for what a test gives as text.

use super::upstream::{Fake, Seen, answer, definitions, result};
use crate::era::Era;
use axum::response::Response;
use http::{StatusCode, header};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// What it offers, as JSON text, and how it answers.
#[derive(Debug, Clone)]
pub(in crate::tests) struct Offering {
    pub(in crate::tests) era: Era,
    pub(in crate::tests) capabilities: Value,
    pub(in crate::tests) instructions: Option<&'static str>,
    /// The result of each method, as JSON text; a method that is not named here gives the echo of its parameters.
    pub(in crate::tests) results: HashMap<&'static str, String>,
}

impl Offering {
    /// Two prompts, two resources, two templates and a tool.
    pub(in crate::tests) fn new(era: Era) -> Self {
        let results = [
            ("tools/list", json!({ "tools": definitions(&["look"]) })),
            (
                "prompts/list",
                json!({ "prompts": [{ "name": "review", "arguments": [{ "name": "code" }] }, { "name": "a.b" }] }),
            ),
            (
                "resources/list",
                json!({ "resources": [{ "uri": "file:///b.md", "name": "b" }, { "uri": "file:///a.md", "name": "a" }] }),
            ),
            (
                "resources/templates/list",
                json!({ "resourceTemplates": [{ "uriTemplate": "db://{table}/{id}", "name": "rows" }, { "uriTemplate": "log://{+path}", "name": "logs" }] }),
            ),
        ];
        Self {
            era,
            capabilities: json!({ "tools": {}, "prompts": {}, "resources": {}, "completions": {} }),
            instructions: None,
            results: results.into_iter().map(|(method, result)| (method, result.to_string())).collect(),
        }
    }

    /// Answers a method with this text.
    pub(in crate::tests) fn with(mut self, method: &'static str, result: &str) -> Self {
        self.results.insert(method, result.to_owned());
        self
    }

    /// Starts it.
    pub(in crate::tests) async fn start(self) -> Fake {
        let offering = Arc::new(self);
        Fake::start(move |seen| {
            let offering = Arc::clone(&offering);
            async move { offering.answer(&seen) }
        })
        .await
    }

    /// Answers one request.
    pub(in crate::tests) fn answer(&self, seen: &Seen) -> Response {
        let message = seen.json();
        let method = message["method"].as_str().unwrap();
        let (capabilities, instructions) = (&self.capabilities, &self.instructions);
        match (method, self.era) {
            ("server/discover", Era::Stateless) => result(
                seen,
                &json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": capabilities, "instructions": instructions }),
            ),
            ("initialize", Era::Legacy) => result(
                seen,
                &json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities, "serverInfo": { "name": "f", "version": "1" }, "instructions": instructions }),
            ),
            ("server/discover" | "initialize", _) => error(&message, -32601),
            (notification, _) if notification.starts_with("notifications/") => {
                let mut accepted = Response::default();
                *accepted.status_mut() = StatusCode::ACCEPTED;
                accepted
            }
            _ => match self.results.get(method) {
                Some(text) if text.starts_with("error ") => error(&message, text[6..].parse().unwrap()),
                Some(text) => raw(&format!(r#"{{"jsonrpc":"2.0","id":{},"result":{text}}}"#, message["id"])),
                None => result(seen, &json!({ "echo": message["params"] })),
            },
        }
    }
}

fn raw(body: &str) -> Response {
    let mut response = Response::new(body.to_owned().into());
    response.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    response
}

fn error(message: &Value, code: i64) -> Response {
    answer(
        200,
        &json!({ "jsonrpc": "2.0", "id": message["id"], "error": { "code": code, "message": "no", "data": { "uri": message["params"]["uri"] } } }),
    )
}
