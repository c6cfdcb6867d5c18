//! Tools that change rows: off by default, counted, all or nothing.

use serde_json::json;

use crate::server::shared;
use crate::service::{Options, Service};

const WRITES: [&str; 4] =
    ["postgres_delete_rows", "postgres_execute_statement", "postgres_insert_rows", "postgres_update_rows"];

fn enabled(server: &crate::server::Server) -> Options {
    Options::new(server).calls(json!({"writes": "Enabled"})).settings(json!({"allowExecuteStatement": true}))
}

/// A table of its own for one test.
fn table(server: &crate::server::Server, name: &str) {
    server.psql("postgres", &format!("CREATE TABLE app.{name} (id int PRIMARY KEY, label text UNIQUE, amount numeric DEFAULT 7); GRANT ALL ON app.{name} TO agent"));
}

#[tokio::test]
async fn writes_do_not_exist_unless_they_are_enabled() {
    let server = shared();
    let service = Service::start(&server, Options::new(&server).settings(json!({"allowExecuteStatement": true}))).await;
    let tools = service.tools().await;
    assert_eq!(tools.len(), 11);
    let unknown = service.rpc("tools/call", json!({"name": "postgres_nope", "arguments": {}})).await;
    assert_eq!(unknown["error"]["code"], -32602);
    for write in WRITES {
        assert!(!tools.iter().any(|tool| tool == write), "{write} is listed");
        let answer = service.rpc("tools/call", json!({"name": write, "arguments": {}})).await;
        let expected = unknown.to_string().replace("postgres_nope", write);
        assert_eq!(answer.to_string(), expected, "a disabled tool answers exactly as an unknown one");
    }
    let service = Service::start(&server, Options::new(&server).calls(json!({"writes": "Enabled"}))).await;
    let tools = service.tools().await;
    assert_eq!(tools.len(), 14);
    assert!(!tools.iter().any(|tool| tool == "postgres_execute_statement"), "that one has a second switch");
    assert_eq!(Service::start(&server, enabled(&server)).await.tools().await.len(), 15);
}

#[tokio::test]
async fn hidden_tools_do_not_exist_either() {
    let server = shared();
    let mut options = Options::new(&server);
    options.hide = vec!["postgres_run_query".to_owned()];
    let service = Service::start(&server, options).await;
    assert_eq!(service.tools().await.len(), 10);
    let answer =
        service.rpc("tools/call", json!({"name": "postgres_run_query", "arguments": {"sql": "select 1"}})).await;
    assert_eq!(answer["error"]["code"], -32602);
}

#[tokio::test]
async fn rows_are_inserted_all_or_none() {
    let server = shared();
    table(&server, "t_insert");
    let service = Service::start(&server, enabled(&server)).await;
    let insert = |rows: serde_json::Value, conflict: &str| json!({"schema": "app", "table": "t_insert", "rows": rows, "on_conflict": conflict});
    let two = service
        .call("postgres_insert_rows", insert(json!([{"id": 1, "label": "a"}, {"id": 2, "amount": "1.10"}]), "error"))
        .await
        .ok();
    assert_eq!(two["inserted"], 2);
    assert_eq!(two["keys"]["rows"], json!([[1], [2]]));
    assert_eq!(server.psql("postgres", "select amount from app.t_insert order by id"), "7\n1.10");
    let error =
        service.call("postgres_insert_rows", insert(json!([{"id": 3}, {"id": 1}]), "error")).await.failed("conflict");
    assert_eq!(error["upstream_code"], "23505");
    assert_eq!(server.psql("postgres", "select count(*) from app.t_insert"), "2");
    let some = service.call("postgres_insert_rows", insert(json!([{"id": 3}, {"id": 1}]), "nothing")).await.ok();
    assert_eq!(some["inserted"], 1);
    service.call("postgres_insert_rows", insert(json!([{"nope": 3}]), "error")).await.failed("invalid_argument");
    service.call("postgres_insert_rows", insert(json!([]), "error")).await.failed("invalid_argument");
    service.call("postgres_insert_rows", insert(json!([{}]), "error")).await.failed("invalid_argument");
    let hostile = json!([{"id\") values (9); drop table app.t_insert; --": 1}]);
    service.call("postgres_insert_rows", insert(hostile, "error")).await.failed("invalid_argument");
    let many: Vec<_> = (0..501).map(|n| json!({"id": n})).collect();
    service.call("postgres_insert_rows", insert(json!(many), "nothing")).await.failed("invalid_argument");
    assert_eq!(server.psql("postgres", "select count(*) from app.t_insert"), "3");
    let keyless = json!({"schema": "app", "table": "no_key", "rows": [{"a": 5, "b": null}]});
    assert_eq!(service.call("postgres_insert_rows", keyless).await.ok(), json!({"inserted": 1, "keys": null}));
}

#[tokio::test]
async fn updates_and_deletes_count_before_they_keep() {
    let server = shared();
    table(&server, "t_change");
    server.psql(
        "postgres",
        "insert into app.t_change select n, case when n < 4 then 'l' || n end, n from generate_series(1, 5) n",
    );
    let service = Service::start(&server, enabled(&server)).await;
    let update = |filter: serde_json::Value, expected: u64| json!({"schema": "app", "table": "t_change", "set": {"amount": "9.5"}, "where": filter, "expected_rows": expected});
    assert_eq!(service.call("postgres_update_rows", update(json!({"id": 1}), 1)).await.ok(), json!({"affected": 1}));
    service.call("postgres_update_rows", update(json!({"label": null}), 1)).await.failed("conflict");
    assert_eq!(server.psql("postgres", "select count(*) from app.t_change where amount = 9.5"), "1");
    assert_eq!(
        service.call("postgres_update_rows", update(json!({"label": null}), 2)).await.ok(),
        json!({"affected": 2})
    );
    service.call("postgres_update_rows", update(json!({}), 5)).await.failed("invalid_argument");
    let delete = |filter: serde_json::Value, expected: u64| json!({"schema": "app", "table": "t_change", "where": filter, "expected_rows": expected});
    service.call("postgres_delete_rows", delete(json!({"id": 2}), 2)).await.failed("conflict");
    assert_eq!(server.psql("postgres", "select count(*) from app.t_change"), "5");
    assert_eq!(service.call("postgres_delete_rows", delete(json!({"id": 2}), 1)).await.ok(), json!({"affected": 1}));
    assert_eq!(server.psql("postgres", "select count(*) from app.t_change"), "4");
    service
        .call("postgres_delete_rows", json!({"schema": "app", "table": "t_change", "where": {"id": 3}}))
        .await
        .failed("invalid_argument");
}

#[tokio::test]
async fn a_single_statement_is_executed_and_nothing_else() {
    let server = shared();
    table(&server, "t_execute");
    let service = Service::start(&server, enabled(&server)).await;
    let run = |sql: &str, params: serde_json::Value| json!({"sql": sql, "params": params});
    let returned = service
        .call(
            "postgres_execute_statement",
            run("insert into app.t_execute values ($1, $2) returning id, label", json!([1, "x"])),
        )
        .await
        .ok();
    assert_eq!(returned["returned"]["rows"], json!([[1, "x"]]));
    let updated =
        service.call("postgres_execute_statement", run("update app.t_execute set label = $1", json!(["y"]))).await.ok();
    assert_eq!(updated, json!({"affected": 1}));
    let merge = "merge into app.t_execute t using (values (1, 'm'), (2, 'n')) v(id, label) on t.id = v.id \
                 when matched then update set label = v.label when not matched then insert values (v.id, v.label)";
    assert_eq!(service.call("postgres_execute_statement", run(merge, json!([]))).await.ok(), json!({"affected": 2}));
    for sql in [
        "drop table app.t_execute",
        "truncate app.t_execute",
        "select 1",
        "delete from app.t_execute; select 1",
        "create table x (a int)",
    ] {
        service.call("postgres_execute_statement", run(sql, json!([]))).await.failed("forbidden");
    }
    service
        .call("postgres_execute_statement", run("insert into app.t_execute values ($1)", json!([])))
        .await
        .failed("invalid_argument");
    assert_eq!(server.psql("postgres", "select string_agg(label, ',' order by id) from app.t_execute"), "m,n");
    // Reading stays read-only where writes are enabled.
    service.query("insert into app.t_execute values (9, 'z')").await.failed("forbidden");
    service.query("select app.sneaky_insert()").await.failed("forbidden");
}
