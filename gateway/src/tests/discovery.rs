use super::harness::*;
use crate::catalog::ResourceKey;
use crate::discovery::Event;
use crate::snapshot::{Health, Kind};
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[tokio::test]
async fn lists_are_answered_without_asking_any_upstream() {
    let fake = Fake::stateless(&["a", "b"]).await;
    let slow = json!({ "discovery": { "periodSeconds": 3600, "timeoutSeconds": 1 } });
    let gateway = Setup::default().url("odoo", fake.address, &slow).grant("client:agent", &["**"]).start().await;
    let before = fake.seen.lock().unwrap().len();
    for _ in 0..50 {
        assert_eq!(gateway.tools("/v1/mcp").await.len(), 2);
    }
    assert_eq!(fake.seen.lock().unwrap().len(), before);
}

#[tokio::test]
async fn an_upstream_that_comes_back_is_registered_again_in_whatever_era_it_speaks_now() {
    let fake = Fake::stateless(&["echo"]).await;
    let address = fake.address;
    let gateway = Setup::default().url("odoo", address, &Value::Null).grant("client:agent", &["**"]).start().await;
    assert_eq!(gateway.tools("/v1/mcp").await, ["odoo_echo"]);
    drop(fake);
    gateway.until(|snapshot| !snapshot.connectors()[0].registered()).await;
    assert!(gateway.tools("/v1/mcp").await.is_empty());
    let back =
        Fake::start_at(address, |seen: Seen| async move { legacy(&seen, &definitions(&["echo", "more"])) }).await;
    gateway.until(|snapshot| snapshot.connectors()[0].registered()).await;
    assert_eq!(gateway.tools("/v1/mcp").await, ["odoo_echo", "odoo_more"]);
    assert_eq!(back.count("initialize"), 1);
}

#[tokio::test]
async fn a_changed_list_is_seen_at_the_next_poll() {
    let version = Arc::new(AtomicUsize::new(0));
    let current = Arc::clone(&version);
    let fake = Fake::start(move |seen: Seen| {
        let names: &[&str] = if current.load(Ordering::SeqCst) == 0 { &["old"] } else { &["new"] };
        async move { stateless(&seen, &definitions(names)) }
    })
    .await;
    let gateway = Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
    assert_eq!(gateway.tools("/v1/mcp").await, ["odoo_old"]);
    version.store(1, Ordering::SeqCst);
    gateway.until(|snapshot| snapshot.exposed(Kind::Tools, "odoo_new").is_some()).await;
    assert_eq!(gateway.tools("/v1/mcp").await, ["odoo_new"]);
}

#[tokio::test]
async fn a_slow_upstream_delays_nobody_else() {
    let slow = Fake::start(|_: Seen| std::future::pending()).await;
    let fast = Fake::stateless(&["echo"]).await;
    let mut setup = Setup::default().url("fast", fast.address, &Value::Null).grant("client:agent", &["**"]);
    for at in 0..20 {
        setup = setup.url(
            &format!("slow{at}"),
            slow.address,
            &json!({ "discovery": { "periodSeconds": 1, "timeoutSeconds": 300 } }),
        );
    }
    let connectors = std::mem::take(&mut setup.connectors);
    let grants = setup.grants.clone();
    let gateway = setup.start().await;
    gateway.resources(&connectors, &grants).await;
    gateway.until(|snapshot| snapshot.connectors().iter().any(|entry| entry.registered())).await;
    let params = json!({ "name": "fast_echo" });
    let called = tokio::time::timeout(Duration::from_secs(2), gateway.rpc("/v1/mcp", "tools/call", &params));
    assert!(called.await.expect("delayed")["result"].is_object());
}

/// Pages as `page` makes them from the cursor.
async fn pages(page: fn(Option<&str>) -> Value) -> Fake {
    Fake::start(move |seen: Seen| async move {
        match seen.json()["method"].as_str().unwrap() {
            "tools/list" => result(&seen, &page(seen.json()["params"]["cursor"].as_str())),
            _ => stateless(&seen, &json!([])),
        }
    })
    .await
}

async fn health(fake: &Fake) -> Health {
    let mut setup = Setup::default();
    setup.settings.limits.max_tools = 100;
    setup.settings.limits.max_response_bytes = 100_000;
    let extra = json!({ "discovery": { "periodSeconds": 60, "timeoutSeconds": 5 } });
    let gateway = setup.url("odoo", fake.address, &extra).grant("client:agent", &["**"]).start().await;
    let snapshot = gateway.state.snapshot.load();
    if snapshot.connectors()[0].registered() {
        assert_eq!(snapshot.connectors()[0].tools().len(), 3);
    }
    snapshot.connectors()[0].health.clone()
}

#[tokio::test]
async fn all_pages_are_read_and_an_empty_cursor_is_a_cursor() {
    let fake = pages(|cursor| match cursor {
        None => json!({ "tools": definitions(&["a"]), "nextCursor": "" }),
        Some("") => json!({ "tools": definitions(&["b"]), "nextCursor": "x" }),
        Some(_) => json!({ "tools": definitions(&["c"]) }),
    })
    .await;
    assert_eq!(health(&fake).await, Health::Registered);
    assert_eq!(fake.count("tools/list"), 3);
}

#[tokio::test]
async fn m8_lists_without_end_are_given_up() {
    let same = pages(|_| json!({ "tools": [], "nextCursor": "again" })).await;
    assert!(matches!(health(&same).await, Health::Unavailable { reason: "NotMcp", .. }));
    assert_eq!(same.count("tools/list"), 2);
    let endless = pages(|cursor| {
        let at: usize = cursor.map_or(0, |cursor| cursor.parse().unwrap());
        json!({ "tools": definitions(&[&format!("t{at}")]), "nextCursor": (at + 1).to_string() })
    })
    .await;
    assert!(matches!(health(&endless).await, Health::Unavailable { reason: "NotMcp", .. }));
    assert!(endless.count("tools/list") <= 102, "the cap on tools ends it");
    let huge = pages(|cursor| {
        let at: usize = cursor.map_or(0, |cursor| cursor.parse().unwrap());
        json!({ "tools": [{ "name": "x", "description": "y".repeat(40_000) }], "nextCursor": (at + 1).to_string() })
    })
    .await;
    assert!(matches!(health(&huge).await, Health::Unavailable { reason: "AnswerTooLarge", .. }));
    let cursors = pages(|cursor| {
        let at: usize = cursor.map_or(0, |cursor| cursor.trim_start_matches('x').parse().unwrap());
        json!({ "tools": [], "nextCursor": format!("{}{}", "x".repeat(40_000), at + 1) })
    })
    .await;
    assert!(matches!(health(&cursors).await, Health::Unavailable { reason: "AnswerTooLarge", .. }));
}

#[tokio::test]
async fn what_is_no_mcp_server_is_said_to_be_none() {
    let html = Fake::start(|_: Seen| async { Response::new("<html>".into()) }).await;
    assert!(matches!(health(&html).await, Health::Unavailable { reason: "NotMcp", .. }));
    let broken = Fake::start(|_: Seen| async { answer(503, &json!({})) }).await;
    assert!(matches!(health(&broken).await, Health::Unavailable { reason: "UpstreamError", .. }));
    let closed = Fake::start(|_: Seen| async { answer(401, &json!({})) }).await;
    assert!(matches!(health(&closed).await, Health::Unavailable { reason: "AuthFailed", .. }));
}

#[tokio::test]
async fn a_connector_that_is_gone_is_polled_no_more() {
    let fake = Fake::stateless(&["echo"]).await;
    let gateway = Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
    gateway.resources(&[], &[]).await;
    gateway.until(|snapshot| snapshot.connectors().is_empty()).await;
    let before = fake.seen.lock().unwrap().len();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(fake.seen.lock().unwrap().len(), before);
}

#[tokio::test]
async fn polls_leave_nothing_behind() {
    let (stateless, legacy) = (Changing::stateless().await, Changing::legacy().await);
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
    let gateway = Setup::default()
        .url("new", stateless.fake.address, &rarely)
        .url("old", legacy.fake.address, &rarely)
        .url("oldest", oldest.fake.address, &rarely)
        .grant("client:agent", &["**"])
        .start()
        .await;
    soon(|| stateless.open() == 1 && legacy.open() == 1 && oldest.open() == 1).await;
    let fakes = [("new", &stateless.fake), ("old", &legacy.fake), ("oldest", &oldest.fake)];
    let poll = async |times: usize| {
        for _ in 0..times {
            for (name, fake) in fakes {
                let before = fake.count("tools/list");
                let key = ResourceKey { namespace: "aperium-system".into(), name: name.into() };
                gateway.tell(Event::Wake(key)).await;
                soon(|| fake.count("tools/list") > before).await;
            }
        }
        // What the last one needed is over as well.
        tokio::time::sleep(Duration::from_millis(200)).await;
        tokio::runtime::Handle::current().metrics().num_alive_tasks()
    };
    let before = poll(5).await;
    let after = poll(100).await;
    assert!(after <= before + 3, "{before} tasks before, {after} after 300 polls");
    assert_eq!((stateless.opened(), legacy.opened(), oldest.open()), (1, 1, 1), "one stream each");
    assert_eq!(legacy.fake.count("initialize"), 1);
}
