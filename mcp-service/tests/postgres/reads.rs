//! Every reading tool, on the test schema.

use serde_json::{Value, json};

use crate::server::shared;
use crate::service::{Options, Service};

fn names(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn schemas_are_listed_without_those_of_the_system() {
    let server = shared();
    let service = Service::start(&server, Options::new(&server)).await;
    let page = service.call("postgres_list_schemas", json!({})).await.ok();
    assert_eq!(names(&page), ["app", "public", "secret"]);
    assert_eq!(page["items"][0]["comment"], "the application");
    assert_eq!(page["truncated"], false);
    let first = service.call("postgres_list_schemas", json!({"limit": 2})).await.ok();
    assert_eq!(first["truncated"], true);
    let second = service.call("postgres_list_schemas", json!({"limit": 2, "cursor": first["next_cursor"]})).await.ok();
    assert_eq!(names(&second), ["secret"]);
    assert!(second.get("next_cursor").is_none());
}

#[tokio::test]
async fn tables_are_filtered_and_paged() {
    let server = shared();
    let service = Service::start(&server, Options::new(&server)).await;
    let all = service.call("postgres_list_tables", json!({"schema": "app"})).await.ok();
    assert_eq!(names(&all), ["customers", "no_key", "open_orders", "orders", "totals"]);
    assert_eq!(all["items"][3]["kind"], "table");
    assert_eq!(all["items"][3]["estimated_rows"], 250);
    assert_eq!(all["items"][3]["comment"], "all orders");
    assert!(all["items"][3]["total_bytes"].as_i64().unwrap() > 8192);
    for (kind, name) in [("view", "open_orders"), ("materialized_view", "totals")] {
        let page = service.call("postgres_list_tables", json!({"schema": "app", "kind": kind})).await.ok();
        assert_eq!(names(&page), [name]);
    }
    let like = service.call("postgres_list_tables", json!({"name_like": "ORD%"})).await.ok();
    assert_eq!(names(&like), ["orders"]);
    let mut seen = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let page = service.call("postgres_list_tables", json!({"limit": 1, "cursor": cursor})).await.ok();
        seen.extend(names(&page).into_iter().map(str::to_owned));
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(
        seen,
        [
            "customers",
            "no_key",
            "open_orders",
            "orders",
            "totals",
            "pg_stat_statements",
            "pg_stat_statements_info",
            "salaries"
        ]
    );
    service.call("postgres_list_tables", json!({"cursor": "nonsense"})).await.failed("invalid_argument");
}

#[tokio::test]
async fn a_table_is_described_in_full() {
    let server = shared();
    let service = Service::start(&server, Options::new(&server)).await;
    let table = service.call("postgres_describe_table", json!({"schema": "app", "table": "orders"})).await.ok();
    assert_eq!(table["kind"], "table");
    assert_eq!(table["comment"], "all orders");
    assert_eq!(table["primary_key"], json!(["id"]));
    let total = &table["columns"][2];
    assert_eq!(total["name"], "total");
    assert_eq!(total["type"], "numeric(20,2)");
    assert_eq!(total["nullable"], false);
    assert_eq!(total["default"], "0");
    assert_eq!(total["comment"], "in euros");
    assert_eq!(table["columns"][0]["generated"], "by_default");
    let kinds: Vec<_> = table["constraints"].as_array().unwrap().iter().map(|c| c["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["check", "foreign_key", "primary_key", "unique"]);
    assert_eq!(table["constraints"][1]["references"], "app.customers");
    assert_eq!(table["constraints"][3]["columns"], json!(["customer_id", "placed"]));
    assert_eq!(table["indexes"].as_array().unwrap().len(), 2);
    let view = service.call("postgres_describe_table", json!({"schema": "app", "table": "open_orders"})).await.ok();
    assert!(view["view_definition"].as_str().unwrap().contains("status"));
    service.call("postgres_describe_table", json!({"schema": "app", "table": "nope"})).await.failed("not_found");
    service
        .call("postgres_describe_table", json!({"schema": "app", "table": "orders\"; drop table x"}))
        .await
        .failed("not_found");
}

#[tokio::test]
async fn columns_and_functions_are_found() {
    let server = shared();
    let service = Service::start(&server, Options::new(&server)).await;
    let columns = service.call("postgres_search_columns", json!({"pattern": "%CUSTOMER%"})).await.ok();
    assert_eq!(
        columns["items"],
        json!([{"schema": "app", "table": "orders", "column": "customer_id", "type": "integer", "comment": null}])
    );
    let first =
        service.call("postgres_search_columns", json!({"pattern": "%", "schema": "app", "limit": 3})).await.ok();
    assert_eq!(first["truncated"], true);
    let second = service
        .call("postgres_search_columns", json!({"pattern": "%", "schema": "app", "cursor": first["next_cursor"]}))
        .await
        .ok();
    let total = first["items"].as_array().unwrap().len() + second["items"].as_array().unwrap().len();
    assert_eq!(total, 12);
    let functions =
        service.call("postgres_list_functions", json!({"schema": "app", "name_like": "%insert%"})).await.ok();
    assert_eq!(functions["items"][0]["comment"], "inserts");
    assert_eq!(functions["items"][0]["result"], "integer");
    assert_eq!(functions["items"][0]["volatility"], "volatile");
    let procedure =
        service.call("postgres_list_functions", json!({"schema": "app", "name_like": "do_nothing"})).await.ok();
    assert_eq!(procedure["items"][0]["kind"], "procedure");
    let page = service.call("postgres_list_functions", json!({"schema": "app", "limit": 2})).await.ok();
    let next = service
        .call("postgres_list_functions", json!({"schema": "app", "limit": 2, "cursor": page["next_cursor"]}))
        .await
        .ok();
    assert_ne!(page["items"], next["items"]);
}

#[tokio::test]
async fn a_table_is_sampled_by_quoted_names() {
    let server = shared();
    let service = Service::start(&server, Options::new(&server)).await;
    let sample = service
        .call(
            "postgres_sample_table",
            json!({"schema": "app", "table": "orders", "columns": ["id", "total"], "limit": 3}),
        )
        .await
        .ok();
    assert_eq!(sample["row_count"], 3);
    assert_eq!(sample["truncated"], true);
    assert_eq!(sample["columns"], json!([{"name": "id", "type": "int8"}, {"name": "total", "type": "numeric"}]));
    service
        .call("postgres_sample_table", json!({"schema": "app", "table": "orders", "limit": 101}))
        .await
        .failed("invalid_argument");
    service
        .call(
            "postgres_sample_table",
            json!({"schema": "app", "table": "orders", "columns": ["id\" from secret.salaries --"]}),
        )
        .await
        .failed("invalid_argument");
}

#[tokio::test]
async fn queries_take_parameters_of_every_kind() {
    let server = shared();
    let service = Service::start(&server, Options::new(&server)).await;
    let sql = "select id, total from app.orders where total > $1 and id = any($2) and placed >= $3 and status = $4 order by id";
    let params = json!(["3.5", [1, 2, 3, 4], "2026-01-01T00:00:00Z", "new"]);
    let rows = service.call("postgres_run_query", json!({"sql": sql, "params": params})).await.ok();
    assert_eq!(rows["rows"], json!([[3, "4.50"], [4, "6.00"]]));
    let json = service.call("postgres_run_query", json!({"sql": "select $1::jsonb -> 'a', $2::int, $3::bool, $4::bytea", "params": [{"a": [1]}, null, true, "\\x00ff"]})).await.ok();
    assert_eq!(json["rows"], json!([[[1], null, true, "AP8="]]));
    service
        .call("postgres_run_query", json!({"sql": "select $1::int", "params": ["x"]}))
        .await
        .failed("invalid_argument");
    service.call("postgres_run_query", json!({"sql": "select $1::int", "params": []})).await.failed("invalid_argument");
    service.call("postgres_run_query", json!({"sql": "select 1", "params": [1]})).await.failed("invalid_argument");
    // A parameter is never part of the SQL.
    let hostile = service
        .call("postgres_run_query", json!({"sql": "select $1::text", "params": ["'; drop table app.orders; --"]}))
        .await
        .ok();
    assert_eq!(hostile["rows"], json!([["'; drop table app.orders; --"]]));
}

#[tokio::test]
async fn errors_of_the_database_keep_their_sqlstate() {
    let server = shared();
    let service = Service::start(&server, Options::new(&server)).await;
    for (sql, code, sqlstate) in [
        ("select * from app.nope", "invalid_argument", "42P01"),
        ("select nope from app.orders", "invalid_argument", "42703"),
        ("select 1/0", "invalid_argument", "22012"),
        ("select * from pg_authid", "forbidden", "42501"),
    ] {
        let error = service.query(sql).await.failed(code);
        assert_eq!(error["upstream_code"], sqlstate, "{error}");
        assert_eq!(error["request_id"], "test-7");
    }
}

#[tokio::test]
async fn explain_shows_and_show_shows() {
    let server = shared();
    let service = Service::start(&server, Options::new(&server)).await;
    let plan = service
        .call("postgres_explain_query", json!({"sql": "select count(*) from app.orders where id > $1", "params": [5]}))
        .await
        .ok();
    assert_eq!(plan["plan"][0]["Plan"]["Node Type"], "Aggregate");
    assert_eq!(plan["analyzed"], false);
    let ran = service
        .call("postgres_explain_query", json!({"sql": "select count(*) from app.orders", "analyze": true}))
        .await
        .ok();
    assert!(ran["plan"][0]["Plan"]["Actual Rows"].is_number());
    service
        .call("postgres_explain_query", json!({"sql": "delete from app.orders", "analyze": true}))
        .await
        .failed("forbidden");
    service.call("postgres_explain_query", json!({"sql": "analyze app.orders"})).await.failed("forbidden");
    let shown = service.query("show server_version_num").await.ok();
    assert!(shown["rows"][0][0].as_str().unwrap().parse::<u32>().unwrap() >= 130_000);
    let text = service.query("explain select 1").await.ok();
    assert!(text["rows"][0][0].as_str().unwrap().starts_with("Result"));
}

#[tokio::test]
async fn statistics_and_health_are_real() {
    let server = shared();
    let service = Service::start(&server, Options::new(&server)).await;
    let stats = service.call("postgres_get_table_stats", json!({"schema": "app", "table": "orders"})).await.ok();
    assert_eq!(stats["estimated_rows"], 250.0);
    assert!(stats["total_bytes"].as_i64() >= stats["table_bytes"].as_i64());
    assert_eq!(stats["indexes"].as_array().unwrap().len(), 2);
    assert!(stats["last_analyze"].is_string());
    service
        .call("postgres_get_table_stats", json!({"schema": "app", "table": "open_orders"}))
        .await
        .failed("invalid_argument");
    service.query("select count(*) from app.orders where total = 77").await.ok();
    for order in ["total_time", "mean_time", "calls", "reads"] {
        let top = service.call("postgres_get_top_queries", json!({"order_by": order, "limit": 100})).await.ok();
        assert_eq!(top["available"], true);
        assert!(!top["queries"].as_array().unwrap().is_empty());
    }
    let health = service.call("postgres_check_health", json!({})).await.ok();
    let subjects: Vec<_> =
        health["findings"].as_array().unwrap().iter().map(|f| f["subject"].as_str().unwrap()).collect();
    assert_eq!(
        subjects,
        [
            "connections",
            "blocked_sessions",
            "long_transactions",
            "invalid_indexes",
            "transaction_id_age",
            "replication"
        ]
    );
    assert!(health["findings"].as_array().unwrap().iter().all(|finding| finding["error"].is_null()), "{health}");
    assert_eq!(health["in_recovery"], false);
}

#[tokio::test]
async fn a_missing_extension_is_said_and_no_error() {
    let server = shared();
    server.psql(
        "postgres",
        "SELECT 'CREATE DATABASE bare' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'bare') \\gexec\n",
    );
    let service = Service::start(&server, Options::new(&server).with("database", "bare")).await;
    let top = service.call("postgres_get_top_queries", json!({})).await.ok();
    assert_eq!(top["available"], false);
    assert!(top["message"].as_str().unwrap().contains("CREATE EXTENSION"));
}

#[tokio::test]
async fn only_allowed_schemas_are_seen() {
    let server = shared();
    let options = Options::new(&server).settings(json!({"allowedSchemas": ["app"]}));
    let service = Service::start(&server, options).await;
    let page = service.call("postgres_list_schemas", json!({})).await.ok();
    assert_eq!(names(&page), ["app"]);
    let page = service.call("postgres_list_tables", json!({"schema": "secret"})).await.ok();
    assert_eq!(page["items"], json!([]));
    for (tool, arguments) in [
        ("postgres_describe_table", json!({"schema": "secret", "table": "salaries"})),
        ("postgres_sample_table", json!({"schema": "secret", "table": "salaries"})),
        ("postgres_get_table_stats", json!({"schema": "secret", "table": "salaries"})),
        ("postgres_run_query", json!({"sql": "select * from secret.salaries"})),
        ("postgres_explain_query", json!({"sql": "select * from secret.salaries"})),
    ] {
        service.call(tool, arguments).await.failed("forbidden");
    }
    // Without a schema the search path decides, and it holds the allowed ones only.
    assert_eq!(service.query("select count(*) from orders").await.ok()["rows"], json!([[250]]));
}
