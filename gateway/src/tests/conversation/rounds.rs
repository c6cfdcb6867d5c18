//! Answers in rounds: what a stateless upstream needs of a client with a session, and the other way round.

use super::super::harness::*;
use super::super::sessions::{session, within};
use super::asker::*;
use axum::body::Body;
use serde_json::{Value, json};

/// A server of the stateless era that needs two rounds of answers before it is done.
async fn needy() -> Fake {
    Fake::start(|seen: Seen| async move {
        let message = seen.json();
        if message["method"] != "tools/call" {
            return stateless(&seen, &definitions(&["ask"]));
        }
        let params = &message["params"];
        let needs = |key: &str, method: &str, state: &str| {
            json!({
                "resultType": "input_required", "requestState": state,
                "inputRequests": { key: { "method": method, "params": { "message": key } } },
            })
        };
        let answered = match params["requestState"].as_str() {
            None => needs("name", "elicitation/create", "one"),
            Some("one") => needs("roots", "roots/list", "two"),
            _ => json!({ "resultType": "complete", "content": [], "structuredContent": params }),
        };
        result(&seen, &answered)
    })
    .await
}

#[tokio::test]
async fn what_a_modern_upstream_needs_is_asked_of_a_client_of_the_older_era_in_rounds() {
    let fake = needy().await;
    let gateway = Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
    let client = session(&gateway, "/v1/mcp", &json!({ "elicitation": {}, "roots": {} })).await;
    let mut body = call("mine");
    body["params"]["arguments"] = json!({ "x": 1 });
    let mut events = Events::of(start(&gateway, &client, &body).await.unwrap());
    for (method, answer) in [
        ("elicitation/create", json!({ "action": "accept", "content": { "name": "Ada" } })),
        ("roots/list", json!({ "roots": [] })),
    ] {
        let asked = events.next().await.unwrap();
        assert_eq!(asked["method"], method);
        let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": answer });
        assert_eq!(gateway.send(within(&client, &answer)).await.status, 202);
    }
    let done = events.next().await.unwrap();
    assert_eq!(done["id"], "mine");
    let last = &done["result"]["structuredContent"];
    assert_eq!((&last["requestState"], &last["arguments"]), (&json!("two"), &json!({ "x": 1 })));
    assert_eq!(last["inputResponses"], json!({ "roots": { "roots": [] } }));
    assert_eq!(last["_meta"]["io.modelcontextprotocol/clientCapabilities"], json!({ "elicitation": {}, "roots": {} }));
    assert_eq!(fake.count("tools/call"), 3);
    let second = fake.seen.lock().unwrap().iter().filter(|seen| seen.text.contains("\"one\"")).count();
    assert_eq!(second, 1);
}

#[tokio::test]
async fn what_a_client_cannot_be_asked_ends_the_call_with_an_explanation() {
    let fake = needy().await;
    let gateway = Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
    let without = session(&gateway, "/v1/mcp", &json!({ "roots": {} })).await;
    let in_session = gateway.send(within(&without, &call("mine"))).await.json();
    let sessionless = gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": "odoo_ask" })).await;
    for answer in [in_session, sessionless] {
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        let text = answer["result"]["content"][0]["text"].as_str().unwrap();
        assert!(text.contains("asks for something that this client does not offer"), "{text}");
    }
    assert_eq!(fake.count("tools/call"), 2, "and nothing is sent again");
}

pub(in crate::tests) fn modern(capabilities: &Value, extra: &Value) -> axum::extract::Request {
    let mut params = json!({ "name": "odoo_ask", "arguments": { "x": 1 }, "_meta": {} });
    for (name, value) in extra.as_object().unwrap() {
        params[name] = value.clone();
    }
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities.clone();
    let body = json!({ "jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": params });
    let mut request = stateless_post("/v1/mcp", "tools/call", &json!({ "name": "odoo_ask" }));
    *request.body_mut() = Body::from(body.to_string());
    request
}

#[tokio::test]
async fn m19_the_state_of_a_modern_upstream_is_carried_sealed_and_by_the_same_request_alone() {
    let fake = needy().await;
    let gateway = Setup::default().url("odoo", fake.address, &Value::Null).grant("*", &["**"]).start().await;
    let can = json!({ "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {}, "x/y": {} } });
    let first = gateway.send(modern(&can, &json!({}))).await.json();
    assert_eq!(first["result"]["inputRequests"]["name"]["method"], "elicitation/create");
    let state = first["result"]["requestState"].as_str().unwrap();
    assert_ne!(state, "one");
    let answers = json!({ "name": { "action": "accept" } });
    let again = json!({ "requestState": state, "inputResponses": answers });
    let second = gateway.send(modern(&can, &again)).await.json();
    assert!(second["result"]["inputRequests"]["roots"].is_object(), "{second}");
    let seen = fake.last("tools/call").json()["params"].clone();
    assert_eq!((&seen["requestState"], &seen["inputResponses"]), (&json!("one"), &answers));
    let told = &seen["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    assert_eq!(told, &json!({ "elicitation": {}, "extensions": { "x/y": {} } }), "tasks are not relayed");

    let calls = fake.count("tools/call");
    for refused in [
        json!({ "requestState": format!("{state}-TAMPERED") }),
        json!({ "requestState": "one" }),
        json!({ "requestState": state, "arguments": { "x": 2 } }),
    ] {
        assert_eq!(gateway.send(modern(&can, &refused)).await.code(), -32602, "{refused}");
    }
    let mut stolen = modern(&can, &again);
    stolen.headers_mut().insert("authorization", "Bearer other-token".parse().unwrap());
    assert_eq!(gateway.send(stolen).await.code(), -32602, "the state of one caller is none of another's");
    assert_eq!(fake.count("tools/call"), calls);
}

#[tokio::test]
async fn what_an_older_upstream_asks_waits_for_the_next_round_of_a_modern_client() {
    let asker = Asker::start().await;
    let gateway = gateway(&asker).await;
    let can = json!({ "elicitation": {} });
    let first = tokio::spawn(gateway.router.clone().oneshot(modern(&can, &json!({}))));
    let (seen, frames) = asker.called().await;
    assert_eq!(asker.seen("initialize").pop().unwrap().json()["params"]["capabilities"], can);
    let params = json!({ "message": "who?" });
    frames
        .send(event(&json!({ "jsonrpc": "2.0", "id": 3, "method": "elicitation/create", "params": params })))
        .await
        .unwrap();
    let first = Answer::read(first.await.unwrap().unwrap()).await.json();
    assert_eq!(first["result"]["resultType"], "input_required");
    let requests = first["result"]["inputRequests"].as_object().unwrap();
    let (key, asked) = requests.iter().next().unwrap();
    assert_eq!(asked, &json!({ "method": "elicitation/create", "params": params }));

    // Without the answer it is asked again, and the call goes on waiting.
    let without = json!({ "requestState": first["result"]["requestState"] });
    let again = gateway.send(modern(&can, &without)).await.json();
    assert_eq!(again["result"]["inputRequests"], first["result"]["inputRequests"]);
    let state = &again["result"]["requestState"];
    let answer = json!({ "action": "accept", "content": { "name": "Ada" } });
    let next = json!({ "requestState": state, "inputResponses": { key: answer } });
    let second = tokio::spawn(gateway.router.clone().oneshot(modern(&can, &next)));
    let got = asker.answered().await;
    assert_eq!(got.json(), json!({ "jsonrpc": "2.0", "id": 3, "result": answer }));
    let done = json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "result": { "content": [] } });
    frames.send(event(&done)).await.unwrap();
    let second = Answer::read(second.await.unwrap().unwrap()).await.json();
    assert_eq!(second["result"], json!({ "resultType": "complete", "content": [] }));
    assert_eq!(asker.seen("tools/call").len(), 1, "one call, whatever the rounds");

    // The call is over: who comes late, or to another replica, reads why there is no answer.
    let late = gateway.send(modern(&can, &next)).await.json();
    assert_eq!(late["result"]["isError"], true);
    assert!(late["result"]["content"][0]["text"].as_str().unwrap().contains("another replica"));
}
