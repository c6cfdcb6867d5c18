use super::*;
use http::HeaderValue;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

fn run(pairs: &[(&'static str, &str)], method: &str, params: &str) -> Result<Era, Failure> {
    let params = RawObject::parse(params).unwrap();
    decide(&headers(pairs), method, Some(&params))
}

const META: &str = r#"{"name":"echo","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}"#;
const GOOD: [(&str, &str); 3] =
    [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "echo")];

#[test]
fn a_request_that_says_nothing_is_legacy() {
    assert_eq!(run(&[], "tools/list", "{}"), Ok(Era::Legacy));
    assert_eq!(decide(&HeaderMap::new(), "tools/list", None), Ok(Era::Legacy));
    assert_eq!(run(&[("mcp-protocol-version", "2025-06-18")], "tools/list", "{}"), Ok(Era::Legacy));
}

#[test]
fn a_complete_stateless_request_is_taken() {
    assert_eq!(run(&GOOD, "tools/call", META), Ok(Era::Stateless));
}

#[test]
fn a_header_that_is_missing_twice_or_different_is_a_mismatch() {
    for replaced in 0..3 {
        for values in [&[][..], &["other"][..], &["2026-07-28", "2026-07-28"][..], &["\u{e9}"][..]] {
            let mut pairs: Vec<(&'static str, &str)> = GOOD.to_vec();
            let name = pairs.remove(replaced).0;
            pairs.extend(values.iter().map(|value| (name, *value)));
            let outcome = run(&pairs, "tools/call", META);
            assert!(matches!(outcome, Err(Failure::HeaderMismatch(_))), "{name} {values:?}: {outcome:?}");
        }
    }
}

#[test]
fn a_name_may_be_wrapped_but_must_still_match() {
    let wrapped = |text: &str| format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(text));
    let with = |value: &str| run(&[GOOD[0], GOOD[1], ("mcp-name", value)], "tools/call", META);
    assert_eq!(with(&wrapped("echo")), Ok(Era::Stateless));
    assert!(matches!(with(&wrapped("ecko")), Err(Failure::HeaderMismatch(_))));
    assert!(matches!(with("=?base64?%%%?="), Err(Failure::HeaderMismatch(_))));
}

#[test]
fn a_stateless_header_without_meta_lacks_meta() {
    assert!(matches!(run(&GOOD, "tools/call", r#"{"name":"echo"}"#), Err(Failure::MissingMeta(_))));
    let no_capabilities = r#"{"name":"echo","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
    assert_eq!(run(&GOOD, "tools/call", no_capabilities), Err(Failure::MissingMeta(META_CAPABILITIES)));
    assert!(matches!(run(&[], "server/discover", "{}"), Err(Failure::MissingMeta(_))));
}

#[test]
fn versions_that_nobody_here_speaks_are_named() {
    let meta = META.replace("2026-07-28", "v999.0.0");
    let outcome = run(&[("mcp-protocol-version", "v999.0.0")], "server/discover", &meta);
    assert_eq!(outcome, Err(Failure::UnsupportedVersion("v999.0.0".into())));
    let outcome = run(&[("mcp-protocol-version", "1999-01-01")], "tools/list", "{}");
    assert_eq!(outcome, Err(Failure::UnsupportedVersion("1999-01-01".into())));
}

#[test]
fn names_that_a_header_cannot_carry_are_wrapped_and_read_back() {
    for name in ["plain", "with space", " edge", "edge ", "é", "a\nb", "=?base64?x?=", ""] {
        let header = encode(name);
        assert!(HeaderValue::from_str(&header).is_ok(), "{name:?}");
        assert_eq!(decode(&header).unwrap(), name);
    }
}
