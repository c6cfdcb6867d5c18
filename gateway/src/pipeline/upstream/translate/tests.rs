use super::*;
use serde_json::{Value, json};

fn write(from: Era, to: Era, params: &str) -> (String, Option<String>) {
    let params = RawObject::parse(params).unwrap();
    let written = Outgoing {
        id: 7,
        action: Action::Call,
        name: "search",
        params: &params,
        from,
        to,
        declared: Declared::NOTHING,
    }
    .write();
    (String::from_utf8(written.body).unwrap(), written.token.map(|token| token.get().to_owned()))
}

#[test]
fn only_the_name_changes_within_one_era() {
    let params =
        r#"{"arguments":{"z":123456789012345678901234567890,"a":1.10,"é":"ü"},"name":"odoo_search","vendor":[1, 2]}"#;
    let (body, token) = write(Era::Legacy, Era::Legacy, params);
    let expected = params.replace("odoo_search", "search");
    assert_eq!(body, format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{expected}}}"#));
    assert!(token.is_none());
    let meta = r#"{"name":"odoo_search","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","x":{"y":1}}}"#;
    let (body, _) = write(Era::Stateless, Era::Stateless, meta);
    assert!(body.contains(r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","x":{"y":1}}"#), "{body}");
}

#[test]
fn a_progress_token_becomes_our_id_and_is_remembered() {
    let (body, token) = write(Era::Legacy, Era::Legacy, r#"{"name":"s","_meta":{"progressToken":"mine","k":1}}"#);
    assert!(body.contains(r#""_meta":{"progressToken":7,"k":1}"#), "{body}");
    assert_eq!(token.as_deref(), Some("\"mine\""));
}

#[test]
fn a_legacy_caller_gets_the_stateless_meta_of_the_gateway() {
    for params in [r#"{"name":"s"}"#, r#"{"name":"s","_meta":{"k":1}}"#] {
        let (body, _) = write(Era::Legacy, Era::Stateless, params);
        let value: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(value["params"]["_meta"][META_VERSION], STATELESS);
        assert_eq!(value["params"]["_meta"][META_CAPABILITIES], json!({}));
    }
}

#[test]
fn a_legacy_upstream_never_sees_the_stateless_meta() {
    let only = r#"{"name":"s","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}"#;
    assert!(!write(Era::Stateless, Era::Legacy, only).0.contains("_meta"));
    let more = r#"{"name":"s","_meta":{"io.modelcontextprotocol/logLevel":"info","traceparent":"x"}}"#;
    assert!(write(Era::Stateless, Era::Legacy, more).0.contains(r#""_meta":{"traceparent":"x"}"#));
}

#[test]
fn a_result_is_named_for_stateless_callers_only() {
    let raw: Box<RawValue> = serde_json::from_str(r#"{"content":[],"n":1.0}"#).unwrap();
    assert_eq!(&*result(raw.get(), Era::Legacy, Era::Legacy), raw.get().as_bytes());
    assert_eq!(&*result(raw.get(), Era::Legacy, Era::Stateless), br#"{"resultType":"complete","content":[],"n":1.0}"#);
    let named: Box<RawValue> = serde_json::from_str(r#"{"resultType":"input_required"}"#).unwrap();
    assert_eq!(&*result(named.get(), Era::Stateless, Era::Stateless), named.get().as_bytes());
}

#[test]
fn progress_reaches_only_the_request_it_belongs_to() {
    let token: Box<RawValue> = serde_json::from_str("\"mine\"").unwrap();
    let seen = |text: &str, token: Option<&RawValue>| {
        notification(&RawObject::parse(text).unwrap(), 7, token, Logs::None).map(|out| String::from_utf8(out).unwrap())
    };
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7,"progress":50}}"#;
    assert!(seen(progress, Some(&token)).unwrap().contains(r#""progressToken":"mine","progress":50"#));
    assert!(seen(progress, None).is_none());
    assert!(seen(&progress.replace(":7", ":8"), Some(&token)).is_none());
    assert!(seen(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#, Some(&token)).is_none());
    assert!(seen(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{}}"#, Some(&token)).is_none());
}
