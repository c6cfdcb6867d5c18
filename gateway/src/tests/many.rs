//! Many connectors, many grants: a list is complete, in order, and worked out once.

use super::harness::*;
use crate::era::Era;
use crate::snapshot::Kind;
use serde_json::{Value, json};
use std::time::Instant;

const CONNECTORS: usize = 200;
const EACH: usize = 10;

#[tokio::test]
async fn of_200_connectors_under_1000_grants_every_list_is_complete_and_in_order() {
    let names = |prefix: &str| (0..EACH).rev().map(|at| format!("{prefix}{at}")).collect::<Vec<_>>();
    let tools: Vec<Value> = names("t").iter().map(|name| json!({ "name": name })).collect();
    let prompts: Vec<Value> = names("p").iter().map(|name| json!({ "name": name })).collect();
    let resources: Vec<Value> = names("file:///r").iter().map(|uri| json!({ "uri": uri, "name": "r" })).collect();
    let fake = Offering::new(Era::Stateless)
        .with("tools/list", &json!({ "tools": tools }).to_string())
        .with("prompts/list", &json!({ "prompts": prompts }).to_string())
        .with("resources/list", &json!({ "resources": resources }).to_string())
        .start()
        .await;
    let mut setup = Setup::default();
    let calm = json!({ "discovery": { "periodSeconds": 3600, "timeoutSeconds": 60 } });
    for at in (0..CONNECTORS).rev() {
        setup = setup.url(&format!("c{at:03}"), fake.address, &calm);
    }
    // Five grants a connector: two tools each, one that is for somebody else, all prompts, one resource.
    for at in 0..CONNECTORS {
        setup = setup
            .grant("client:agent", &[&format!("c{at:03}/tools/t{}", at % EACH)])
            .grant("group:ops", &[&format!("c{at:03}/tools/t{}", (at + 1) % EACH)])
            .grant("client:other", &[&format!("c{at:03}/**")])
            .grant("client:agent", &[&format!("c{at:03}/prompts/*")])
            .grant("client:agent", &[&format!("c{at:03}/resources/file:///r{}", at % EACH)]);
    }
    assert_eq!(setup.grants.len(), 1000);
    let gateway = setup.start().await;
    let expected: Vec<String> = (0..CONNECTORS)
        .flat_map(|at| {
            let mut two = [at % EACH, (at + 1) % EACH];
            two.sort_unstable();
            two.map(|tool| format!("c{at:03}_t{tool}"))
        })
        .collect();
    assert_eq!(gateway.tools("/v1/mcp").await, expected);
    let prompts: Vec<String> =
        (0..CONNECTORS).flat_map(|at| (0..EACH).map(move |prompt| format!("c{at:03}_p{prompt}"))).collect();
    assert_eq!(gateway.names("/v1/mcp", Kind::Prompts).await, prompts);
    let resources: Vec<String> = (0..CONNECTORS).map(|at| format!("c{at:03}-file:///r{}", at % EACH)).collect();
    assert_eq!(gateway.names("/v1/mcp", Kind::Resources).await, resources);

    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let all = gateway.send(post_as("other-token", "/v1/mcp", body)).await.json();
    assert_eq!(all["result"]["tools"].as_array().unwrap().len(), CONNECTORS * EACH);
    let before = fake.seen.lock().unwrap().len();
    let mut took: Vec<_> = Vec::new();
    for _ in 0..100 {
        let started = Instant::now();
        assert_eq!(gateway.send(post_as("other-token", "/v1/mcp", body)).await.status, 200);
        took.push(started.elapsed());
    }
    took.sort();
    println!("a list of {} tools: median {:?}, slowest {:?}", CONNECTORS * EACH, took[50], took[99]);
    assert_eq!(fake.seen.lock().unwrap().len(), before, "no upstream is asked");
}
