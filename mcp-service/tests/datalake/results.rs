//! Right rows from Parquet, CSV and NDJSON, and honest caps.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::examples;
use crate::support::{Lake, example_folder};

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

#[tokio::test]
async fn csv_keeps_quotes_line_breaks_missing_values_and_umlauts() {
    let folder = folder(&[("Notes.csv", "id,Text,amount\n1,\"a \"\"b\"\", c\nd\",1.5\n2,März,\n3,,-2\n")]);
    let lake = Lake::over(folder.path());
    let rows = lake.query("select id, \"Text\", amount from notes order by id").await.unwrap();
    assert_eq!(rows, json!([[1, "a \"b\", c\nd", 1.5], [2, "März", null], [3, null, -2.0]]));
    let columns = lake.call("gcs_describe_table", json!({"table": "notes"})).await.unwrap();
    assert_eq!(
        columns["columns"],
        json!([
            {"name": "id", "type": "int64", "sql": "id"},
            {"name": "Text", "type": "string", "sql": "\"Text\""},
            {"name": "amount", "type": "double", "sql": "amount"},
        ])
    );
    assert!(columns.get("rows").is_none());
}

#[tokio::test]
async fn folders_partitions_and_line_delimited_json_are_tables() {
    let folder = folder(&[
        ("sales/year=2025/a.csv", "n\n1\n2\n"),
        ("sales/year=2026/deeper/b.csv", "n\n4\n"),
        ("events.ndjson", "{\"kind\":\"in\",\"tags\":[\"a\",\"b\"]}\n{\"kind\":\"out\",\"tags\":[]}\n"),
    ]);
    let lake = Lake::over(folder.path());
    let rows = lake.query("select year, sum(n) from sales group by year order by year").await.unwrap();
    assert_eq!(rows, json!([["2025", 3], ["2026", 4]]));
    let rows = lake.query("select kind, tags from events where kind = 'in'").await.unwrap();
    assert_eq!(rows, json!([["in", ["a", "b"]]]));
    let list = lake.call("gcs_list_tables", json!({"limit": 1})).await.unwrap();
    assert_eq!(list["items"][0]["name"], "events");
    let next = lake.call("gcs_list_tables", json!({"cursor": list["next_cursor"]})).await.unwrap();
    assert_eq!(next["items"][0]["partition_columns"], json!(["year"]));
    assert_eq!(next["truncated"], false);
}

#[tokio::test]
async fn the_example_answers_as_it_was_made() {
    let lake = Lake::over(&example_folder());
    let totals = lake
        .query(
            "select c.country, count(*), sum(o.quantity), sum(o.quantity * o.unit_price) from lake.main.orders o \
             join customers c on c.customer_id = o.customer_id group by c.country order by c.country",
        )
        .await
        .unwrap();
    assert_eq!(totals, examples::totals_by_country());
    let table = lake.call("gcs_describe_table", json!({"table": "orders"})).await.unwrap();
    assert_eq!((&table["rows"], &table["format"], &table["files"]), (&json!(1200), &json!("parquet"), &json!(2)));
    let preview = lake.call("gcs_preview_table", json!({"table": "inventory", "limit": 2})).await.unwrap();
    assert_eq!((&preview["row_count"], &preview["truncated"]), (&json!(2), &json!(true)));
}

#[tokio::test]
async fn every_cap_announces_itself() {
    let lake = Lake::with(&example_folder(), json!({"queryMaxRows": 50, "queryMaxKiB": 1}));
    let ask = |sql: &'static str, rows: u32| lake.call("gcs_query_data", json!({"sql": sql, "max_rows": rows}));
    let cap =
        |result: &Value| (result["row_count"].clone(), result["truncated"].clone(), result["truncated_by"].clone());
    let ids = "select order_id from orders order by order_id";
    assert_eq!(cap(&ask(ids, 5).await.unwrap()), (json!(5), json!(true), json!("rows")));
    assert_eq!(cap(&ask(ids, 10_000).await.unwrap()), (json!(50), json!(true), json!("rows")));
    let wide = ask("select * from orders", 50).await.unwrap();
    assert_eq!(wide["truncated_by"], "bytes");
    assert!(wide["rows"].to_string().len() <= 1024);
    assert_eq!(cap(&ask("select 1", 5).await.unwrap()), (json!(1), json!(false), Value::Null));
    let lake = Lake::over(&example_folder());
    let long = lake.call("gcs_query_data", json!({"sql": "select repeat('x', 100000)"})).await.unwrap();
    assert_eq!(long["shortened_cells"], 1);
    assert!(long["rows"][0][0].as_str().unwrap().len() < 20_010);
}

#[tokio::test]
async fn mistakes_in_a_query_are_explained_to_the_caller() {
    let lake = Lake::over(&example_folder());
    let error = lake.refused("select nosuch from orders").await;
    assert!(error.starts_with("invalid_argument: ") && error.contains("nosuch"), "{error}");
    let error = lake.refused("select 1/0").await;
    assert!(error.starts_with("invalid_argument: "), "{error}");
    let error = lake.refused("select cast('x' as int)").await;
    assert!(error.starts_with("invalid_argument: "), "{error}");
    let error = lake.call("gcs_describe_table", json!({"table": "nosuch"})).await.unwrap_err().to_string();
    assert!(error.starts_with("not_found: there is no table \"nosuch\""), "{error}");
    for arguments in
        [json!({}), json!({"sql": ""}), json!({"sql": "select 1", "max_rows": 0}), json!({"sql": "select 1", "x": 1})]
    {
        let error = lake.call("gcs_query_data", arguments.clone()).await.unwrap_err().to_string();
        assert!(error.starts_with("invalid_argument: "), "{arguments}: {error}");
    }
}

#[tokio::test]
async fn a_damaged_file_spoils_its_own_table_only() {
    let folder = folder(&[("bad.parquet", "this is no parquet"), ("good.csv", "a\n1\n")]);
    let lake = Lake::over(folder.path());
    let error = lake.refused("select * from bad").await;
    assert!(error.starts_with("upstream: "), "{error}");
    assert_eq!(lake.query("select a from good").await.unwrap(), json!([[1]]));
}

#[tokio::test]
async fn a_link_out_of_the_folder_is_no_table() {
    let folder = folder(&[("good.csv", "a\n1\n")]);
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("passwd.csv")).unwrap();
    let lake = Lake::over(folder.path());
    assert!(lake.refused("select * from passwd").await.starts_with("not_found: "));
    let list = lake.call("gcs_list_tables", json!({})).await.unwrap();
    assert_eq!(list["skipped"], json!([{"source": "passwd.csv", "reason": "symbolic links are not followed"}]));
}

#[tokio::test]
async fn readiness_says_why_a_lake_cannot_be_served() {
    assert!(Lake::over(&example_folder()).probe().await.is_ok());
    let pod = Lake::in_a_pod(&example_folder()).probe().await.unwrap_err().to_string();
    assert_eq!(pod, "forbidden: settings.location: a file:// folder is allowed only under `aperium up`");
    let missing = Lake::over(Path::new("/nonexistent/lake")).probe().await.unwrap_err().to_string();
    assert!(missing.starts_with("upstream_unavailable: settings.location: the folder cannot be opened"), "{missing}");
    let empty = folder(&[]);
    let empty = Lake::over(empty.path()).probe().await.unwrap_err().to_string();
    assert!(empty.contains("holds no Parquet, CSV or NDJSON table"), "{empty}");
}
