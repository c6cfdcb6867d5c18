use super::harness::*;
use crate::snapshot::Kind;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// Polls so rarely that only the stream can explain what is noticed.
async fn gateway(upstream: &Changing) -> Gateway {
    let rarely = json!({ "discovery": { "periodSeconds": 3600, "timeoutSeconds": 5 } });
    let gateway =
        Setup::default().url("odoo", upstream.fake.address, &rarely).grant("client:agent", &["**"]).start().await;
    soon(|| upstream.open() == 1).await;
    gateway
}

#[tokio::test]
async fn a_list_that_an_upstream_says_has_changed_is_read_at_once() {
    for upstream in [Changing::stateless().await, Changing::legacy().await] {
        let gateway = gateway(&upstream).await;
        upstream.tools(&["second"]);
        upstream.say_tools_changed();
        gateway.until(|snapshot| snapshot.exposed(Kind::Tools, "odoo_second").is_some()).await;
    }
    let oldest = LegacySse::start("/messages", |message| {
        let result = match message["method"].as_str()? {
            "initialize" => json!({ "protocolVersion": "2024-11-05", "capabilities": { "tools": {} } }),
            "tools/list" => json!({ "tools": definitions(&["echo"]) }),
            _ => return None,
        };
        Some(json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }))
    })
    .await;
    let rarely = json!({ "discovery": { "periodSeconds": 3600, "timeoutSeconds": 5 } });
    let _gateway =
        Setup::default().url("odoo", oldest.fake.address, &rarely).grant("client:agent", &["**"]).start().await;
    // The listener may not be there yet when the stream is.
    let say = || {
        oldest.say(&json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" }));
        oldest.fake.count("tools/list") > 1
    };
    soon(say).await;
}

#[tokio::test]
async fn an_upstream_that_never_stops_talking_is_not_polled_without_end() {
    let upstream = Changing::stateless().await;
    let _gateway = gateway(&upstream).await;
    let before = upstream.fake.count("tools/list");
    for _ in 0..300 {
        upstream.say_tools_changed();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let polls = upstream.fake.count("tools/list") - before;
    assert!((1..=4).contains(&polls), "{polls} polls in one and a half seconds");
}

#[tokio::test]
async fn a_stream_that_breaks_unregisters_nothing_and_is_opened_again() {
    let upstream = Changing::legacy().await;
    let gateway = gateway(&upstream).await;
    upstream.tools(&["second"]);
    upstream.cut();
    soon(|| upstream.opened() == 2).await;
    assert!(gateway.state.snapshot.load().connectors()[0].registered());
    // Whatever was said meanwhile was missed, so the lists are read again.
    gateway.until(|snapshot| snapshot.exposed(Kind::Tools, "odoo_second").is_some()).await;
}

/// How often an upstream was asked for a stream of changes.
fn asked(fake: &Fake) -> usize {
    let seen = fake.seen.lock().unwrap();
    seen.iter().filter(|seen| seen.method == Method::GET || seen.json()["method"] == "subscriptions/listen").count()
}

/// A server of the stateless protocol that declares what it does not have.
async fn boastful() -> Fake {
    Fake::start(|seen: Seen| async move {
        if seen.json()["method"] == "server/discover" {
            let capabilities = json!({ "tools": { "listChanged": true } });
            let about =
                json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": capabilities });
            return result(&seen, &about);
        }
        stateless(&seen, &definitions(&["echo"]))
    })
    .await
}

#[tokio::test]
async fn an_upstream_that_has_no_stream_of_changes_is_asked_once_and_one_that_declares_none_never() {
    let fakes = [(Fake::stateless(&["echo"]).await, 0), (boastful().await, 1), (Fake::legacy(&["echo"]).await, 1)];
    for (fake, times) in fakes {
        let _gateway =
            Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
        soon(|| asked(&fake) == times && fake.count("tools/list") >= 3).await;
        assert_eq!(asked(&fake), times, "polled all the same, and not asked for a stream with each poll");
    }
}

#[tokio::test]
async fn a_ping_on_the_stream_is_answered_and_a_question_is_refused() {
    let upstream = Changing::legacy().await;
    let _gateway = gateway(&upstream).await;
    upstream.say(&json!({ "jsonrpc": "2.0", "id": "p", "method": "ping" }));
    upstream.say(&json!({ "jsonrpc": "2.0", "id": 7, "method": "sampling/createMessage", "params": {} }));
    let answered = |id: Value, field: &str| {
        let seen = upstream.fake.seen.lock().unwrap();
        seen.iter().any(|seen| seen.json()["id"] == id && seen.json().get(field).is_some())
    };
    soon(|| answered(json!("p"), "result") && answered(json!(7), "error")).await;
}

#[tokio::test]
async fn the_stream_of_a_connector_that_is_gone_is_closed() {
    let upstream = Changing::stateless().await;
    let gateway = gateway(&upstream).await;
    gateway.resources(&[], &[]).await;
    soon(|| {
        upstream.say_tools_changed();
        upstream.open() == 0
    })
    .await;
    assert_eq!(upstream.opened(), 1);
}

#[tokio::test]
async fn an_upstream_that_dies_with_its_stream_is_noticed_at_once() {
    let upstream = Changing::stateless().await;
    let gateway = gateway(&upstream).await;
    drop(upstream);
    gateway.until(|snapshot| !snapshot.connectors()[0].registered()).await;
}
