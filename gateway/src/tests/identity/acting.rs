//! Delegates act for persons: on the in-cluster listener, within what both may do.

use super::*;
use aperium_crds::settings::Delegate;

fn acting(token: &str, path: &str, body: &str, pairs: &[(&'static str, &str)]) -> Request {
    let mut request = post_as(token, path, body);
    if body.is_empty() {
        *request.method_mut() = http::Method::GET;
    }
    for (name, value) in pairs {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

const ALICE: [(&str, &str); 2] = [("x-aperium-tenant", "acme"), ("x-aperium-user", "alice@example.com")];

async fn gateway(fake: &Fake) -> Gateway {
    let mut setup = Setup::default()
        .url("odoo", fake.address, &Value::Null)
        .url("crm", fake.address, &Value::Null)
        .grant("client:agent", &["odoo/tools/*", "crm/tools/search"])
        .grant("user:alice@example.com", &["odoo/tools/search", "crm/tools/write"])
        .grant("user:root@example.com", &["**"]);
    setup.grants[0]["spec"]["role"] = json!("admin");
    setup.grants[2]["spec"]["role"] = json!("admin");
    setup.settings.authentication.delegates =
        vec![serde_json::from_value::<Delegate>(json!({ "subject": "client:agent", "tenants": ["acme"] })).unwrap()];
    setup.start().await
}

#[tokio::test]
async fn a_person_sees_and_calls_what_both_may() {
    let fake = Fake::stateless(&["search", "write"]).await;
    let gateway = gateway(&fake).await;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#;
    let tools = gateway.send_inside(acting(TOKEN, "/v1/mcp", list, &ALICE)).await.json();
    let names: Vec<_> = tools["result"]["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
    assert_eq!(names, ["odoo_search"], "neither what only the one may nor what only the other may");
    for (name, may) in [("odoo_search", true), ("odoo_write", false), ("crm_search", false), ("crm_write", false)] {
        let body = CALL.replace("odoo_search", name);
        let answer = gateway.send_inside(acting(TOKEN, "/v1/mcp", &body, &ALICE)).await.json();
        assert_eq!(answer["error"].is_null(), may, "{name}: {answer}");
    }
    let own = gateway.send_inside(acting(TOKEN, "/v1/mcp", list, &[("x-aperium-tenant", "acme")])).await.json();
    assert_eq!(own["result"]["tools"].as_array().unwrap().len(), 3, "for the tenant alone: what the delegate may");
}

#[tokio::test]
async fn a_person_is_never_admin_and_both_are_named() {
    let fake = Fake::stateless(&["search"]).await;
    let gateway = gateway(&fake).await;
    let (lines, _guard) = Lines::here();
    for person in ["root@example.com", "alice@example.com"] {
        let headers = [("x-aperium-tenant", "acme"), ("x-aperium-user", person)];
        let body = gateway.send_inside(acting(TOKEN, "/api/whoami", "", &headers)).await.json();
        assert_eq!((&body["role"], &body["delegate"]), (&json!("user"), &json!("client:agent")), "{body}");
        assert_eq!((&body["principal"], &body["tenant"]), (&json!(format!("user:{person}")), &json!("acme")));
        assert_eq!(gateway.send_inside(acting(TOKEN, "/api/grants", "", &headers)).await.status, 403);
        let line = lines.access().pop().unwrap();
        assert_eq!((&line["principal"], &line["delegate"]), (&body["principal"], &body["delegate"]));
    }
    assert_eq!(gateway.send_inside(acting(TOKEN, "/api/grants", "", &ALICE[..1])).await.status, 403);
    assert_eq!(gateway.send_inside(acting(TOKEN, "/api/grants", "", &[])).await.status, 200, "for itself it is admin");
}

#[tokio::test]
async fn a_person_asks_why_and_hears_of_what_both_may() {
    let fake = Fake::stateless(&["search", "write"]).await;
    let gateway = gateway(&fake).await;
    for (connector, name, reason) in [
        ("odoo", "search", "granted"),
        ("odoo", "write", "not_granted"),
        ("crm", "search", "not_granted"),
        ("crm", "write", "not_granted_to_delegate"),
    ] {
        let asked = json!({ "connector": connector, "category": "tools", "name": name }).to_string();
        let said = gateway.send_inside(acting(TOKEN, "/api/explain", &asked, &ALICE)).await.json();
        assert_eq!((&said["reason"], &said["allowed"]), (&json!(reason), &json!(reason == "granted")), "{said}");
    }
    let asked = json!({ "connector": "crm", "category": "tools", "name": "search" }).to_string();
    let own = gateway.send_inside(acting(TOKEN, "/api/explain", &asked, &[])).await.json();
    assert_eq!(own["reason"], "granted", "for itself");
}

#[tokio::test]
async fn the_headers_are_400_from_everybody_else_and_everywhere_else() {
    let fake = Fake::stateless(&["search"]).await;
    let gateway = gateway(&fake).await;
    let status = async |token: &str, pairs: &[(&'static str, &str)]| {
        gateway.send_inside(acting(token, "/v1/mcp", CALL, pairs)).await.status
    };
    assert_eq!(status("other-token", &ALICE).await, 400);
    assert_eq!(status("nonsense", &ALICE).await, 401, "inside, authentication comes first");
    assert_eq!(status(TOKEN, &[("x-aperium-admin", "yes")]).await, 400);
    assert_eq!(status(TOKEN, &[("x-aperium-tenant", "beta"), ("x-aperium-user", "alice@example.com")]).await, 403);
    assert_eq!(status(TOKEN, &[("x-aperium-user", "alice@example.com")]).await, 403, "tenants, and none named");
    assert_eq!(status(TOKEN, &[("x-aperium-tenant", "acme"), ("x-aperium-user", "eve@example.com")]).await, 403);
    for token in [TOKEN, "nonsense"] {
        assert_eq!(gateway.send(acting(token, "/v1/mcp", CALL, &ALICE)).await.status, 400, "before authentication");
    }
    assert_eq!(fake.count("tools/call"), 0);
}
