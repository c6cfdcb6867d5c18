use super::*;

fn raw(text: &str) -> Box<RawValue> {
    serde_json::from_str(text).unwrap()
}

fn clean(action: Action, expose: bool, era: Era) -> Clean {
    Clean { action, expose: expose.then(|| ConnectorId::parse("odoo").unwrap()), era }
}

fn exposed(action: Action, text: &str) -> String {
    clean(action, true, Era::Legacy).result(&raw(text)).into_owned()
}

#[test]
fn resources_in_a_tools_result_are_exposed_and_all_else_keeps_its_bytes() {
    let text = r#"{ "vendor": 123456789012345678901234567890, "content": [
        {"uri":"file:///a","name":"a","type":"resource_link","x":[1,  2]},
        {"type":"resource","resource":{"text":"uri\"","uri":"file:\u002f\/\/b","n":1.50}},
        {"type":"hologram","uri":"file:///c","resource":{"uri":"file:///d"}},
        {"type":"text","text":"see \"uri\": file:///e"}
    ], "structuredContent": {"uri":"file:///f"}, "_meta": {"ui":{"resourceUri":"ui://app/x"}} }"#;
    let expected = text
        .replace("\"file:///a\"", "\"odoo-file:///a\"")
        .replace("\"file:\\u002f\\/\\/b\"", "\"odoo-file:///b\"")
        .replace("\"ui://app/x\"", "\"ui://odoo-app/x\"");
    assert_eq!(exposed(Action::Call, text), expected);
}

#[test]
fn prompts_hold_one_block_or_many() {
    let text = r#"{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"a://1"}}},{"role":"user","content":[{"type":"resource_link","uri":"a://2"}]},{"content":7},8]}"#;
    let expected = text.replace("a://", "odoo-a://");
    assert_eq!(exposed(Action::Get, text), expected);
}

#[test]
fn without_a_resource_nothing_is_copied() {
    let result = raw(r#"{"content":[{"type":"text","text":"x"}]}"#);
    assert!(matches!(clean(Action::Call, true, Era::Stateless).result(&result), Cow::Borrowed(_)));
    let link = raw(r#"{"content":[{"type":"resource_link","uri":"a://b"}]}"#);
    let own = clean(Action::Call, false, Era::Stateless);
    assert!(matches!(own.result(&link), Cow::Borrowed(_)), "one connector speaks its own URIs");
}

#[test]
fn what_is_read_is_private_whatever_the_upstream_says() {
    let read = |text: &str| clean(Action::Read, true, Era::Stateless).result(&raw(text)).into_owned();
    assert_eq!(
        read(r#"{"contents":[{"uri":"a://b","text":"t"}]}"#),
        r#"{"ttlMs":0,"cacheScope":"private","contents":[{"uri":"odoo-a://b","text":"t"}]}"#
    );
    assert_eq!(
        read(r#"{"ttlMs":5,"cacheScope":"public","contents":[]}"#),
        r#"{"ttlMs":5,"cacheScope":"private","contents":[]}"#
    );
    assert_eq!(read("{}"), r#"{"ttlMs":0,"cacheScope":"private"}"#);
    let asks = r#"{"resultType":"input_required","inputRequests":{}}"#;
    assert_eq!(read(asks), asks);
    let legacy = clean(Action::Read, true, Era::Legacy);
    assert_eq!(legacy.result(&raw(r#"{"contents":[]}"#)), r#"{"contents":[]}"#);
}

#[test]
fn a_resource_that_is_not_there_is_named_as_the_caller_named_it_with_the_code_of_its_era() {
    let error = raw(r#"{"code":-32002,"message":"no","data":{"uri":"a://b","x":1}}"#);
    assert_eq!(
        clean(Action::Read, true, Era::Stateless).error(&error),
        r#"{"code":-32602,"message":"no","data":{"uri":"odoo-a://b","x":1}}"#
    );
    assert_eq!(clean(Action::Read, false, Era::Legacy).error(&error), error.get());
    assert_eq!(clean(Action::Call, true, Era::Stateless).error(&error), error.get());
}

#[test]
fn answers_of_any_shape_are_taken() {
    for text in [r#""uri""#, "[]", "null", r#"{"contents":7,"uri":1}"#, r#"{"contents":[{"uri":7},"uri"]}"#] {
        let _ = clean(Action::Read, true, Era::Stateless).result(&raw(text));
        assert_eq!(exposed(Action::Read, text), text);
    }
}
