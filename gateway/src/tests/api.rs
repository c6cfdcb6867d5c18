use super::harness::*;
use axum::body::Body;
use axum::extract::Request;
use serde_json::json;

/// A request of the API, as the agent.
fn ask(method: &str, path: &str) -> Request {
    let mut request = post(path, "");
    *request.method_mut() = method.parse().unwrap();
    *request.body_mut() = Body::empty();
    request
}

#[tokio::test]
async fn whoami_says_who_one_is_taken_for_and_by_which_grants() {
    let gateway = Setup::default().grant("group:ops", &["odoo/tools/*"]).grant("client:other", &["**"]).start().await;
    let answer = gateway.send(ask("GET", "/api/whoami")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({
            "principal": "client:agent", "tenant": null, "groups": ["ops"], "tags": [], "role": "user", "register": false,
            "grants": [{ "name": "aperium-system/g0", "role": "user", "connectors": ["odoo/tools/*"] }],
        })
    );
}

#[tokio::test]
async fn whoever_is_at_the_machine_is_admin_even_without_a_grant() {
    let gateway = Setup { loopback: true, ..Setup::default() }.start().await;
    let mut request = ask("GET", "/api/whoami");
    request.headers_mut().remove("authorization");
    request.headers_mut().insert("host", "127.0.0.1:8080".parse().unwrap());
    let answer = gateway.send(request).await.json();
    assert_eq!((&answer["role"], &answer["register"]), (&json!("admin"), &json!(true)));
}

#[tokio::test]
async fn an_error_of_the_api_is_json_with_the_request_id() {
    let gateway = Setup::default().start().await;
    let mut request = ask("GET", "/api/whoami");
    request.headers_mut().insert("x-request-id", "r-1".parse().unwrap());
    let answer = gateway.send(request).await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.json(), json!({ "error": "access denied: no role granted", "request_id": "r-1" }));
    let answer = gateway.send(ask("PATCH", "/api/whoami")).await;
    assert_eq!((answer.status, &answer.headers["allow"]), (405, &"GET,HEAD".parse().unwrap()));
    assert_eq!(answer.json()["error"], "method not allowed");
    assert_eq!(gateway.send(ask("GET", "/api/nothing")).await.status, 404);
}
