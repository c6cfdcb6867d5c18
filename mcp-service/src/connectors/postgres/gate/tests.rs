//! What passes the gate and what does not.

use super::*;

fn open() -> Settings {
    Settings::default()
}

fn only_app() -> Settings {
    Settings { allowed_schemas: vec!["app".to_owned()], ..Settings::default() }
}

#[test]
fn every_known_attack_is_refused() {
    for sql in [
        "insert into t values (1)",
        "with x as (insert into t values (1) returning 1) select * from x",
        "with x as (delete from t returning 1) select * from x",
        "with x as (update t set a = 1 returning 1) select * from x",
        "select * into t2 from t",
        "select * from t for update",
        "select * from (select * from t for share) x",
        "create temp table x (a int)",
        "explain analyze delete from t",
        "explain (analyze) insert into t values (1)",
        "select 1; drop table t",
        "commit; drop table t",
        "commit",
        "begin",
        "set transaction read write",
        "set statement_timeout = 0",
        "reset role",
        "set role postgres",
        "select lo_create(0)",
        "select lo_import('/etc/passwd')",
        "select pg_notify('a', 'b')",
        "notify a",
        "listen a",
        "select pg_advisory_lock(1)",
        "select pg_try_advisory_lock(1)",
        "select pg_terminate_backend(1)",
        "select pg_catalog.pg_cancel_backend(1)",
        "do $$ begin end $$",
        "copy t to '/tmp/x'",
        "copy t to program 'id'",
        "copy t from stdin",
        "select pg_read_file('/etc/passwd')",
        "select * from pg_read_file('/etc/passwd')",
        "select * from pg_catalog.pg_read_file('/etc/passwd') as x",
        "select * from t, lateral pg_read_binary_file('/etc/passwd') x",
        "select * from t join pg_ls_dir('/') d on true",
        "select PG_READ_FILE('/etc/passwd')",
        "select \"pg_read_file\"('/etc/passwd')",
        "select set_config('statement_timeout', '0', true)",
        "select a from t where pg_sleep(0) is null and set_config('x.y', '0', true) = ''",
        "select a from t order by set_config('x.y', '0', true)",
        "select case when true then pg_reload_conf() end",
        "select array(select pg_ls_dir('/'))",
        "select (select pg_stat_file('/etc/passwd'))",
        "select coalesce(pg_read_file('/etc/passwd'), '')",
        "values (pg_read_file('/etc/passwd'))",
        "select dblink_exec('host=x', 'drop table t')",
        "select * from dblink('host=x', 'select 1') as t(a int)",
        "select query_to_xml('delete from t', true, true, '')",
        "select nextval('s')",
        "select setval('s', 1)",
        "call p()",
        "execute x",
        "prepare x as select 1",
        "vacuum t",
        "analyze t",
        "truncate t",
        "alter table t add a int",
        "drop table t",
        "grant all on t to public",
        "create function f() returns int language sql as 'select 1'",
        "refresh materialized view m",
        "lock table t",
        "declare c cursor for select 1",
        "fetch all from c",
        "show all; select 1",
        "",
        ";",
        "-- nothing",
    ] {
        let error = read_only(sql, &open()).expect_err(sql);
        assert!(matches!(error.code.as_str(), "forbidden" | "invalid_argument"), "{sql}: {error}");
    }
}

#[test]
fn a_function_is_found_wherever_an_expression_can_stand() {
    for shape in [
        "select F",
        "select (F).x",
        "select F::text",
        "select cast(F as text)",
        "select F collate \"C\"",
        "select F is null",
        "select not F",
        "select a[F] from t",
        "select array[F]",
        "select row(F, 1)",
        "select extract(epoch from F)",
        "select position('a' in F)",
        "select substring(F from 1 for 2)",
        "select trim(both F from 'x')",
        "select overlay(F placing 'x' from 1)",
        "select a between F and 'z' from t",
        "select a in ('x', F) from t",
        "select a in (select F) from t",
        "select a = any (array[F]) from t",
        "select a like F from t",
        "select exists (select F)",
        "select case F when 'a' then 1 end",
        "select case when a = F then 1 else 2 end from t",
        "select case when true then 1 else F end",
        "select count(*) filter (where F = 'a') from t",
        "select sum(a) over (partition by F) from t",
        "select sum(a) over (order by F) from t",
        "select sum(a) over w from t window w as (partition by F)",
        "select string_agg(a, F order by a) from t",
        "select string_agg(a, ',' order by F) from t",
        "select percentile_cont(0.5) within group (order by F) from t",
        "select distinct on (F) a from t",
        "select a from t where F = 'a'",
        "select a from t group by F",
        "select a from t group by a having F = 'a'",
        "select a from t order by F",
        "select a from t limit length(F)",
        "select a from t offset length(F)",
        "select * from t join u on t.a = F",
        "select * from t, lateral (select F) x",
        "select * from t tablesample system (length(F))",
        "select * from unnest(array[F]) x",
        "select * from generate_series(1, length(F))",
        "select * from json_table(F, '$[*]' columns (a int path '$.a')) x",
        "with x as (select F) select * from x",
        "with recursive x as (select 1 union all select length(F) from x) select * from x",
        "values (F)",
        "select 1 union all select length(F)",
        "select coalesce(nullif(upper(F), ''), 'a')",
        "select 'a' || F",
        "select -length(F)",
        "explain select F",
        "explain analyze select F",
    ] {
        let sql = shape.replace('F', "pg_read_file('/etc/passwd')");
        assert!(read_only(&sql, &open()).is_err(), "{sql}");
        // The shape itself is fine, so it was the function that was found.
        let harmless = shape.replace('F', "lower('/etc/passwd')");
        if let Err(error) = read_only(&harmless, &open()) {
            panic!("{harmless}: {error}");
        }
        let relation = shape.replace('F', "(select max(name) from secret.salaries)");
        assert!(read_only(&relation, &only_app()).is_err(), "{relation}");
    }
}

#[test]
fn analytical_queries_pass() {
    for sql in [
        "select 1",
        "select 1;",
        "select * from app.t where a = $1 and b like 'x%' limit 10",
        "with recursive r(n) as (select 1 union all select n + 1 from r where n < 5) select * from r",
        "select percentile_cont(0.5) within group (order by a) from t",
        "select sum(a) filter (where b) over (partition by c order by d rows between 1 preceding and current row) from t",
        "select a, count(*) from t group by grouping sets ((a), ())",
        "select * from t, lateral (select * from u where u.a = t.a limit 1) x",
        "select * from generate_series(1, 10) with ordinality as g(a, b)",
        "select * from t tablesample system (10)",
        "select j ->> 'a', j #> '{b,c}' from t where j @> '{\"a\": 1}'",
        "select 'pg_read_file(''/etc/passwd'')'",
        "select a::numeric(10,2), cast(b as text), c at time zone 'utc' from t",
        "select now(), current_user, version()",
        "select * from a union all select * from b except select * from c",
        "values (1, 'a'), (2, 'b')",
        "explain select * from t",
        "explain (analyze, buffers) select * from t",
        "show server_version",
        "select e'a\\'b', $$dollar; quoted$$",
        "select /* ; drop table t */ 1 -- ; drop table t",
        "select * from information_schema.tables",
        "select pg_size_pretty(pg_total_relation_size('t'))",
        "select pg_sleep(0.01)",
    ] {
        if let Err(error) = read_only(sql, &open()) {
            panic!("{sql}: {error}");
        }
    }
}

#[test]
fn other_schemas_are_closed_when_some_are_allowed() {
    for sql in [
        "select * from secret.t",
        "select * from app.t join secret.u using (id)",
        "select * from app.t where exists (select from secret.u)",
        "select secret.f()",
        "select * from secret.f()",
        "select * from db.secret.t",
        "select * from \"Secret\".t",
        "select * from APP2.t",
    ] {
        assert!(read_only(sql, &only_app()).is_err(), "{sql}");
    }
    for sql in ["select * from app.t", "select * from t", "select * from APP.t", "select * from pg_catalog.pg_class"] {
        assert!(read_only(sql, &only_app()).is_ok(), "{sql}");
    }
}

#[test]
fn a_change_is_one_statement_of_four_kinds() {
    for sql in [
        "insert into t values (1) returning id",
        "insert into t select * from u on conflict do nothing",
        "update t set a = 1 where b = $1",
        "delete from t where a = 1",
        "merge into t using u on t.a = u.a when matched then update set b = 1",
        "with x as (select 1 as a) insert into t select a from x",
    ] {
        if let Err(error) = change(sql, &open()) {
            panic!("{sql}: {error}");
        }
    }
    for sql in [
        "select 1",
        "drop table t",
        "truncate t",
        "insert into t values (1); delete from t",
        "delete from t where a = pg_terminate_backend(1)",
        "insert into t values (lo_import('/etc/passwd'))",
        "copy t from '/tmp/x'",
        "create table x (a int)",
    ] {
        assert!(change(sql, &open()).is_err(), "{sql}");
    }
    assert!(change("insert into secret.t values (1)", &only_app()).is_err());
    assert!(change("update secret.t set a = 1", &only_app()).is_err());
    assert!(change("delete from secret.t", &only_app()).is_err());
}

#[test]
fn deep_nesting_is_refused_and_overflows_nothing() {
    let deep = format!("select {}1{}", "(".repeat(20_000), ")".repeat(20_000));
    assert!(read_only(&deep, &open()).is_err());
    let nested = format!("select {}1{}", "(select ".repeat(5_000), ")".repeat(5_000));
    assert!(read_only(&nested, &open()).is_err());
}

#[test]
fn a_thousand_terms_overflow_nothing() {
    let terms = vec!["1"; 5_000].join("+");
    let _ = read_only(&format!("select {terms}"), &open());
    let ands = vec!["a = 1"; 5_000].join(" or ");
    let _ = read_only(&format!("select 1 from t where {ands}"), &open());
    let unions = vec!["select 1"; 5_000].join(" union all ");
    let _ = read_only(&unions, &open());
}
