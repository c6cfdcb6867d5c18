//! Liveness and readiness: named checks in, the answers of `/healthz` and `/readyz` out.

use std::collections::BTreeMap;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

/// The reason of a check that holds.
pub const OK: &str = "Ok";

/// The outcome of one named check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Does it hold?
    pub ok: bool,
    /// Why, in `PascalCase`; `Ok` if it holds.
    pub reason: String,
    /// For people. Never a secret, never a text from outside as it came.
    pub message: String,
}

/// The answer of `/readyz`: ready if every check holds; without any check it is not ready.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Readiness {
    ready: bool,
    checks: BTreeMap<String, Check>,
    /// Further fields beside `ready` and `checks`, such as `tools`.
    #[serde(flatten)]
    facts: serde_json::Map<String, serde_json::Value>,
}

/// `/healthz`: the process runs and answers. It says nothing about upstreams.
pub async fn healthz() -> Response {
    ([(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], "ok\n").into_response()
}

// === impl Check ===

impl Check {
    /// A check that holds.
    #[must_use]
    pub fn ok(message: impl Into<String>) -> Self {
        Self { ok: true, reason: OK.to_owned(), message: message.into() }
    }

    /// A check that does not.
    #[must_use]
    pub fn failed(reason: &str, message: impl Into<String>) -> Self {
        Self { ok: false, reason: reason.to_owned(), message: message.into() }
    }
}

// === impl Readiness ===

impl Readiness {
    /// Nothing checked yet, so not ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check.
    #[must_use]
    pub fn check(mut self, name: &str, outcome: Check) -> Self {
        self.checks.insert(name.to_owned(), outcome);
        self.ready = self.checks.values().all(|check| check.ok);
        self
    }

    /// Adds a field beside `ready` and `checks`; those two names are taken.
    #[must_use]
    pub fn fact(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        if !matches!(name, "ready" | "checks") {
            self.facts.insert(name.to_owned(), value.into());
        }
        self
    }

    /// Does every check hold, and is there one?
    #[must_use]
    pub const fn ready(&self) -> bool {
        self.ready
    }

    /// The checks by name.
    #[must_use]
    pub const fn checks(&self) -> &BTreeMap<String, Check> {
        &self.checks
    }

    /// A further field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&serde_json::Value> {
        self.facts.get(name)
    }
}

impl IntoResponse for Readiness {
    /// 200 if ready, else 503.
    fn into_response(self) -> Response {
        let status = if self.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(self)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use serde_json::json;

    use super::*;

    async fn answer(readiness: Readiness) -> (u16, serde_json::Value) {
        let response = readiness.into_response();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn ready_means_that_every_check_holds() {
        let all = Readiness::new().check("authToken", Check::ok("loaded")).fact("tools", 15);
        let expected = json!({"ready": true, "tools": 15, "checks": {"authToken": {"ok": true, "reason": "Ok", "message": "loaded"}}});
        assert_eq!(answer(all.clone()).await, (200, expected));
        let (status, body) = answer(all.check("credentials", Check::failed("CredentialsMissing", "no field"))).await;
        assert_eq!((status, &body["ready"]), (503, &json!(false)));
        assert_eq!(body["checks"]["credentials"]["reason"], "CredentialsMissing");
    }

    #[tokio::test]
    async fn without_a_check_nothing_is_ready() {
        assert_eq!(answer(Readiness::new().fact("ready", true)).await.0, 503);
    }

    #[tokio::test]
    async fn the_answer_reads_back() {
        let sent = Readiness::new().check("a", Check::failed("B", "c")).fact("toolsDigest", "sha256:x");
        let (_, body) = answer(sent.clone()).await;
        assert_eq!(serde_json::from_value::<Readiness>(body).unwrap(), sent);
    }

    #[tokio::test]
    async fn healthz_is_200() {
        assert_eq!(healthz().await.status(), 200);
    }
}
