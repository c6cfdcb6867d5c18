use super::harness::*;
use axum::body::Body;
use axum::extract::Request;
use serde_json::{Value, json};

/// A request of the API, as the agent.
fn ask(method: &str, path: &str) -> Request {
    let mut request = post(path, "");
    *request.method_mut() = method.parse().unwrap();
    *request.body_mut() = Body::empty();
    request
}

async fn get(gateway: &Gateway, path: &str) -> Value {
    let answer = gateway.send(ask("GET", path)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

/// A gateway that `agent` uses and `other` administers.
async fn gateway(fake: &Fake) -> Gateway {
    let extra = json!({ "description": "orders", "context": { "use": "for orders" }, "labels": ["erp"], "tools": { "hide": ["drop"] } });
    let mut setup = Setup::default()
        .url("odoo", fake.address, &extra)
        .url("hr", fake.address, &json!({ "provider": "notion" }))
        .grant("client:agent", &["odoo/tools/search_*"])
        .grant("client:other", &["hr/**"]);
    setup.grants[1]["spec"]["role"] = json!("admin");
    setup.start().await
}

async fn as_admin(gateway: &Gateway, path: &str, body: Option<&Value>) -> Answer {
    let mut request = post_as("other-token", path, &body.map(ToString::to_string).unwrap_or_default());
    if body.is_none() {
        *request.method_mut() = http::Method::GET;
    }
    gateway.send(request).await
}

const TOOLS: [&str; 3] = ["drop", "search_orders", "write_order"];

#[tokio::test]
async fn connectors_show_what_the_caller_may_use_and_no_address() {
    let fake = Fake::stateless(&TOOLS).await;
    let gateway = gateway(&fake).await;
    let all = get(&gateway, "/api/connectors").await;
    assert!(!all.to_string().contains(&fake.address.to_string()) && all.get("refused").is_none());
    let ids: Vec<_> = all["connectors"].as_array().unwrap().iter().map(|c| (&c["id"], &c["status"])).collect();
    let ready_and_not = json!([["aperture", "no_access"], ["hr", "no_access"], ["odoo", "ready"]]);
    assert_eq!(json!(ids), ready_and_not);
    assert_eq!(all["connectors"][0]["group"], "system");
    let odoo = get(&gateway, "/api/connectors/ODOO").await;
    assert_eq!(
        (&odoo["description"], &odoo["context"]["use"], &odoo["labels"], &odoo["group"], &odoo["provider"]),
        (&json!("orders"), &json!("for orders"), &json!(["erp"]), &json!("custom"), &json!("Custom"))
    );
    let tools = odoo["capabilities"]["tools"].as_array().unwrap();
    let tools: Vec<_> = tools.iter().map(|t| (t["exposed"].as_str().unwrap(), t["accessible"] == true)).collect();
    assert_eq!(tools, [("odoo_search_orders", true), ("odoo_write_order", false)]);
    assert!(odoo.get("admin").is_none() && odoo["last_probe"].is_string());
    assert_eq!(gateway.send(ask("GET", "/api/connectors/nothere")).await.status, 404);
    assert_eq!(gateway.send(ask("GET", "/api/grants")).await.status, 403);
}

#[tokio::test]
async fn admins_see_addresses_refusals_and_grants() {
    let fake = Fake::stateless(&TOOLS).await;
    let gateway = gateway(&fake).await;
    let mut connectors: Vec<Value> =
        gateway.state.snapshot.load().catalog.resources.connectors.iter().map(|c| json!(**c)).collect();
    connectors.push(connector("broken", &json!({ "protocol": "mcp", "url": "https://example.com", "suspend": true })));
    gateway.resources(&connectors, &[json!({ "apiVersion": "aperium.dev/v1alpha1", "kind": "Grant",
        "metadata": { "name": "a", "namespace": "aperium-system" }, "spec": { "subjects": ["client:other"], "role": "admin" } })]).await;
    gateway.until(|snapshot| !snapshot.catalog.refused.is_empty()).await;
    let all = as_admin(&gateway, "/api/connectors", None).await.json();
    assert_eq!(all["refused"][0]["reason"], "Suspended");
    assert_eq!(all["connectors"][1]["admin"]["url"], format!("http://{}/mcp", fake.address));
    assert_eq!(all["connectors"][1]["group"], "verified");
    let grants = as_admin(&gateway, "/api/grants", None).await.json();
    assert_eq!(grants["grants"][0]["spec"]["role"], "admin");
}

#[tokio::test]
async fn refresh_asks_the_upstream_at_once_and_answers_with_what_it_says() {
    let tools = std::sync::Arc::new(std::sync::Mutex::new(definitions(&["search_a"])));
    let list = std::sync::Arc::clone(&tools);
    let fake = Fake::start(move |seen| {
        let tools = list.lock().unwrap().clone();
        async move { stateless(&seen, &tools) }
    })
    .await;
    let slow = json!({ "discovery": { "periodSeconds": 600, "timeoutSeconds": 1 } });
    let gateway = Setup::default()
        .url("odoo", fake.address, &slow)
        .grant("client:agent", &["odoo/**"])
        .grant("client:other", &["x/**"])
        .start()
        .await;
    *tools.lock().unwrap() = definitions(&["search_a", "search_b"]);
    let answer = gateway.send(post("/api/connectors/odoo/refresh", "")).await;
    assert_eq!(answer.json()["capabilities"]["tools"].as_array().unwrap().len(), 2);
    let other = gateway.send(post_as("other-token", "/api/connectors/odoo/refresh", "")).await;
    assert_eq!(other.status, 404, "whoever is granted nothing there makes nobody ask");
}

#[tokio::test]
async fn whoever_refreshes_again_and_again_makes_no_flood() {
    let fake = Fake::stateless(&["search_a"]).await;
    let slow = json!({ "discovery": { "periodSeconds": 600, "timeoutSeconds": 1 } });
    let gateway = Setup::default().url("odoo", fake.address, &slow).grant("client:agent", &["odoo/**"]).start().await;
    let again = async {
        loop {
            assert_eq!(gateway.send(post("/api/connectors/odoo/refresh", "")).await.status, 200);
        }
    };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), again).await;
    let polls = fake.count("tools/list");
    assert!((2..=6).contains(&polls), "{polls} polls in a second");
}

#[tokio::test]
async fn explain_says_who_may_do_what_and_by_which_grant() {
    let fake = Fake::stateless(&TOOLS).await;
    let gateway = gateway(&fake).await;
    let mine = async |category: &str, name: &str| {
        let body = json!({ "connector": "odoo", "category": category, "name": name });
        gateway.post("/api/explain", &body.to_string()).await.json()
    };
    let granted = mine("tools", "odoo_search_orders").await;
    assert_eq!(
        (&granted["allowed"], &granted["name"], &granted["grants"][0]["grant"], &granted["grants"][0]["pattern"]),
        (&json!(true), &json!("search_orders"), &json!("aperium-system/g0"), &json!("odoo/tools/search_*"))
    );
    assert!(granted.get("everyone").is_none());
    assert_eq!(mine("tools", "write_order").await["reason"], "not_granted");
    assert_eq!(mine("tools", "drop").await["reason"], "unknown_name", "a hidden tool is unknown to others");
    assert_eq!(mine("proxy", "").await["reason"], "not_granted");
    assert_eq!(
        mine("nonsense", "x").await["error"],
        "`category` must be tools, prompts, resources, templates or proxy"
    );
    let other = json!({ "as": ["client:agent"], "connector": "odoo", "category": "tools", "name": "drop" });
    assert_eq!(gateway.post("/api/explain", &other.to_string()).await.status, 403);
    let told = as_admin(&gateway, "/api/explain", Some(&other)).await.json();
    assert_eq!(told["reason"], "hidden");
    let stranger =
        json!({ "as": ["user:eve@example.com"], "connector": "odoo", "category": "tools", "name": "search_x" });
    let told = as_admin(&gateway, "/api/explain", Some(&stranger)).await.json();
    assert_eq!((&told["reason"], &told["everyone"][0]["subjects"][0]), (&json!("no_role"), &json!("client:agent")));
}

#[tokio::test]
async fn a_body_that_is_not_wanted_is_refused_without_being_quoted() {
    let gateway = Setup::default().grant("client:agent", &["**"]).start().await;
    let refuse = async |body: &str| {
        let answer = gateway.post("/api/explain", body).await;
        (answer.status, answer.json()["error"].as_str().unwrap().to_owned())
    };
    assert_eq!(refuse("{").await.1, "the body: malformed JSON at line 1 column 1");
    assert!(refuse(r#"{"connector":"a","connector":"b"}"#).await.1.contains("duplicate key"));
    assert!(refuse(r#"{"conector":"a"}"#).await.1.contains("unknown field `conector`"));
    let (status, text) = refuse(r#"{"connector":{"secret":"hunter2"}}"#).await;
    assert!(status == 400 && !text.contains("hunter2"), "{text}");
    let mut form = post("/api/explain", "{}");
    form.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(gateway.send(form).await.status, 400);
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
    let admin = Setup { loopback: true, ..Setup::default() }.start().await;
    for (method, path) in
        [("GET", "/api/connectors/%FF"), ("POST", "/api/connectors/%FF/refresh"), ("DELETE", "/api/grants/%FF")]
    {
        let mut request = ask(method, path);
        request.headers_mut().remove("authorization");
        request.headers_mut().insert("host", "localhost:8080".parse().unwrap());
        request.headers_mut().insert("x-request-id", "r-2".parse().unwrap());
        let answer = admin.send(request).await;
        assert_eq!((answer.status, &answer.json()["request_id"]), (404, &json!("r-2")), "{path}");
    }
}
