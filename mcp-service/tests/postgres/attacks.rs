//! Ways out of read-only, each through the whole service, and what is left in the database afterwards.

use serde_json::json;

use crate::server::{Server, shared};
use crate::service::{Options, Service};

/// The statements of the reference's table, and the ways that others' gates were bypassed.
const REFUSED: &[&str] = &[
    "insert into app.no_key values (1, 'x')",
    "with x as (insert into app.no_key values (1, 'x') returning 1) select * from x",
    "select * into app.copy from app.orders",
    "select * from app.orders for update",
    "create temp table x (a int)",
    "explain analyze delete from app.orders",
    "explain (analyze) delete from app.orders",
    "commit; drop table app.no_key",
    "select 1; drop table app.no_key",
    "set transaction read write",
    "select lo_create(0)",
    "select pg_notify('a', 'b')",
    "select pg_advisory_lock(1)",
    "select pg_terminate_backend(pg_backend_pid())",
    "do $$ begin insert into app.no_key values (1, 'x'); end $$",
    "listen a",
    "set statement_timeout = 0",
    "reset role",
    "copy app.orders to '/tmp/aperium-attack'",
    "copy (select 1) to program 'id'",
    "select pg_read_file('/etc/passwd')",
    "select * from pg_read_file('/etc/passwd')",
    "select set_config('statement_timeout', '0', true), pg_sleep(2)",
    "select query_to_xml('delete from app.no_key', true, true, '')",
    "call app.do_nothing()",
];

fn untouched(server: &Server) {
    assert_eq!(server.psql("postgres", "select count(*) from app.no_key where a in (1, 666)"), "0");
    assert_eq!(
        server.psql("postgres", "select count(*) from app.orders where customer_id is not null and id <= 250"),
        "250"
    );
    assert_eq!(server.psql("postgres", "select count(*) from pg_largeobject_metadata"), "0");
    assert_eq!(server.psql("postgres", "select to_regclass('app.copy') is null"), "t");
}

#[tokio::test]
async fn every_statement_of_the_table_is_refused_and_leaves_nothing() {
    let server = shared();
    let service = Service::start(&server, Options::new(&server)).await;
    for sql in REFUSED {
        let answer = service.query(sql).await;
        assert!(answer.is_error, "{sql}: {}", answer.content);
        let code = answer.content["code"].as_str().unwrap();
        assert!(matches!(code, "forbidden" | "invalid_argument"), "{sql}: {}", answer.content);
    }
    untouched(&server);
}

#[tokio::test]
async fn what_a_function_hides_from_the_gate_the_transaction_refuses() {
    let server = shared();
    let service = Service::start(&server, Options::new(&server)).await;
    let error = service.query("select app.sneaky_insert()").await.failed("forbidden");
    assert_eq!(error["upstream_code"], "25006");
    // The first statement was ours, so the mode is fixed.
    let error = service.query("select app.sneaky_mode()").await.failed("invalid_argument");
    assert_eq!(error["upstream_code"], "25001");
    untouched(&server);
}

#[tokio::test]
async fn a_statement_cannot_disarm_its_own_time_limit() {
    let server = shared();
    let service = Service::start(&server, Options::new(&server)).await;
    let began = std::time::Instant::now();
    let answer =
        service.call("postgres_run_query", json!({"sql": "select app.sneaky_timeout()", "timeout_ms": 700})).await;
    let error = answer.failed("timeout");
    assert_eq!(error["upstream_code"], "57014");
    assert!(began.elapsed().as_secs() < 5);
}

#[tokio::test]
async fn a_session_hands_nothing_on_to_the_next_call() {
    let server = shared();
    // One connection, so that the next call gets the same one.
    let service = Service::start(&server, Options::new(&server).settings(json!({"maxConnections": 1}))).await;
    service.query("select app.sneaky_lock()").await.ok();
    let locks = server.psql("postgres", "select count(*) from pg_locks where locktype = 'advisory'");
    assert_eq!(locks, "0", "the lock outlived its call");
    service.query("select app.sneaky_setting()").await.ok();
    let leak = service.query("select current_setting('app.leak', true)").await.ok();
    assert_ne!(leak["rows"][0][0], "canary-of-one-call");
}

#[tokio::test]
async fn a_superuser_is_refused_unless_an_admin_accepts_it() {
    let server = shared();
    let as_superuser =
        || Options::new(&server).with("username", "postgres").with("password", crate::server::SUPERUSER_PASSWORD);
    let service = Service::start(&server, as_superuser()).await;
    service.until("credentials", "Forbidden").await;
    service.query("select 1").await.failed("forbidden");
    server.psql("postgres", "DO $$ BEGIN CREATE ROLE filereader LOGIN PASSWORD 'f'; GRANT pg_read_server_files TO filereader; EXCEPTION WHEN duplicate_object THEN NULL; END $$");
    let service =
        Service::start(&server, Options::new(&server).with("username", "filereader").with("password", "f")).await;
    service.query("select 1").await.failed("forbidden");
    let service = Service::start(&server, as_superuser().settings(json!({"allowSuperuser": true}))).await;
    service.query("select 1").await.ok();
    // Even then the gate stands.
    service.query("select * from pg_read_file('/etc/passwd')").await.failed("forbidden");
    service.query("copy app.orders to '/tmp/aperium-attack'").await.failed("forbidden");
}
