use super::*;
use serde_json::json;

fn read(schema: &Value) -> Result<Mirrored, &'static str> {
    let definition = json!({ "name": "t", "inputSchema": schema }).to_string();
    Mirrored::read(&serde_json::from_str::<Box<RawValue>>(&definition).unwrap())
}

fn property(kind: &Value, header: &str) -> Value {
    json!({ "type": kind, "x-mcp-header": header })
}

fn raw(value: &Value) -> Box<RawValue> {
    serde_json::from_str(&value.to_string()).unwrap()
}

fn sent(mirrored: &Mirrored, arguments: &Value) -> Vec<(String, String)> {
    let headers = mirrored.headers(Some(&raw(arguments)));
    headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect()
}

fn check(mirrored: &Mirrored, headers: &[(&'static str, &str)], arguments: &Value) -> Result<(), String> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    mirrored.check(&map, Some(&raw(arguments))).map_err(|failure| failure.to_string())
}

#[test]
fn annotated_arguments_become_headers_and_nothing_else_does() {
    let mirrored = read(&json!({ "type": "object", "properties": {
        "region": property(&json!("string"), "Region"),
        "count": property(&json!("integer"), "Count"),
        "deep": { "type": "object", "properties": { "flag": property(&json!(["boolean", "null"]), "Flag") } },
        "query": { "type": "string" },
    } }))
    .unwrap();
    let arguments = json!({ "region": "Hello, 世界", "count": -7, "deep": { "flag": true }, "query": "x" });
    let mut headers = sent(&mirrored, &arguments);
    headers.sort();
    assert_eq!(
        headers,
        [
            ("mcp-param-count".into(), "-7".into()),
            ("mcp-param-flag".into(), "true".into()),
            ("mcp-param-region".into(), "=?base64?SGVsbG8sIOS4lueVjA==?=".to_owned()),
        ]
    );
    assert!(sent(&mirrored, &json!({ "region": null, "deep": {}, "count": [1] })).is_empty());
    assert!(mirrored.headers(None).is_empty());
}

#[test]
fn values_are_encoded_as_the_specification_shows() {
    let mirrored = read(&json!({ "properties": { "v": property(&json!("string"), "V") } })).unwrap();
    for (value, header) in [
        ("us-west1", "us-west1"),
        ("us west 1", "us west 1"),
        ("", ""),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("\tindented", "=?base64?CWluZGVudGVk?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
    ] {
        assert_eq!(sent(&mirrored, &json!({ "v": value })), [("mcp-param-v".to_owned(), header.to_owned())]);
        assert_eq!(check(&mirrored, &[("mcp-param-v", header)], &json!({ "v": value })), Ok(()));
    }
}

#[test]
fn m6_a_header_that_is_missing_malformed_doubled_or_different_is_refused() {
    let mirrored = read(&json!({ "properties": { "v": property(&json!("string"), "V") } })).unwrap();
    let hello = json!({ "v": "Hello" });
    for (headers, arguments, good) in [
        (&[("mcp-param-v", "Hello")][..], &hello, true),
        (&[("mcp-param-v", "  Hello ")], &hello, true),
        (&[("mcp-param-v", "=?base64?SGVsbG8=?=")], &hello, true),
        (&[("mcp-param-v", "SGVsbG8=")], &json!({ "v": "SGVsbG8=" }), true),
        (&[("mcp-param-v", "=?base64?SGVsbG8=")], &json!({ "v": "=?base64?SGVsbG8=" }), true),
        (&[("mcp-param-other", "x"), ("mcp-param-v", "Hello")], &hello, true),
        (&[], &json!({}), true),
        (&[], &json!({ "v": null }), true),
        (&[], &hello, false),
        (&[("mcp-param-v", "=?base64?SGVsbG8?=")], &hello, false),
        (&[("mcp-param-v", "=?base64?SGVs!!!bG8=?=")], &hello, false),
        (&[("mcp-param-v", "=?BASE64?SGVsbG8=?=")], &hello, false),
        (&[("mcp-param-v", "hello")], &hello, false),
        (&[("mcp-param-v", "Hello"), ("mcp-param-v", "Hello")], &hello, false),
        (&[("mcp-param-v", "Hello")], &json!({}), false),
    ] {
        let outcome = check(&mirrored, headers, arguments);
        assert_eq!(outcome.is_ok(), good, "{headers:?} {arguments}: {outcome:?}");
    }
}

#[test]
fn integers_are_compared_as_numbers_and_beyond_64_bits_as_text() {
    let mirrored = read(&json!({ "properties": { "v": property(&json!("integer"), "V") } })).unwrap();
    let arguments = |text: &str| serde_json::from_str::<Box<RawValue>>(&format!("{{\"v\":{text}}}")).unwrap();
    let check = |header: &str, text: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("mcp-param-v", HeaderValue::from_str(header).unwrap());
        mirrored.check(&headers, Some(&arguments(text))).is_ok()
    };
    for (header, text) in [("42", "42"), ("42.0", "42"), ("42", "42.0"), ("4.2e1", "42"), ("-0.5e1", "-5")] {
        assert!(check(header, text), "{header} {text}");
    }
    let big = "123456789012345678901234567890";
    assert!(check(big, big));
    assert!(!check("43", "42") && !check("123456789012345678901234567891", big));
    assert_eq!(mirrored.headers(Some(&arguments("42.0")))[0].1, "42");
}

#[test]
fn annotations_that_break_the_rules_are_refused() {
    let top = |property: Value| json!({ "type": "object", "properties": { "a": property } });
    for schema in [
        top(property(&json!("string"), "")),
        top(property(&json!("object"), "Data")),
        top(property(&json!("array"), "Items")),
        top(property(&json!("null"), "Nil")),
        top(property(&json!("number"), "Score")),
        top(property(&json!(["string", "number"]), "Score")),
        top(json!({ "x-mcp-header": "Untyped" })),
        top(json!({ "type": "string", "x-mcp-header": 7 })),
        top(property(&json!("string"), "My Region")),
        top(property(&json!("string"), "Region:Primary")),
        top(property(&json!("string"), "Région")),
        top(property(&json!("string"), "Region\t1")),
        top(property(&json!("string"), "A\r\nB")),
        json!({ "properties": { "a": property(&json!("string"), "MyField"), "b": property(&json!("string"), "myfield") } }),
        json!({ "type": "string", "x-mcp-header": "Root" }),
        top(json!({ "type": "array", "items": property(&json!("string"), "Item") })),
        top(json!({ "type": "object", "additionalProperties": property(&json!("string"), "More") })),
        json!({ "anyOf": [{ "properties": { "a": property(&json!("string"), "Any") } }] }),
        json!({ "if": { "properties": { "a": property(&json!("string"), "If") } } }),
        json!({ "$defs": { "a": property(&json!("string"), "Def") } }),
    ] {
        assert!(read(&schema).is_err(), "{schema}");
    }
}

#[test]
fn data_and_names_that_look_like_annotations_are_none() {
    for schema in [
        json!({ "properties": { "x-mcp-header": { "type": "number" } } }),
        json!({ "properties": { "a": { "type": "object", "default": { "x-mcp-header": "" } } } }),
        json!({ "examples": [{ "x-mcp-header": 1 }], "const": { "x-mcp-header": 1 } }),
    ] {
        assert!(read(&schema).unwrap().is_empty(), "{schema}");
    }
}
