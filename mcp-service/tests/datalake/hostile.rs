//! Queries that mean harm, each ending in one clear error while others go on.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{CROSS_JOIN, Lake, example_folder};

/// Memory and time small enough for a test, large enough for an honest query in a debug build.
fn small() -> Lake {
    Lake::with(&example_folder(), json!({"queryTimeoutSeconds": 6, "queryMemoryMiB": 256}))
}

const HONEST: &str = "select count(*) from orders";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_without_end_is_stopped_while_others_go_on() {
    let lake = small();
    let started = Instant::now();
    let (hostile, honest) = tokio::join!(lake.refused(CROSS_JOIN), lake.query(HONEST));
    assert_eq!(hostile, "timeout: query exceeded the time limit of 6 s");
    assert!(started.elapsed() < Duration::from_secs(12));
    assert_eq!(honest.unwrap(), json!([[1200]]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_constant_that_needs_gigabytes_hits_the_memory_limit_while_others_go_on() {
    let lake = small();
    for sql in [
        "select repeat('x', 2000000000)",
        "select repeat(name, 10000000) from customers",
        "select range(1, 10000000000)",
    ] {
        let (hostile, honest) = tokio::join!(lake.refused(sql), lake.query(HONEST));
        assert_eq!(hostile, "too_large: query exceeded the memory limit of 256 MiB", "{sql}");
        assert_eq!(honest.unwrap(), json!([[1200]]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_aggregate_that_outgrows_the_memory_pool_is_stopped() {
    let sql = "select count(*) from (select distinct a.value, b.value from generate_series(1, 100000) a, \
               generate_series(1, 1000) b)";
    let lake = Lake::with(&example_folder(), json!({"queryTimeoutSeconds": 60, "queryMemoryMiB": 64}));
    assert_eq!(lake.refused(sql).await, "too_large: query exceeded the memory limit of 64 MiB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_doubles_with_every_line_is_stopped() {
    let doubled = |n: u32| format!("t{n} as (select a.x from t{m} a, t{m} b)", m = n - 1);
    let lines: Vec<_> = (1..=25).map(doubled).collect();
    let sql = format!("with t0 as (select 1 as x), {} select count(*) from t25", lines.join(", "));
    let error = small().refused(&sql).await;
    assert!(error.starts_with("timeout: ") || error.starts_with("too_large: "), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_terms_are_refused_and_two_hundred_are_computed() {
    let lake = small();
    let chain = |terms: usize| format!("select {}", vec!["1"; terms].join("+"));
    for terms in [1_000, 9_000] {
        let (deep, honest) = tokio::join!(async { lake.refused(&chain(terms)).await }, lake.query(HONEST));
        assert!(deep.starts_with("invalid_argument: the query nests expressions more than 200 levels deep"), "{deep}");
        assert_eq!(honest.unwrap(), json!([[1200]]));
    }
    // As deep as allowed, on columns so that nothing is folded away: no stack overflow below the limit either.
    assert_eq!(lake.query(&chain(199)).await.unwrap(), json!([[199]]));
    let columns = format!("select max({}) from orders", vec!["quantity"; 198].join("+"));
    assert!(lake.query(&columns).await.is_ok());
}

#[tokio::test]
async fn statements_that_are_no_select_are_refused() {
    let lake = small();
    for sql in [
        "COPY orders TO '/tmp/aperium-test-out.csv'",
        "COPY (SELECT * FROM orders) TO '/tmp/aperium-test-out.parquet' STORED AS PARQUET",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE TABLE x AS SELECT * FROM orders",
        "CREATE VIEW x AS SELECT * FROM orders",
        "CREATE SCHEMA s",
        "DROP TABLE orders",
        "INSERT INTO orders SELECT * FROM orders",
        "UPDATE orders SET quantity = 0",
        "DELETE FROM orders",
        "SET datafusion.execution.target_partitions = 64",
        "PREPARE p AS SELECT 1",
        "EXPLAIN INSERT INTO orders SELECT * FROM orders",
        "EXPLAIN ANALYZE SELECT count(*) FROM orders",
        "SELECT 1; DROP TABLE orders",
        "SHOW ALL",
    ] {
        let error = lake.refused(sql).await;
        assert!(error.starts_with("invalid_argument: "), "{sql}: {error}");
    }
    assert!(!std::path::Path::new("/tmp/aperium-test-out.csv").exists());
    assert!(lake.refused("WITH x AS (INSERT INTO orders SELECT 1) SELECT * FROM x").await.starts_with("invalid"));
    assert_eq!(lake.query(HONEST).await.unwrap(), json!([[1200]]));
}

#[tokio::test]
async fn files_beside_the_lake_cannot_be_named() {
    let lake = small();
    for sql in [
        "select * from '/etc/passwd'",
        "select * from \"/etc/passwd\"",
        "select * from 'file:///etc/passwd'",
        "select * from '../datalake/customers.csv'",
        "select * from information_schema.tables",
        "select * from read_csv('/etc/passwd')",
    ] {
        let error = lake.refused(sql).await;
        assert!(error.starts_with("not_found: ") || error.starts_with("invalid_argument: "), "{sql}: {error}");
        assert!(!error.contains("root:"), "{sql}: {error}");
    }
    let error = lake.refused("select * from '/etc/passwd'").await;
    assert_eq!(
        error,
        "not_found: there is no table \"/etc/passwd\"; the tables are: customers, inventory, orders, shipments"
    );
}

#[tokio::test]
async fn explain_shows_a_plan_runs_nothing_and_has_the_same_limits() {
    let lake = small();
    let explain = |sql: &'static str| lake.call("gcs_explain_query", json!({"sql": sql}));
    let plan = explain("select status, count(*) from orders where year = '2026' group by status").await.unwrap();
    assert!(plan["logical_plan"].as_str().unwrap().contains("TableScan: orders"));
    let physical = plan["physical_plan"].as_str().unwrap();
    // The filter on the partition column leaves one of two files, and no path of this machine is shown.
    assert!(physical.contains("orders/year=2026/") && !physical.contains("year=2025"), "{physical}");
    assert!(!physical.contains(example_folder().to_str().unwrap()), "{physical}");
    let endless = explain("select count(*) from orders a, orders b, orders c, orders d").await;
    assert!(endless.is_ok(), "planning alone is quick");
    let folded = explain("select repeat('x', 2000000000)").await.unwrap_err();
    assert_eq!(folded.to_string(), "too_large: query exceeded the memory limit of 256 MiB");
    assert!(explain("explain select 1").await.unwrap_err().to_string().contains("without EXPLAIN"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_house_says_so_and_empties_again() {
    let settings = json!({"queryTimeoutSeconds": 9, "queryMaxConcurrent": 1});
    let lake = Lake::with(&example_folder(), settings);
    let late = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        lake.query(HONEST).await.unwrap_err()
    };
    let (hostile, late) = tokio::join!(lake.refused(CROSS_JOIN), late);
    assert!(hostile.starts_with("timeout: "));
    assert_eq!(late.to_string(), "rate_limited: all 1 query slots are busy");
    assert!(late.retry_after.is_some());
    assert!(lake.query(HONEST).await.is_ok());
}
