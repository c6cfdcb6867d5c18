//! M7: everything that two readers of JSON could read differently. The classes are those of nst/JSONTestSuite (arrays,
//! numbers, objects, strings, structure, and what RFC 8259 leaves open); the cases and their verdicts are our own.

use crate::tests::harness::*;
use serde_json::Value;

/// One JSON value; each arrives at the upstream byte for byte.
#[rustfmt::skip]
const GOOD: &[&str] = &[
    // Literals and numbers.
    "null", "true", "false", "0", "-0", "1", "-1", "10", "1.5", "-0.0", "1e5", "1E5", "1e+5", "1e-5", "1.5e10", "0e1",
    "0e+1", "0.1e-1", "1e-999", "123456789012345678901234567890", "-9223372036854775809", "18446744073709551616",
    "0.1000000000000000055511151231257827", "1.7976931348623157e308",
    // Strings.
    r#""""#, r#""a""#, r#""\u0000""#, r#""\u0061""#, r#""\"\\\/\b\f\n\r\t""#, r#""\ud83d\ude00""#, r#""\uD83D\uDE00""#,
    "\"é\"", "\"😀\"", "\"\u{2028}\u{2029}\"", "\"\u{7f}\"", r#""\uFFFE\uFDD0""#, "\"\u{fffe}\"", r#""a/*b*/c//d""#,
    r#""\\u0000""#, "\"\u{feff}\"", "\" \"", r#""\u001f""#,
    // Arrays and objects.
    "[]", "[ ]", "[null]", "[1,2]", "[[]]", "[[],[[]]]", r#"["",0,null,true,{}]"#, "[1\n]", "[\t1 , 2\r\n]", "{}", "{ }",
    r#"{"a":1}"#, r#"{"":0}"#, r#"{"a":1,"b":2}"#, r#"{"a":1,"A":2}"#, r#"{"a":{"a":1}}"#, r#"[{"a":1},{"a":1}]"#,
    r#"{"a\u0000b":1}"#, r#"{"a" : [ ] }"#, "{\"é\":1,\"e\u{301}\":2}",
];

/// No JSON, wherever it stands.
#[rustfmt::skip]
const BAD: &[&str] = &[
    // Numbers.
    "-", "+1", "01", "-01", "00", "012", "1.", ".5", "-.5", "1.e1", "2.e+3", "1e", "1e+", "1e-", "1E", "1.5e", "0e",
    "0.3e", "1e1.5", "1ee2", "0x1", "0x", "0b1", "0o7", "1_000", "1 000", "1,000.", "1a", "1.2.3", "--1", "++1", "1+2",
    "-foo", ".", "２", "1e999", "-1e999", "1e309", "Infinity", "-Infinity", "NaN", "-NaN", "nan", "inf", "$1", "1f",
    // Literals.
    "nul", "nulll", "tru", "truee", "fals", "True", "NULL", "undefined", "None", "a", "*", "#", "&", "@", "`a`",
    // Strings.
    "\"", "\"a", "\"\\", r#""\x41""#, r#""\u12""#, r#""\u12G4""#, r#""\u00e""#, r#""\u{41}""#, r#""\U0041""#, r#""\'""#,
    r#""\a""#, r#""\0""#, r#""\ ""#, "\"\\\n\"", "\"\n\"", "\"\r\"", "\"\t\"", "\"\u{0}\"", "\"\u{1f}\"", "'a'",
    "“a”", r#""a"b"#, r#""a" "b""#, r#""a""b""#, r#""\ud800""#, r#""\udc00""#, r#""\ud800\u0041""#, r#""\ud800a""#,
    r#""\ud800\ud800""#, r#""\udc00\ud800""#, r#""\ud800\""#, r#""\ud83d\ude0""#,
    // Arrays.
    "[1,]", "[,1]", "[,]", "[1,,2]", "[1 2]", "[1:2]", "[1;2]", "[", "[1", "[1,", "[[]", "[}", "[1}", "[1]]", "[*]",
    r#"["a":1]"#, r#"["a"#, "[nul]", "[-]", "(1)", "<1>", "[...]", "[1]x", "[][]",
    // Objects.
    "{", "{,}", r#"{"a"}"#, r#"{"a":}"#, "{:1}", "{a:1}", "{'a':1}", "{1:1}", "{null:1}", r#"{["a"]:1}"#, r#"{"a":1,}"#,
    r#"{,"a":1}"#, r#"{"a":1,,"b":2}"#, r#"{"a" 1}"#, r#"{"a"::1}"#, r#"{"a":1 "b":2}"#, r#"{"a":1;"b":2}"#,
    r#"{"a",1}"#, r#"{"a"=1}"#, r#"{"a":1]"#, r#"{"a"#, r#"{"a":1"#, r#"{"a":1,"#, "{}}", "{}{}", r#"{"a":1}x"#,
    r#"{"a":/**/1}"#, r#"{"a":1}//"#, r#"{"a":1}#"#, r#"{...{}}"#,
    // One key twice, in every spelling.
    r#"{"a":1,"a":1}"#, r#"{"a":1,"a":2}"#, r#"{"a":1,"\u0061":2}"#, r#"{"":1,"":1}"#, "{\"é\":1,\"\\u00e9\":2}",
    r#"{"a/b":1,"a\/b":2}"#, r#"{"b":[{"c":1,"c":2}]}"#, r#"{"a":{},"b":0,"a":{}}"#, r#"{"😀":1,"\ud83d\ude00":2}"#,
    // Structure.
    "/**/1", "1/**/", "//x\n1", "#x\n1", "\u{feff}1", "\u{a0}1", "\u{b}1", "\u{c}1", "1\u{0}", "\u{0}1", "\u{85}1",
    "\u{2028}1", "\u{3000}1", "\u{2060}1", "<null>", ":1", ",1", "]", "}", "1 2", "null null", ",", ":", "\\", "{]",
];

/// No JSON as a whole body, though some of it could stand inside one.
#[rustfmt::skip]
const BAD_BODIES: &[&[u8]] = &[
    b"", b" ", b"\n", b"\t\r\n", b"1,2", b"[1],[2]", b"\"a\":1", b"\x1e{}", b"{}\n{}", b"{\0}\0", b"\0{\0}",
    b"\xff\xfe{\0}\0", b"\xfe\xff\0{\0}", b"\xef\xbb\xbf{}", b"\xef\xbb\xbf", b"{}\x00", b"data: {}", b"a=1&b=2",
];

/// No UTF-8: each stands within quotes, and without.
#[rustfmt::skip]
const NO_UTF8: &[&[u8]] = &[
    b"\xff", b"\x80", b"\xbf", b"\xc0\xaf", b"\xc1\xbf", b"\xc3", b"\xe0\x80\xaf", b"\xe2\x82", b"\xed\xa0\x80",
    b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb8\x80", b"\xf0\x80\x80\xaf", b"\xf0\x9f\x98", b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80", b"\xfe\xff", b"\xe9",
];

/// Where a value stands: alone, in an array, in an object, as an argument of a call.
const PLACES: [(&str, &str); 4] = [
    ("", ""),
    ("[", "]"),
    ("{\"k\":", "}"),
    (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"odoo_echo","arguments":{"v":"#, "}}}"),
];

fn bad() -> Vec<Vec<u8>> {
    let nested = |open: &str, inner: &str, close: &str, depth: usize| {
        format!("{}{inner}{}", open.repeat(depth), close.repeat(depth)).into_bytes()
    };
    let mut values: Vec<Vec<u8>> = BAD.iter().map(|text| text.as_bytes().to_vec()).collect();
    values.extend(NO_UTF8.iter().map(|bytes| bytes.to_vec()));
    values.extend(NO_UTF8.iter().map(|bytes| [b"\"", *bytes, b"\""].concat()));
    values.extend(NO_UTF8.iter().map(|bytes| [b"{\"", *bytes, b"\":1}"].concat()));
    values.push(nested("[", "", "]", 128));
    values.push(nested("{\"a\":", "1", "}", 128));
    values.push(nested("[{\"a\":", "1", "}]", 64_000));
    values.push("[".repeat(100_000).into_bytes());
    values.push("9".repeat(400).into_bytes());
    let mut bodies = Vec::new();
    for value in values {
        for (before, after) in PLACES {
            bodies.push([before.as_bytes(), &value, after.as_bytes()].concat());
        }
    }
    bodies.extend(BAD_BODIES.iter().map(|bytes| bytes.to_vec()));
    bodies
}

async fn send(gateway: &Gateway, body: Vec<u8>) -> Answer {
    let mut request = post("/v1/mcp", "");
    *request.body_mut() = body.into();
    gateway.send(request).await
}

#[tokio::test]
async fn m7_what_is_no_json_for_everybody_is_a_parse_error_and_reaches_nobody() {
    let fake = Fake::stateless(&["echo"]).await;
    let gateway = Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
    let bodies = bad();
    assert!(bodies.len() > 700, "{} cases", bodies.len());
    for body in bodies {
        let shown: String = String::from_utf8_lossy(&body).chars().take(200).collect();
        let answer = send(&gateway, body).await;
        assert_eq!((answer.status, answer.code()), (400, -32700), "{shown:?}: {}", answer.text);
    }
    assert_eq!(fake.count("tools/call"), 0);
}

#[tokio::test]
async fn m7_what_is_json_for_everybody_arrives_byte_for_byte_and_alone_it_is_no_message() {
    let fake = Fake::stateless(&["echo"]).await;
    let gateway = Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
    let deep = [(60, "[", "]"), (60, "{\"a\":[", "]}"), (123, "[", "]")]
        .map(|(depth, open, close): (usize, &str, &str)| format!("{}{}", open.repeat(depth), close.repeat(depth)));
    let values = || GOOD.iter().copied().chain(deep.iter().map(String::as_str));
    assert!(values().count() * PLACES.len() > 240);
    for value in values() {
        for (before, after) in PLACES {
            let body = format!("{before}{value}{after}");
            let answer = send(&gateway, body.clone().into_bytes()).await;
            if before.starts_with("{\"jsonrpc\"") {
                assert_eq!(answer.status, 200, "{value:?}: {}", answer.text);
                let seen = fake.seen.lock().unwrap().last().unwrap().text.clone();
                assert!(seen.contains(&format!("\"arguments\":{{\"v\":{value}}}")), "{value:?} became {seen}");
            } else {
                assert_eq!((answer.status, answer.code()), (400, -32600), "{body:?}: {}", answer.text);
            }
        }
    }
    assert_eq!(fake.count("tools/call"), values().count());
}
