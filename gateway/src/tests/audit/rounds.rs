//! A call that goes on in rounds: each of them that may reach the upstream is on record before it does.

use super::super::conversation::{Asker, Frames, event, is_answer, modern};
use super::*;

/// Asks its client, once, in the middle of a call; the state and the key of the first round's answer.
async fn asked(gateway: &Gateway, asker: &Asker, can: &Value) -> (Value, String, Frames, Value) {
    let first = tokio::spawn(gateway.router.clone().oneshot(modern(can, &json!({}))));
    let (seen, frames) = asker.called().await;
    let question =
        json!({ "jsonrpc": "2.0", "id": 3, "method": "elicitation/create", "params": { "message": "who?" } });
    frames.send(event(&question)).await.unwrap();
    let first = Answer::read(first.await.unwrap().unwrap()).await.json();
    let key = first["result"]["inputRequests"].as_object().unwrap().keys().next().unwrap().clone();
    (first["result"]["requestState"].clone(), key, frames, seen.json()["id"].clone())
}

async fn gateway(asker: &Asker, store: &Store) -> Gateway {
    let setup = Setup { database: Some(store.clone()), ..Setup::default() };
    let gateway = setup.url("odoo", asker.fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
    while !gateway.state.database.as_ref().unwrap().check().ok {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    gateway
}

fn outcomes(lines: &[Line]) -> Vec<(Phase, &str)> {
    lines.iter().map(|line| (line.record.phase, &*line.record.outcome)).collect()
}

#[tokio::test]
async fn each_round_of_a_call_that_waits_for_its_client_is_on_record_before_the_upstream_hears_of_it() {
    let (asker, folder) = (Asker::start().await, tempfile::tempdir().unwrap());
    let store = store(&folder);
    let gateway = gateway(&asker, &store).await;
    let can = json!({ "elicitation": {} });
    let (state, key, frames, id) = asked(&gateway, &asker, &can).await;
    let first = [(Phase::Intent, "pending"), (Phase::Done, "input_required")];
    assert_eq!(outcomes(&records(&store, 2).await), first);

    let answer = json!({ "action": "accept", "content": { "name": "hunter2" } });
    let next = json!({ "requestState": state, "inputResponses": { key: answer } });
    let second = tokio::spawn(gateway.router.clone().oneshot(modern(&can, &next)));
    asker.answered().await;
    let so_far = store.every_tenant().audit_records(&Filter::default(), None, 10).await.unwrap().lines;
    assert_eq!(so_far.len(), 3, "the round is on record when the upstream gets the answer");
    frames.send(event(&json!({ "jsonrpc": "2.0", "id": id, "result": { "content": [] } }))).await.unwrap();
    let second = Answer::read(second.await.unwrap().unwrap()).await.json();
    assert_eq!(second["result"]["resultType"], "complete", "{second}");

    let late = gateway.send(modern(&can, &next)).await.json();
    assert_eq!(late["result"]["isError"], true);
    let lines = records(&store, 6).await;
    let rest =
        [(Phase::Intent, "pending"), (Phase::Done, "ok"), (Phase::Intent, "pending"), (Phase::Done, "outcome_unknown")];
    assert_eq!(outcomes(&lines), [first.as_slice(), rest.as_slice()].concat());
    for round in lines.chunks(2) {
        let [intent, done] = [&round[0].record, &round[1].record];
        assert_eq!(intent.request_id, done.request_id);
        assert_eq!((intent.tool.as_deref(), intent.access), (Some("ask"), Access::Write));
        assert_eq!(intent.arguments, lines[0].record.arguments, "the same arguments have the same digest");
    }
    assert_ne!(lines[0].record.request_id, lines[2].record.request_id);
    assert!(!format!("{lines:?}").contains("hunter2"));
}

#[tokio::test]
async fn t16_a_round_that_cannot_be_put_on_record_does_not_reach_the_upstream() {
    let (asker, folder) = (Asker::start().await, tempfile::tempdir().unwrap());
    let store = store(&folder);
    let gateway = gateway(&asker, &store).await;
    let can = json!({ "elicitation": {} });
    let (state, key, _frames, _) = asked(&gateway, &asker, &can).await;
    records(&store, 2).await;
    store.close().await;
    let answer = json!({ "action": "accept", "content": {} });
    let next = json!({ "requestState": state, "inputResponses": { key: answer } });
    let refused = gateway.send(modern(&can, &next)).await.json();
    assert!(refused["result"].to_string().contains("audit_unavailable"), "{refused}");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let heard = asker.fake.seen.lock().unwrap().iter().any(is_answer);
    assert!(!heard, "the upstream has got an answer");
}
