//! One reading or none: flaws by hand, then against `serde_json` itself.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn reason(text: &str) -> &'static str {
    check_strict(text.as_bytes()).map_or_else(|error| error.reason(), |()| "Ok")
}

fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

#[test]
fn one_plain_value_is_accepted() {
    for text in [
        "{}",
        "[]",
        "null",
        "1",
        "-1.5e3",
        "\"a\"",
        " {\"a\": {\"a\": 1}, \"b\": [{\"a\": 1}, {\"a\": 2}]} \n",
        "{\"a\":{},\"b\":{\"a\":{}}}",
        "18446744073709551616",
    ] {
        assert_eq!(reason(text), "Ok", "{text}");
    }
}

#[test]
fn a_key_twice_is_refused_at_any_depth_and_in_any_spelling() {
    let twice = [
        r#"{"a":1,"a":1}"#,
        r#"{"method":"tools/list","method":"tools/call"}"#,
        r#"{"a":{"b":[{"c":1,"c":2}]}}"#,
        r#"[{"x":0},{"a":1,"b":2,"a":3}]"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"\u0061":1,"a":2}"#,
        r#"{"":1,"":2}"#,
        r#"{"é":1,"\u00e9":2}"#,
        r#"{"a":{"a":1},"a":2}"#,
        r#"{"\ud83d\ude00":1,"😀":2}"#,
        r#"{"a\/b":1,"a/b":2}"#,
    ];
    for text in twice {
        assert_eq!(reason(text), "DuplicateKey", "{text}");
    }
    for text in [r#"{"a":1,"A":2}"#, r#"{"a":1,"a ":2}"#, r#"{"é":1,"e\u0301":2}"#] {
        assert_eq!(reason(text), "Ok", "{text}");
    }
}

#[test]
fn a_key_twice_is_found_among_many_and_beside_objects_with_many() {
    for count in [1, 2, LINEAR_KEYS - 1, LINEAR_KEYS, LINEAR_KEYS + 1, 1000] {
        let keys = |count: usize| (0..count).map(|n| format!("\"k{n}\":{{\"k0\":[1]}}")).collect::<Vec<_>>().join(",");
        assert_eq!(reason(&format!("{{{}}}", keys(count))), "Ok", "{count}");
        for again in [0, count / 2, count - 1] {
            let text = format!("{{{},\"k{again}\":0}}", keys(count));
            assert_eq!(reason(&text), "DuplicateKey", "{count} {again}");
        }
        let outer = format!("{{\"a\":{{{}}},\"k0\":1,\"a\":2}}", keys(count));
        assert_eq!(reason(&outer), "DuplicateKey", "{count}");
    }
}

#[test]
fn depth_ends_at_127() {
    assert_eq!(reason(&nested(127)), "Ok");
    assert_eq!(reason(&nested(128)), "JsonTooDeep");
    assert_eq!(reason(&nested(100_000)), "JsonTooDeep");
    assert_eq!(reason(&"{\"a\":".repeat(128)), "JsonTooDeep");
    assert_eq!(reason(&format!("{}1{}", "{\"a\":".repeat(127), "}".repeat(127))), "Ok");
    assert_eq!(reason(&format!("[{0},{0}]", nested(126))), "Ok", "depth counts what is open, not what was");
}

#[test]
fn what_follows_the_value_is_refused() {
    for text in ["{} {}", "{}x", "1 2", "[],", "null\u{0}"] {
        assert_eq!(reason(text), "TrailingBytes", "{text}");
    }
}

#[test]
fn malformed_text_is_refused() {
    let bad = [
        "",
        " ",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "'a'",
        "NaN",
        "01",
        "1.",
        "+1",
        "\"\\x\"",
        "\"\u{1}\"",
        "\"a",
        "{\"a\" 1}",
        "nul",
        "\u{feff}{}",
        "// x\n1",
        r#""\ud800""#,
        "1e999",
    ];
    for text in bad {
        assert_eq!(reason(text), "MalformedJson", "{text:?}");
    }
    assert!(matches!(check_strict(b"\"\xff\""), Err(JsonError::Syntax { .. })));
    assert!(matches!(check_strict(b"{\"\xff\":1}"), Err(JsonError::Syntax { .. })));
    assert_eq!(check_strict(b"{\n \"a\":1,\n \"a\":2}"), Err(JsonError::DuplicateKey { line: 3, column: 4 }));
}

#[test]
fn errors_never_quote_the_text() {
    for text in [r#"{"hush":1,"hush":2}"#, "{\"a\": hush}", "[1] hush"] {
        let error = check_strict(text.as_bytes()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hush"));
    }
}

/// A megabyte of keys is checked in linear time: with a quadratic search this takes minutes.
#[test]
fn a_hostile_object_does_not_burn_time() {
    let text = format!("{{{}}}", (0..200_000).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(","));
    let started = std::time::Instant::now();
    assert_eq!(reason(&text), "Ok");
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 30, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".{0,3}", inner, 0..30)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_serde_json_writes_is_accepted(value in value()) {
        prop_assert_eq!(check_strict(&serde_json::to_vec(&value).unwrap()), Ok(()));
    }

    #[test]
    fn a_repeated_member_is_always_found(value in value(), other in value(), key in ".{0,4}") {
        let member = |v: &Value| format!("{}:{v}", json!(key));
        let text = format!("[{value},{{{},{}}}]", member(&value), member(&other));
        prop_assert!(matches!(check_strict(text.as_bytes()), Err(JsonError::DuplicateKey { .. })), "{}", text);
    }

    #[test]
    fn what_is_accepted_is_json(text in "[\\[\\]{}\",:0-9a-b\\\\ .eu-]{0,24}") {
        if check_strict(text.as_bytes()).is_ok() {
            prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
        } else if serde_json::from_str::<Value>(&text).is_ok() {
            prop_assert!(matches!(check_strict(text.as_bytes()), Err(JsonError::DuplicateKey { .. })), "{}", text);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>) {
        let _ = check_strict(&bytes);
    }
}
