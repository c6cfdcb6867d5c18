//! The connector against answers that a well-behaved server never gives; the real server is in `tests/prefect.rs`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aperium_core::egress::{EgressRules, LoopbackOpening, Reach};
use aperium_core::id::RequestId;
use aperium_platform::egress::{EgressPolicy, ExternalClient, GuardedDialer};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{ID, Prefect, Settings};
use crate::connector::{Connector as _, ErrorCode, ToolError, Upstream, UpstreamParts};

/// An upstream with these credentials, whose loopback is open.
pub(super) fn upstream(fields: &[(&str, &str)]) -> Upstream {
    let rules = EgressRules { loopback: Some(LoopbackOpening::default()), ..EgressRules::default() };
    let policy = EgressPolicy::new(rules).unwrap();
    let parts = UpstreamParts {
        fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect(),
        settings: Arc::new(Settings::default()),
        http: ExternalClient::new(policy.clone(), Reach::Admin).unwrap(),
        dialer: GuardedDialer::new(policy, Reach::Admin),
        local: false,
    };
    Upstream::new(parts, RequestId::accept(Some("request-1")), Instant::now() + Duration::from_secs(30))
}

async fn call(up: &Upstream, tool: &str, arguments: Value) -> Result<Value, ToolError> {
    let prefect = Prefect::new();
    let tool = prefect.tools().iter().find(|candidate| candidate.name() == tool).unwrap();
    tool.call(up, arguments).await
}

/// A server that wants no CSRF tokens and answers one request in one way.
async fn answering(verb: &str, endpoint: &str, answer: ResponseTemplate) -> (MockServer, Upstream) {
    let server = MockServer::start().await;
    let off = ResponseTemplate::new(422).set_body_json(json!({"detail": "CSRF protection is disabled."}));
    Mock::given(path("/api/csrf-token")).respond_with(off).expect(0..=1).mount(&server).await;
    Mock::given(method(verb)).and(path(endpoint)).respond_with(answer).expect(1).mount(&server).await;
    let url = format!("{}/api", server.uri());
    let headers = r#"{"X-Door": "d00rkey"}"#;
    let up = upstream(&[("api_url", &url), ("auth_string", "admin:g3heim"), ("custom_headers", headers)]);
    (server, up)
}

async fn list_flows_answered(answer: ResponseTemplate) -> ToolError {
    let (_server, up) = answering("POST", "/api/flows/filter", answer).await;
    call(&up, "prefect_list_flows", json!({})).await.unwrap_err()
}

#[test]
fn every_tool_accepts_its_example_and_promises_the_limits_that_hold() {
    let prefect = Prefect::new();
    assert_eq!(prefect.tools().len(), 17);
    for tool in prefect.tools() {
        assert!(tool.name().starts_with("prefect_"));
        tool.accepts(tool.example_arguments().unwrap().clone()).unwrap();
        let properties = tool.input_schema()["properties"].clone();
        if properties.get("limit").is_some() {
            let max = properties["limit"]["maximum"].as_u64().unwrap();
            assert!(tool.accepts(json!({"limit": max + 1, "flow_run": ID})).is_err(), "{}", tool.name());
        }
        assert!(tool.accepts(json!({"bogus": 1})).is_err(), "{}", tool.name());
    }
}

#[tokio::test]
async fn statuses_become_codes_with_prefects_reason_and_wait() {
    let detail = |status| ResponseTemplate::new(status).set_body_json(json!({"detail": "because"}));
    for (status, code) in [
        (400, ErrorCode::InvalidArgument),
        (401, ErrorCode::AuthFailed),
        (403, ErrorCode::Forbidden),
        (404, ErrorCode::NotFound),
        (409, ErrorCode::Conflict),
        (422, ErrorCode::InvalidArgument),
        (500, ErrorCode::Upstream),
        (503, ErrorCode::UpstreamUnavailable),
    ] {
        let error = list_flows_answered(detail(status)).await;
        assert_eq!((error.code, error.upstream_status), (code, Some(status)));
        assert!(error.message.contains("because"), "{}", error.message);
    }
    let error = list_flows_answered(detail(429).insert_header("retry-after", "17")).await;
    assert_eq!((error.code, error.retry_after), (ErrorCode::RateLimited, Some(Duration::from_secs(17))));
}

#[tokio::test]
async fn an_answer_that_echoes_the_credentials_is_not_shown() {
    for echoed in ["admin:g3heim", "password g3heim is wrong", "X-Door: d00rkey"] {
        let error = list_flows_answered(ResponseTemplate::new(401).set_body_json(json!({"detail": echoed}))).await;
        assert_eq!(error.code, ErrorCode::AuthFailed);
        assert!(!error.message.contains("g3heim") && !error.message.contains("d00rkey"), "{}", error.message);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_even_to_the_same_host() {
    let elsewhere = ResponseTemplate::new(307).insert_header("location", "/api/flows/filter/");
    let error = list_flows_answered(elsewhere).await;
    assert_eq!((error.code, error.upstream_status), (ErrorCode::Upstream, Some(307)));
    assert!(error.message.contains("api_url"));
}

#[tokio::test]
async fn answers_that_are_no_prefect_answers_are_errors_and_not_empty_lists() {
    for body in ["", "<html>Sign in</html>", "{}", "[{\"id\": 1}]", "[", "null", &"[".repeat(100_000)] {
        let error = list_flows_answered(ResponseTemplate::new(200).set_body_string(body)).await;
        assert_eq!(error.code, ErrorCode::Upstream, "{body:.20}");
    }
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_not_read_to_its_end() {
    let error = list_flows_answered(ResponseTemplate::new(200).set_body_bytes(vec![b' '; 9 * 1024 * 1024])).await;
    assert_eq!(error.code, ErrorCode::TooLarge);
}

#[tokio::test]
async fn a_server_that_answers_with_more_than_asked_for_does_not_make_a_page_longer() {
    let flows: Vec<Value> = (0..60).map(|n| json!({"id": uuid::Uuid::new_v4(), "name": format!("f{n}")})).collect();
    let (_server, up) = answering("POST", "/api/flows/filter", ResponseTemplate::new(200).set_body_json(flows)).await;
    let page = call(&up, "prefect_list_flows", json!({"limit": 5})).await.unwrap();
    assert_eq!(page["items"].as_array().unwrap().len(), 5);
    assert_eq!(page["truncated"], true);
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_sent_once_and_its_outcome_is_unknown() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut requests = Vec::new();
        // The CSRF question gets an answer, everything else a closed connection.
        while let Ok(Ok((mut stream, _))) = tokio::time::timeout(Duration::from_secs(2), listener.accept()).await {
            let mut buffer = vec![0; 4096];
            let length = stream.read(&mut buffer).await.unwrap();
            let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if request.starts_with("GET /api/csrf-token") {
                use tokio::io::AsyncWriteExt as _;
                let answer = b"HTTP/1.1 422 no\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                stream.write_all(answer).await.unwrap();
            }
            requests.push(request);
        }
        requests
    });
    let up = upstream(&[("api_url", &url)]);
    let error = call(&up, "prefect_run_deployment", json!({"deployment": ID})).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::OutcomeUnknown, "{error}");
    let requests = server.await.unwrap();
    let writes: Vec<&String> = requests.iter().filter(|request| request.starts_with("POST")).collect();
    assert_eq!(writes.len(), 1, "{requests:?}");
    assert!(writes[0].contains("\"idempotency_key\":\"request-1\""), "{}", writes[0]);
}

#[tokio::test]
async fn a_write_that_could_not_be_sent_or_was_answered_oddly_says_which() {
    // Nobody listens: nothing was sent.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/accounts/a/workspaces/w", listener.local_addr().unwrap());
    drop(listener);
    let error = call(&upstream(&[("api_url", &url)]), "prefect_cancel_flow_run", json!({"flow_run": ID})).await;
    assert_eq!(error.unwrap_err().code, ErrorCode::UpstreamUnavailable);
    let endpoint = format!("/api/flow_runs/{ID}/set_state");
    for odd in [ResponseTemplate::new(200).set_body_string("<html>"), ResponseTemplate::new(502)] {
        let (_server, up) = answering("POST", &endpoint, odd).await;
        let error = call(&up, "prefect_cancel_flow_run", json!({"flow_run": ID})).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::OutcomeUnknown, "{error}");
    }
}

#[tokio::test]
async fn parameters_that_do_not_fit_are_the_callers_to_change_and_other_conflicts_are_not() {
    let endpoint = format!("/api/deployments/{ID}/create_flow_run");
    for (detail, code) in [
        ("Error creating flow run: Validation failed for field 'n'.", ErrorCode::InvalidArgument),
        ("Something else", ErrorCode::Conflict),
    ] {
        let answer = ResponseTemplate::new(409).set_body_json(json!({"detail": detail}));
        let (_server, up) = answering("POST", &endpoint, answer).await;
        let error = call(&up, "prefect_run_deployment", json!({"deployment": ID})).await.unwrap_err();
        assert_eq!(error.code, code, "{error}");
    }
}

#[tokio::test]
async fn a_csrf_token_is_fetched_once_sent_with_each_post_and_asked_for_anew_when_it_is_refused() {
    let server = MockServer::start().await;
    let token = json!({"token": "t0ken", "client": "c", "expiration": "2999-01-01T00:00:00Z"});
    let answer = ResponseTemplate::new(200).set_body_json(token);
    Mock::given(path("/csrf-token")).respond_with(answer).expect(2).mount(&server).await;
    let refusal =
        ResponseTemplate::new(403).set_body_json(json!({"detail": "Invalid CSRF token or client identifier."}));
    let refused = Mock::given(path("/flows/filter")).respond_with(refusal).up_to_n_times(1).expect(1);
    let good = ResponseTemplate::new(200).set_body_json(json!([]));
    let accepted = Mock::given(path("/flows/filter")).and(header("prefect-csrf-token", "t0ken")).respond_with(good);
    refused.mount(&server).await;
    accepted.expect(2).mount(&server).await;
    let up = upstream(&[("api_url", &server.uri())]);
    let error = call(&up, "prefect_list_flows", json!({})).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Forbidden, "the refused call is not repeated");
    for _ in 0..2 {
        call(&up, "prefect_list_flows", json!({})).await.unwrap();
    }
}

#[tokio::test]
async fn a_call_that_is_abandoned_while_the_server_is_slow_does_not_hold_up_the_next() {
    let server = MockServer::start().await;
    let off = || ResponseTemplate::new(422);
    let slow = Mock::given(path("/csrf-token")).respond_with(off().set_delay(Duration::from_secs(60)));
    slow.up_to_n_times(1).expect(1).mount(&server).await;
    Mock::given(path("/csrf-token")).respond_with(off()).expect(1).mount(&server).await;
    let good = ResponseTemplate::new(200).set_body_json(json!([]));
    Mock::given(path("/flows/filter")).respond_with(good).expect(1).mount(&server).await;
    let up = upstream(&[("api_url", &server.uri())]);
    let abandoned = tokio::time::timeout(Duration::from_millis(300), call(&up, "prefect_list_flows", json!({}))).await;
    assert!(abandoned.is_err());
    let next = tokio::time::timeout(Duration::from_secs(10), call(&up, "prefect_list_flows", json!({}))).await;
    next.unwrap().unwrap();
}

#[tokio::test]
async fn a_wrong_address_is_told_from_a_server_that_is_down() {
    for answer in [ResponseTemplate::new(404), ResponseTemplate::new(200).set_body_string("<html>")] {
        let (_server, up) = answering("GET", "/api/admin/version", answer).await;
        let error = Prefect::new().probe(&up).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidArgument, "{error}");
        assert!(error.message.contains("api_url"));
    }
    let (_server, up) = answering("GET", "/api/admin/version", ResponseTemplate::new(503)).await;
    assert_eq!(Prefect::new().probe(&up).await.unwrap_err().code, ErrorCode::UpstreamUnavailable);
}

#[tokio::test]
async fn a_private_address_that_no_rule_opens_is_never_dialled() {
    let policy = EgressPolicy::new(EgressRules::default()).unwrap();
    let parts = UpstreamParts {
        fields: [("api_url".to_owned(), "http://169.254.169.254/api".into())].into_iter().collect(),
        settings: Arc::new(Settings::default()),
        http: ExternalClient::new(policy.clone(), Reach::Admin).unwrap(),
        dialer: GuardedDialer::new(policy, Reach::Admin),
        local: false,
    };
    let up = Upstream::new(parts, RequestId::accept(None), Instant::now() + Duration::from_secs(5));
    assert_eq!(Prefect::new().probe(&up).await.unwrap_err().code, ErrorCode::Forbidden);
}
