//! Rows, bytes, time and places: each limit ends a call with a clear answer while others go on.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::server::shared;
use crate::service::{Options, Service};

#[tokio::test]
async fn a_row_limit_announces_itself() {
    let server = shared();
    let service = Service::start(&server, Options::new(&server).settings(json!({"maxRows": 100}))).await;
    let cut = service.query("select generate_series(1, 1000000000)").await.ok();
    assert_eq!(
        (&cut["row_count"], &cut["truncated"], &cut["truncated_by"]),
        (&json!(100), &json!(true), &json!("max_rows"))
    );
    let more = service
        .call("postgres_run_query", json!({"sql": "select generate_series(1, 200)", "max_rows": 500}))
        .await
        .ok();
    assert_eq!(more["row_count"], 100, "an argument does not lift the limit of the settings");
    let exact = service.query("select generate_series(1, 100)").await.ok();
    assert_eq!((&exact["row_count"], &exact["truncated"]), (&json!(100), &json!(false)));
    let few =
        service.call("postgres_run_query", json!({"sql": "select generate_series(1, 200)", "max_rows": 70})).await.ok();
    assert_eq!((&few["row_count"], &few["rows"][69][0]), (&json!(70), &json!(70)));
}

#[tokio::test]
async fn many_bytes_are_cut_and_one_huge_row_is_refused() {
    let server = shared();
    let service = Service::start(&server, Options::new(&server)).await;
    let cut = service.query("select n, repeat('x', 100000) from generate_series(1, 200) n").await.ok();
    assert_eq!(cut["truncated_by"], "max_bytes");
    let rows = cut["row_count"].as_u64().unwrap();
    assert!((15..=21).contains(&rows), "{rows}");
    service.query("select repeat('x', 5000000)").await.failed("too_large");
    // This one would not even fit the memory of the process.
    service.query("select repeat('x', 500000000)").await.failed("too_large");
    assert_eq!(service.query("select 1").await.ok()["rows"], json!([[1]]), "the service goes on");
}

#[tokio::test]
async fn a_slow_statement_ends_at_its_limit() {
    let server = shared();
    let service = Service::start(&server, Options::new(&server).calls(json!({"timeoutSeconds": 2}))).await;
    let began = Instant::now();
    let error = service.query("select pg_sleep(60)").await.failed("timeout");
    assert_eq!(error["upstream_code"], "57014");
    assert!(began.elapsed() < Duration::from_secs(4));
    let began = Instant::now();
    service
        .call("postgres_run_query", json!({"sql": "select pg_sleep(60)", "timeout_ms": 200}))
        .await
        .failed("timeout");
    assert!(began.elapsed() < Duration::from_millis(1500));
    service.query("select count(*) from generate_series(1, 3000000000)").await.failed("timeout");
}

#[tokio::test]
async fn a_caller_that_goes_away_stops_its_statement() {
    let server = shared();
    let service = Service::start(&server, Options::new(&server)).await;
    let running = || {
        server.psql("postgres", "select count(*) from pg_stat_activity where query like '%pg_sleep(55)%' and state = 'active' and usename = 'agent'")
    };
    let abandoned = tokio::time::timeout(Duration::from_millis(800), service.query("select pg_sleep(55)")).await;
    assert!(abandoned.is_err());
    let end = Instant::now() + Duration::from_secs(5);
    while running() != "0" {
        assert!(Instant::now() < end, "the statement runs on");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    service.query("select 1").await.ok();
    let (_, metrics) = service.send("/metrics", None).await;
    let line = r#"aperium_mcp_tool_calls_total{tool="postgres_run_query",access="read",outcome="cancelled"} 1"#;
    assert!(metrics.as_str().unwrap().contains(line), "{metrics}");
}

#[tokio::test]
async fn callers_wait_for_a_place_and_are_told_when_there_is_none() {
    let server = shared();
    let options = Options::new(&server).calls(json!({"maxConcurrent": 1, "timeoutSeconds": 2}));
    let service = Service::start(&server, options).await;
    let (first, second) = tokio::join!(service.query("select pg_sleep(1)"), service.query("select 1"));
    first.ok();
    second.ok();
    let (first, second) = tokio::join!(service.query("select pg_sleep(30)"), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        service.query("select pg_sleep(30)").await
    });
    first.failed("timeout");
    // Its place came free just before its own time was up, or not at all.
    assert!(matches!(second.content["code"].as_str(), Some("rate_limited" | "timeout")), "{}", second.content);
}

#[tokio::test]
async fn more_calls_than_connections_all_get_their_turn() {
    let server = shared();
    let service = Service::start(&server, Options::new(&server).settings(json!({"maxConnections": 2}))).await;
    let calls = (0..40).map(|n| {
        let service = &service;
        async move {
            service
                .call("postgres_run_query", json!({"sql": "select $1::int, pg_sleep(0.01)", "params": [n]}))
                .await
                .ok()
        }
    });
    for (n, answer) in futures::future::join_all(calls).await.into_iter().enumerate() {
        assert_eq!(answer["rows"][0][0], n);
    }
    let sessions = server.psql(
        "postgres",
        "select count(*) from pg_stat_activity where application_name = 'aperium-mcp' and usename = 'agent'",
    );
    assert!(sessions.parse::<u32>().unwrap() >= 1);
}

#[tokio::test]
async fn wrong_arguments_never_reach_the_database() {
    let server = shared();
    let service = Service::start(&server, Options::new(&server)).await;
    for arguments in [
        json!({}),
        json!({"sql": ""}),
        json!({"sql": 5}),
        json!({"sql": "select 1", "nope": 1}),
        json!({"sql": "select 1", "max_rows": 0}),
        json!({"sql": "select 1", "max_rows": 10001}),
        json!({"sql": "select 1", "timeout_ms": 0}),
        json!({"sql": "select 1\u{0}"}),
        json!({"sql": "x".repeat(20_001)}),
        json!({"sql": "select 1", "params": vec![1; 1001]}),
    ] {
        service.call("postgres_run_query", arguments).await.failed("invalid_argument");
    }
}
