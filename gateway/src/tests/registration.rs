use super::harness::*;
use axum::response::Response;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::time::Duration;

mod replicas;

/// A gateway where `agent` may register servers that listen on these ports, and `other` may use what they offer.
fn setup(hosts: &[String]) -> Setup {
    let mut setup =
        Setup::default().grant("client:agent", &["odoo/**"]).grant("client:other", &["auto1/tools/*", "auto2/**"]);
    setup.grants[0]["spec"]["register"] = json!(true);
    setup.settings.registration.accept = true;
    setup.settings.registration.allow_hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    setup
}

async fn register(gateway: &Gateway, token: &str, url: &str) -> Response {
    let request = post_as(token, "/v1/mcp/register", &json!({ "url": url }).to_string());
    gateway.router.clone().oneshot(request).await.unwrap()
}

/// The next line of a registrant's connection.
async fn line(response: &mut Response) -> Value {
    let frame = tokio::time::timeout(Duration::from_secs(10), response.body_mut().frame()).await.unwrap();
    serde_json::from_slice(&frame.unwrap().unwrap().into_data().unwrap()).unwrap()
}

async fn tools(gateway: &Gateway, token: &str) -> Vec<String> {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#;
    let list = gateway.send(post_as(token, "/v1/mcp", body)).await.json();
    let tools = list["result"]["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

async fn refused(gateway: &Gateway, token: &str, url: &str) -> (u16, String) {
    let answer = Answer::read(register(gateway, token, url).await).await;
    (answer.status, answer.json()["error"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn m17_a_registered_server_is_a_connector_for_as_long_as_its_connection_is_open() {
    let fake = Fake::stateless(&["search"]).await;
    let gateway = setup(&[fake.address.to_string()]).start().await;
    let url = format!("http://{}/mcp", fake.address);
    let mut held = register(&gateway, TOKEN, &url).await;
    assert_eq!(held.status().as_u16(), 200);
    assert_eq!(held.headers()["content-type"], "application/x-ndjson");
    assert_eq!(line(&mut held).await, json!({ "id": "auto1", "tools": 1 }));
    assert_eq!(tools(&gateway, "other-token").await, ["auto1_search"]);
    assert!(tools(&gateway, TOKEN).await.is_empty(), "registering gives no right to use");
    assert_eq!(line(&mut held).await, json!({ "keepalive": true }));
    assert_eq!(line(&mut held).await, json!({ "keepalive": true }));
    drop(held);
    gateway.until(|snapshot| snapshot.connectors().is_empty()).await;
    assert!(tools(&gateway, "other-token").await.is_empty());
    let mut again = register(&gateway, TOKEN, &url).await;
    assert_eq!(line(&mut again).await["id"], "auto2", "a number is never given again");
}

#[tokio::test]
async fn m17_only_those_who_may_register_and_only_hosts_that_the_settings_list() {
    let fake = Fake::stateless(&["search"]).await;
    let url = format!("http://{}/mcp", fake.address);
    let gateway = setup(&["my-mcp-server:8080".to_owned()]).start().await;
    let (status, error) = refused(&gateway, "other-token", &url).await;
    assert_eq!((status, error.contains("register: true")), (403, true), "`**` would not do either");
    let (status, error) = refused(&gateway, TOKEN, &url).await;
    assert_eq!((status, error), (403, format!("registration.allowHosts does not list {}", fake.address)));
    assert_eq!(refused(&gateway, TOKEN, "ftp://my-mcp-server:8080").await.0, 400);
    assert_eq!(refused(&gateway, TOKEN, "http://169.254.169.254/latest").await.0, 403);
    let closed = Setup::default().grant("client:agent", &["**"]).start().await;
    assert!(refused(&closed, TOKEN, &url).await.1.contains("registration.accept"));
    assert!(fake.seen.lock().unwrap().is_empty(), "nobody was asked");
}

#[tokio::test]
async fn what_answers_as_no_mcp_server_is_not_registered() {
    let gateway = setup(&["127.0.0.1:1".to_owned()]).start().await;
    let (status, error) = refused(&gateway, TOKEN, "http://127.0.0.1:1/mcp").await;
    assert_eq!((status, error.as_str()), (502, "the server cannot be registered (connection refused)"));
    gateway.until(|snapshot| snapshot.connectors().is_empty()).await;
}

#[tokio::test]
async fn m17_each_caller_and_all_together_have_a_share() {
    let fake = Fake::stateless(&["search"]).await;
    let url = format!("http://{}/mcp", fake.address);
    let mut setup = setup(&[fake.address.to_string()]);
    setup.grants[1]["spec"]["role"] = json!("admin");
    setup.settings.registration.max_per_caller = 1;
    setup.settings.registration.max_servers = 2;
    let gateway = setup.start().await;
    let first = register(&gateway, TOKEN, &url).await;
    let (status, error) = refused(&gateway, TOKEN, &url).await;
    assert_eq!((status, error.contains("this caller has 1")), (429, true));
    let second = register(&gateway, "other-token", &url).await;
    assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 200), "an admin needs no Grant for it");
    drop(first);
    gateway.until(|snapshot| snapshot.connectors().len() == 1).await;
    assert_eq!(register(&gateway, TOKEN, &url).await.status().as_u16(), 200, "what has left no longer counts");
}

#[tokio::test]
async fn a_registrant_who_loses_the_right_is_unregistered() {
    let fake = Fake::stateless(&["search"]).await;
    let setup = setup(&[fake.address.to_string()]);
    let mut grants = setup.grants.clone();
    let gateway = setup.start().await;
    let mut held = register(&gateway, TOKEN, &format!("http://{}/mcp", fake.address)).await;
    assert_eq!(line(&mut held).await["id"], "auto1");
    grants[0]["spec"]["register"] = json!(false);
    gateway.resources(&[], &grants).await;
    let last = loop {
        let line = line(&mut held).await;
        if line.get("keepalive").is_none() {
            break line;
        }
    };
    assert!(last["unregistered"].as_str().unwrap().contains("register: true"), "{last}");
    assert!(held.body_mut().frame().await.is_none());
    gateway.until(|snapshot| snapshot.connectors().is_empty()).await;
}

#[tokio::test]
async fn a_registrant_who_dies_is_noticed_at_once() {
    let fake = Fake::stateless(&["search"]).await;
    let gateway = setup(&[fake.address.to_string()]).start().await;
    let listening = gateway.listen().await;
    let body = json!({ "url": format!("http://{}/mcp", fake.address) }).to_string();
    let head = format!(
        "POST /v1/mcp/register HTTP/1.1\nHost: localhost\nAuthorization: Bearer {TOKEN}\nContent-Type: application/json\nContent-Length: {}\n\n{body}",
        body.len()
    );
    let mut registrant = listening.write(&head).await;
    read_until(&mut registrant, "auto1").await;
    drop(registrant);
    let gone = gateway.until(|snapshot| snapshot.connectors().is_empty());
    tokio::time::timeout(Duration::from_secs(2), gone).await.expect("noticed within two seconds");
}
