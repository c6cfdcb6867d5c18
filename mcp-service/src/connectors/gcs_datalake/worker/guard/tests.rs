//! What the guard lets through and what it refuses.

use super::*;

fn refused(sql: &str) -> String {
    on_big_stack(sql.to_owned(), |sql| select(&sql).map(drop)).unwrap_err().message
}

/// The worker gives the guard a stack of its own; so must a test.
fn on_big_stack<T: Send + 'static>(sql: String, check: fn(String) -> T) -> T {
    let thread = std::thread::Builder::new().stack_size(super::super::PLANNER_STACK);
    thread.spawn(move || check(sql)).unwrap().join().unwrap()
}

#[test]
fn selects_of_all_usual_kinds_pass() {
    for sql in [
        "select 1",
        "SELECT a, count(*) FROM t WHERE x IN (1,2,3) GROUP BY a HAVING count(*) > 1 ORDER BY 2 DESC LIMIT 5",
        "with x as (select 1 as a) select * from x join y using (a)",
        "values (1), (2)",
        "select * from a union all select * from b",
        "select 1;",
        "-- a comment\nselect 1",
    ] {
        assert!(select(sql).is_ok(), "{sql}");
    }
}

#[test]
fn statements_that_are_no_select_are_refused() {
    for sql in [
        "COPY orders TO '/tmp/out.csv'",
        "COPY (select * from orders) TO '/tmp/out.parquet' STORED AS PARQUET",
        "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
        "CREATE TABLE x AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "CREATE DATABASE d",
        "DROP TABLE orders",
        "INSERT INTO orders VALUES (1)",
        "UPDATE orders SET a = 1",
        "DELETE FROM orders",
        "TRUNCATE TABLE orders",
        "SET datafusion.execution.batch_size = 1",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "BEGIN",
        "CREATE FUNCTION f() RETURNS INT RETURN 1",
        "RESET datafusion.execution.batch_size",
        "ALTER TABLE orders ADD COLUMN a INT",
    ] {
        let message = refused(sql);
        assert!(message.contains("only SELECT is allowed") || message.contains("cannot be read"), "{sql}: {message}");
    }
}

#[test]
fn explain_in_any_form_points_to_its_own_tool() {
    for sql in ["EXPLAIN select 1", "explain analyze select 1", "EXPLAIN INSERT INTO orders VALUES (1)"] {
        assert!(refused(sql).contains("gcs_explain_query"), "{sql}");
    }
}

#[test]
fn two_statements_and_none_are_refused() {
    assert!(refused("select 1; drop table orders").contains("one statement"));
    assert!(refused("").contains("empty"));
    assert!(refused("  ; ").contains("empty") || refused("  ; ").contains("cannot be read"));
}

#[test]
fn a_chain_is_allowed_up_to_the_depth_limit_and_refused_beyond() {
    let chain = |terms: usize| format!("select {}", vec!["1"; terms].join("+"));
    // The query itself is one level, each operator one, the innermost number one.
    let fits = MAX_DEPTH as usize - 1;
    assert!(on_big_stack(chain(fits), |sql| select(&sql).is_ok()));
    assert!(refused(&chain(fits + 1)).contains("200 levels"));
    assert!(refused(&chain(1000)).contains("200 levels"));
    assert!(refused(&chain(9_000)).contains("200 levels"));
    assert!(refused(&chain(MAX_SQL_BYTES / 2 - 10)).contains("words and signs"));
}

#[test]
fn every_other_limit_says_which_one_it_is() {
    assert!(refused(&vec!["select 1"; 150].join(" union ")).contains("SELECTs"));
    assert!(refused(&format!("select * from {}", vec!["t"; 65].join(","))).contains("FROM"));
    assert!(refused(&format!("select 1 in ({})", vec!["1"; 15_000].join(","))).contains("words and signs"));
    assert!(refused(&format!("select f({})", vec!["-a"; 6_000].join(","))).contains("expressions"));
    assert!(refused(&format!("select {}1{}", "(".repeat(2000), ")".repeat(2000))).contains("cannot be read"));
    assert!(refused(&format!("select '{}'", "x".repeat(MAX_SQL_BYTES))).contains("longer than"));
    assert!(refused("select 'open").contains("cannot be read"));
}
