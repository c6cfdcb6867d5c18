use super::*;
use axum::response::Response;
use http::{StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::value::RawValue;

async fn read(response: Response) -> (u16, serde_json::Value) {
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn before_a_message_is_known_failures_are_plain_http() {
    let (status, body) = read(Failure::NoRole.respond(None, false)).await;
    assert_eq!((status, body), (403, serde_json::json!({ "error": "access denied: no role granted" })));
    let response = Failure::Unauthenticated { presented: true }.respond(None, false);
    assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer error=\"invalid_token\"");
}

#[tokio::test]
async fn an_unknown_method_is_404_only_under_the_stateless_protocol() {
    let id: Box<RawValue> = serde_json::from_str("\"a\"").unwrap();
    let failure = Failure::MethodNotFound("x".into());
    let (status, body) = read(failure.respond(Some(&id), true)).await;
    assert_eq!((status, &body["id"], &body["error"]["code"]), (404, &"a".into(), &(-32601).into()));
    assert_eq!(read(failure.respond(Some(&id), false)).await.0, 200);
}

#[tokio::test]
async fn an_unsupported_version_names_the_supported_ones_and_the_one_asked_for() {
    let (status, body) = read(Failure::UnsupportedVersion("v9".into()).respond(None, true)).await;
    assert_eq!((status, &body["error"]["code"]), (400, &(-32022).into()));
    assert_eq!(body["error"]["data"]["requested"], "v9");
    assert_eq!(body["error"]["data"]["supported"][0], "2026-07-28");
}

#[test]
fn the_cause_of_an_outage_stays_inside() {
    let failure = Failure::AuthenticationDown("connect 10.0.0.1:443 refused".into());
    assert!(!failure.to_string().contains("10.0.0.1"));
    assert_eq!(failure.inside(), Some("connect 10.0.0.1:443 refused"));
}

/// One of each. The compiler does not check it: who adds a variant adds it here.
fn every() -> Vec<Failure> {
    let said = || "name the field".to_owned();
    vec![
        Failure::Host,
        Failure::Origin,
        Failure::InternalHeader("x-aperium-user".into()),
        Failure::Unauthenticated { presented: false },
        Failure::AuthenticationDown("10.0.0.1:443".into()),
        Failure::NoRole,
        Failure::NotFound,
        Failure::NotAdmin,
        Failure::Forbidden(said()),
        Failure::InsufficientScope("mcp".into()),
        Failure::NoTenant,
        Failure::TooMany(said()),
        Failure::BadGateway(said()),
        Failure::Rejected(said()),
        Failure::Invalid(said()),
        Failure::Conflict(said()),
        Failure::Stale(said()),
        Failure::Unavailable { outside: "try again later", inside: "10.0.0.1:443".into() },
        Failure::Proxy(ProxyError::Upgrade),
        Failure::UnknownSession,
        Failure::NotAsked,
        Failure::Method,
        Failure::MediaType,
        Failure::NotAcceptable,
        Failure::TooLarge(1),
        Failure::Body(StatusCode::REQUEST_TIMEOUT),
        Failure::Parse("Parse error: malformed JSON at line 1 column 2".into()),
        Failure::InvalidRequest("`method` is missing"),
        Failure::MethodNotFound("x".into()),
        Failure::InvalidParams(said()),
        Failure::MissingMeta("a field"),
        Failure::TooManySubscriptions,
        Failure::HeaderMismatch("Mcp-Name and params.name differ".into()),
        Failure::UnsupportedVersion("v9".into()),
        Failure::UnknownTool("x".into()),
        Failure::UnknownPrompt("x".into()),
        Failure::UnknownResource("x".into()),
        Failure::UnknownTemplate("x".into()),
    ]
}

#[tokio::test]
async fn every_failure_is_answered_with_its_own_message_on_one_line_and_nothing_from_inside() {
    let failures = every();
    let mut kinds: Vec<_> = failures.iter().map(std::mem::discriminant).collect();
    kinds.dedup();
    assert_eq!(kinds.len(), failures.len(), "one of each");
    let mut messages = std::collections::HashSet::new();
    for failure in failures {
        let message = failure.to_string();
        assert!(message.len() > 8 && message.len() < 160 && !message.contains('\n'), "{message:?}");
        for stateless in [false, true] {
            let (status, body) = read(failure.respond(None, stateless)).await;
            let (text, code) = (body["error"]["message"].as_str().or(body["error"].as_str()), &body["error"]["code"]);
            assert_eq!(text, Some(&*message), "{failure:?}");
            assert!(status >= 400 || code.as_i64().is_some_and(|code| code < 0), "{failure:?}: {status} {body}");
            assert!(!body.to_string().contains("10.0.0.1"), "{body}");
        }
        let (_, body) = read(failure.respond_api("request-1")).await;
        assert_eq!((&body["error"], &body["request_id"]), (&message.as_str().into(), &"request-1".into()));
        messages.insert(message);
    }
    assert!(messages.len() > 25, "they can be told apart: {messages:?}");
}
