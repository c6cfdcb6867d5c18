use super::*;
use crate::fixtures;

fn definitions(texts: &[&str]) -> Vec<Box<RawValue>> {
    texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

#[test]
fn a_definition_keeps_everything_but_its_name() {
    let text =
        r#"{"inputSchema":{"z":1,"a":12345678901234567890123},"name":"echo","vendor":{"x":[1, 2]},"execution":{}}"#;
    let set = Set::build(&fixtures::remote("odoo"), Kind::Tools, &definitions(&[text]));
    let tool = set.at(0).unwrap();
    assert_eq!(&*tool.definition, text);
    assert_eq!(&*tool.exposed_definition, text.replace("\"echo\"", "\"odoo_echo\""));
}

#[test]
fn hidden_nameless_and_doubled_tools_are_left_out() {
    let mut config = fixtures::remote("odoo");
    config.hide.insert("secret".into());
    let set = Set::build(
        &config,
        Kind::Tools,
        &definitions(&[
            r#"{"name":"b","n":1}"#,
            r#"{"name":"secret"}"#,
            r#"{"title":"x"}"#,
            r#"{"name":"b","n":2}"#,
            r#"{"name":"a"}"#,
        ]),
    );
    let names: Vec<&str> = set.iter().map(|tool| &*tool.name).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(set.at(1).unwrap().definition.contains("\"n\":1"));
    assert_eq!(set.position("secret"), None);
}

#[test]
fn m1_a_tool_with_hostile_text_is_in_quarantine_until_its_hash_is_accepted() {
    let mut config = fixtures::remote("odoo");
    let texts = [
        r#"{"name":"bidi","description":"a\u202eb"}"#,
        r#"{"name":"tag","inputSchema":{"properties":{"x\udb40\udc41":{}}}}"#,
        r#"{"name":"esc","description":"\u001b[31m"}"#,
        r#"{"name":"zero","title":"a\u200bb\ufeff"}"#,
        r#"{"name":"fine","description":"two\nlines, ünïcode, 👩‍💻"}"#,
    ];
    let set = Set::build(&config, Kind::Tools, &definitions(&texts));
    assert_eq!(set.iter().map(|tool| &*tool.name).collect::<Vec<_>>(), ["fine"]);
    assert_eq!(set.quarantined.keys().collect::<Vec<_>>(), ["bidi", "esc", "tag", "zero"]);
    config.accepted_hashes.insert(set.quarantined["bidi"].clone());
    assert_eq!(Set::build(&config, Kind::Tools, &definitions(&texts)).len(), 2);
}

#[test]
fn m3_the_digest_changes_with_a_definition_and_not_with_the_order() {
    let config = fixtures::remote("odoo");
    let digest = |texts: &[&str]| Set::build(&config, Kind::Tools, &definitions(texts)).digest;
    let (a, b) = (r#"{"name":"a"}"#, r#"{"name":"b"}"#);
    assert_eq!(digest(&[a, b]), digest(&[b, a]));
    assert_ne!(digest(&[a, b]), digest(&[a, r#"{"name":"b","x":1}"#]));
}

#[test]
fn uris_are_exposed_in_definitions_and_an_interface_keeps_its_scheme() {
    let config = fixtures::remote("odoo");
    let one = |kind, text: &str| {
        let set = Set::build(&config, kind, &definitions(&[text]));
        let item = set.at(0).unwrap();
        (item.exposed.to_string(), item.exposed_definition.to_string())
    };
    let (exposed, definition) =
        one(Kind::Resources, r#"{"name":"uri", "uri":"ui:\/\/app/a" ,"size":99999999999999999999}"#);
    assert_eq!(exposed, "ui://odoo-app/a");
    assert_eq!(definition, r#"{"name":"uri", "uri":"ui://odoo-app/a" ,"size":99999999999999999999}"#);
    let tool = r#"{"name":"t","_meta":{"ui/resourceUri":"ui://b","ui":{"x":1,"resourceUri":"ui://a"}}}"#;
    let expected =
        r#"{"name":"odoo_t","_meta":{"ui/resourceUri":"ui://odoo-b","ui":{"x":1,"resourceUri":"ui://odoo-a"}}}"#;
    assert_eq!(one(Kind::Tools, tool).1, expected);
}

#[test]
fn what_is_withheld_is_remembered() {
    let config = fixtures::remote("odoo");
    let texts = [r#"{"uri":"a://bad","name":"\u202e"}"#, r#"{"uri":"a://good","name":"n"}"#];
    let set = Set::build(&config, Kind::Resources, &definitions(&texts));
    assert!(set.withholds("a://bad") && !set.withholds("a://good") && !set.withholds("a://unknown"));
}

#[test]
fn a_tool_whose_header_annotations_break_the_rules_is_left_out_and_the_others_stay() {
    let texts = [
        r#"{"name":"bad","inputSchema":{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}}"#,
        r#"{"name":"good","inputSchema":{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}}"#,
    ];
    let set = Set::build(&fixtures::remote("odoo"), Kind::Tools, &definitions(&texts));
    assert_eq!(set.iter().map(|tool| &*tool.name).collect::<Vec<_>>(), ["good"]);
    assert!(!set.at(0).unwrap().mirrored().unwrap().is_empty());
    assert_eq!(set.malformed.keys().collect::<Vec<_>>(), ["bad"]);
}
