//! What PostgreSQL can store, and what arrives.

use serde_json::{Value, json};

use crate::server::shared;
use crate::service::{Options, Service};

async fn one(service: &Service, expression: &str) -> Value {
    service.query(&format!("select {expression}")).await.ok()["rows"][0][0].clone()
}

#[tokio::test]
async fn every_type_arrives_without_loss() {
    let server = shared();
    let service = Service::start(&server, Options::new(&server)).await;
    for (expression, value) in [
        ("null::int", Value::Null),
        ("true", json!(true)),
        ("32767::int2", json!(32767)),
        ("(-2147483648)::int4", json!(-2_147_483_648_i64)),
        ("9007199254740991::int8", json!(9_007_199_254_740_991_i64)),
        ("9223372036854775807::int8", json!("9223372036854775807")),
        ("0.1::float4", json!(0.1)),
        ("0.1::float8", json!(0.1)),
        ("'NaN'::float8", json!("NaN")),
        ("'-infinity'::float4", json!("-Infinity")),
        (
            "12345678901234567890.123456789012345678901234567890",
            json!("12345678901234567890.123456789012345678901234567890"),
        ),
        ("-0.00000000000000000001::numeric", json!("-0.00000000000000000001")),
        ("1e40::numeric", json!("10000000000000000000000000000000000000000")),
        ("100.00::numeric(10,2)", json!("100.00")),
        ("0::numeric", json!("0")),
        ("'NaN'::numeric", json!("NaN")),
        ("'äö\u{1f600}'::text", json!("äö😀")),
        ("'a'::char(3)", json!("a  ")),
        ("'x'::\"char\"", json!("x")),
        ("'\\x00ff10'::bytea", json!("AP8Q")),
        ("'2026-02-28'::date", json!("2026-02-28")),
        ("'infinity'::date", json!("infinity")),
        ("'0044-03-15 BC'::date", json!("-0043-03-15")),
        ("'2026-01-02 03:04:05.678901'::timestamp", json!("2026-01-02T03:04:05.678901")),
        ("'2026-01-02 03:04:05+02'::timestamptz", json!("2026-01-02T01:04:05Z")),
        ("'294276-12-31 23:59:59.999999'::timestamp", json!("+294276-12-31T23:59:59.999999")),
        ("'23:59:59.5'::time", json!("23:59:59.5")),
        ("'12:00:00-03:30'::timetz", json!("12:00:00-03:30")),
        ("'1 year 2 mons 3 days 04:05:06.7'::interval", json!("P1Y2M3DT4H5M6.7S")),
        ("'-1 day'::interval", json!("P-1D")),
        ("'0'::interval", json!("PT0S")),
        ("'01234567-89ab-cdef-0123-456789abcdef'::uuid", json!("01234567-89ab-cdef-0123-456789abcdef")),
        ("'{\"a\": [1, 2.50, null]}'::json", json!({"a": [1, 2.5, null]})),
        ("'{\"b\": 1, \"a\": \"x\"}'::jsonb", json!({"a": "x", "b": 1})),
        ("'{\"a\": 12345678901234567890.5}'::jsonb", json!("{\"a\": 12345678901234567890.5}")),
        ("'{\"a\": 1, \"a\": 2}'::json", json!("{\"a\": 1, \"a\": 2}")),
        ("'192.168.1.0/24'::cidr", json!("192.168.1.0/24")),
        ("'10.0.0.1'::inet", json!("10.0.0.1")),
        ("'fe80::1/64'::inet", json!("fe80::1/64")),
        ("'08:00:2b:01:02:03'::macaddr", json!("08:00:2b:01:02:03")),
        ("array[1,null,3]", json!([1, null, 3])),
        ("array[array['a','b'],array['c','d']]", json!([["a", "b"], ["c", "d"]])),
        ("array[]::text[]", json!([])),
        ("array[1.10, 2.20]::numeric[]", json!(["1.10", "2.20"])),
        ("'happy'::app.mood", json!("happy")),
        ("array['sad','ok']::app.mood[]", json!(["sad", "ok"])),
        ("5::app.positive", json!(5)),
        ("4711::oid", json!(4711)),
        // Types without a form of ours come as the server's own text.
        ("'12.34'::money::text is not null", json!(true)),
        ("point(1,2)", json!("(1,2)")),
        ("int4range(1,5)", json!("[1,5)")),
        ("'a b'::tsvector", json!("'a' 'b'")),
        ("row(1,'x')::app.pair", json!("(1,x)")),
        ("row(1,'x')", json!("(1,x)")),
        ("'101'::bit(3)", json!("101")),
        ("'<a/>'::xml", json!("<a/>")),
        ("'app.orders'::regclass", json!("app.orders")),
        ("array[point(1,2)]", json!("{\"(1,2)\"}")),
    ] {
        assert_eq!(one(&service, expression).await, value, "{expression}");
    }
}

#[tokio::test]
async fn columns_that_share_a_name_are_all_there_in_order() {
    let server = shared();
    let service = Service::start(&server, Options::new(&server)).await;
    let table = service.query("select 1 as a, 2 as a, point(3,4) as a -- and a comment at the end").await.ok();
    assert_eq!(table["rows"], json!([[1, 2, "(3,4)"]]));
    assert_eq!(table["columns"].as_array().unwrap().len(), 3);
    let ordered = service.query("select point(id, 0), id from app.orders order by id desc limit 2;").await.ok();
    assert_eq!(ordered["rows"], json!([["(250,0)", 250], ["(249,0)", 249]]));
}
