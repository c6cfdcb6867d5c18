//! What every connector must satisfy, whoever wrote it: run over the one list.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aperium_core::id::{ModuleName, RequestId};
use aperium_core::module::MODULES;
use aperium_platform::egress::{EgressPolicy, EgressRules, ExternalClient, GuardedDialer, Reach};
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use crate::connector::{Connector, ErrorCode, Fields, Tool, Upstream, UpstreamParts};
use crate::connectors;

/// A value that must never be seen outside.
const CANARY: &str = "canary-7f3a9c";

/// An upstream with nothing reachable: the default rules close every private range, and `.invalid` has no address.
fn upstream(connector: &dyn Connector, fields: Fields) -> Upstream {
    let policy = EgressPolicy::new(EgressRules::default()).unwrap();
    let parts = UpstreamParts {
        fields,
        settings: connector.info().settings.parse(json!({})).unwrap(),
        http: ExternalClient::new(policy.clone(), Reach::Admin).unwrap(),
        dialer: GuardedDialer::new(policy, Reach::Admin),
        local: false,
    };
    Upstream::new(parts, RequestId::accept(None), Instant::now() + Duration::from_secs(20))
}

/// Plausible values for every field, all secrets replaced by the canary.
fn unreachable_credentials(connector: &dyn Connector) -> Fields {
    connector
        .info()
        .credentials
        .iter()
        .filter(|field| field.required || field.name == "password")
        .map(|field| {
            let value = match field.name {
                _ if field.secret => CANARY,
                "host" => "upstream.invalid",
                name if name.ends_with("url") => "https://upstream.invalid/api",
                _ => "value",
            };
            (field.name.to_owned(), SecretString::from(value))
        })
        .collect()
}

fn every_tool(mut check: impl FnMut(&dyn Connector, &Tool)) {
    for connector in connectors::all() {
        for tool in connector.tools() {
            check(&*connector, tool);
        }
    }
}

#[test]
fn modules_are_known_to_the_core_and_agree_with_it() {
    let mut seen = BTreeSet::new();
    for connector in connectors::all() {
        let info = connector.info();
        let module =
            MODULES.iter().find(|module| module.module == info.module).unwrap_or_else(|| panic!("{}", info.module));
        assert_eq!((info.prefix, info.port), (module.tool_prefix, module.port), "{}", info.module);
        assert!(seen.insert(info.module), "{} is listed twice", info.module);
        assert!(!info.title.is_empty() && !info.description.is_empty() && !info.category.is_empty(), "{}", info.module);
        let found = connectors::find(&ModuleName::parse(&format!("mcp_servers.{}_http", info.module)).unwrap());
        assert_eq!(found.unwrap().info().module, info.module);
    }
}

#[test]
fn every_tool_has_a_name_a_title_and_a_description() {
    let mut seen = BTreeSet::new();
    every_tool(|connector, tool| {
        let name = tool.name();
        assert!(name.starts_with(connector.info().prefix), "{name}");
        assert!(
            name.len() <= 48 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
            "{name}"
        );
        assert!(seen.insert(name), "{name} is there twice");
        assert!(!tool.title().is_empty() && tool.title().len() <= 60, "{name}");
        assert!(tool.description().len() >= 20 && tool.description().len() <= 1000, "{name}");
        let texts = [tool.title(), tool.description()];
        assert!(texts.iter().all(|text| !text.chars().any(char::is_control)), "{name}");
    });
    assert!(seen.len() >= 15);
}

#[test]
fn every_schema_is_an_inline_object_and_arguments_are_closed() {
    every_tool(|_, tool| {
        let (input, output) = (tool.input_schema(), tool.output_schema());
        for (schema, what) in [(&input, "input"), (&output, "output")] {
            assert_eq!(schema.get("type"), Some(&json!("object")), "{} {what}: {schema:?}", tool.name());
            assert!(schema.get("properties").is_some_and(Value::is_object), "{} {what}", tool.name());
            let text = Value::Object(Map::clone(schema)).to_string();
            assert!(!text.contains("$ref") && !text.contains("$defs"), "{} {what}: {text}", tool.name());
        }
        assert_eq!(input.get("additionalProperties"), Some(&json!(false)), "{}", tool.name());
        let properties = input.get("properties").and_then(Value::as_object).unwrap();
        for (name, property) in properties {
            assert!(property.get("description").is_some(), "{}: the argument {name} has no description", tool.name());
        }
    });
}

#[test]
fn every_tool_accepts_its_example_and_no_unknown_field() {
    every_tool(|_, tool| {
        let example = tool.example_arguments().unwrap_or_else(|| panic!("{} has no example", tool.name())).clone();
        tool.accepts(example.clone()).unwrap_or_else(|error| panic!("{}: {error}", tool.name()));
        let mut unknown = example;
        unknown.as_object_mut().unwrap().insert("no_such_field".to_owned(), json!(1));
        let error = tool.accepts(unknown).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidArgument, "{}", tool.name());
        for wrong in [json!([]), json!("x"), json!(null)] {
            assert!(tool.accepts(wrong).is_err(), "{}", tool.name());
        }
    });
}

#[test]
fn every_number_in_a_schema_is_bounded_and_the_bound_holds() {
    every_tool(|_, tool| {
        let input = tool.input_schema();
        let example = tool.example_arguments().cloned().unwrap();
        for (name, property) in input.get("properties").and_then(Value::as_object).unwrap() {
            if property.get("type").is_some_and(|t| t == "integer" || *t == json!(["integer", "null"])) {
                let most = property
                    .get("maximum")
                    .and_then(Value::as_f64)
                    .unwrap_or_else(|| panic!("{}.{name} has no maximum", tool.name()));
                let mut over = example.clone();
                over[name] = json!(most as i64 + 1);
                assert!(tool.accepts(over).is_err(), "{}.{name} accepts more than its maximum", tool.name());
            }
        }
    });
}

#[test]
fn settings_parse_from_nothing_and_refuse_unknown_fields() {
    for connector in connectors::all() {
        let settings = &connector.info().settings;
        assert!(settings.parse(json!({})).is_ok(), "{}", connector.info().module);
        assert!(settings.parse(json!({"noSuchField": 1})).is_err(), "{}", connector.info().module);
        let text = Value::Object(settings.schema()).to_string();
        assert!(!text.contains("$ref"), "{}", connector.info().module);
    }
}

#[test]
fn credential_fields_are_described_and_nothing_secret_is_called_a_text() {
    for connector in connectors::all() {
        for field in connector.info().credentials {
            let name = field.name;
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
            assert!(!field.title.is_empty() && !field.help.is_empty(), "{name}");
            let sounds_secret = ["password", "secret", "token", "key"].iter().any(|word| name.ends_with(word));
            assert!(field.secret || !sounds_secret, "{}: {name} must be a secret", connector.info().module);
        }
    }
}

#[tokio::test]
async fn no_connector_is_fine_without_credentials() {
    for connector in connectors::all() {
        let up = upstream(&*connector, Fields::default());
        let error = connector.probe(&up).await.expect_err(connector.info().module);
        assert!(
            matches!(error.code, ErrorCode::AuthFailed | ErrorCode::InvalidArgument | ErrorCode::Forbidden),
            "{}: {error}",
            connector.info().module
        );
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_unavailable_and_no_secret_is_said() {
    for connector in connectors::all() {
        let info = connector.info();
        if info.credentials.iter().all(|field| !field.required) {
            continue;
        }
        let up = upstream(&*connector, unreachable_credentials(&*connector));
        let error = connector.probe(&up).await.expect_err(info.module);
        assert!(matches!(error.code, ErrorCode::UpstreamUnavailable | ErrorCode::Timeout), "{}: {error}", info.module);
        assert!(!format!("{error:?} {error} {up:?}").contains(CANARY), "{}", info.module);
    }
}

#[tokio::test]
async fn every_tool_fails_closed_when_nothing_is_reachable() {
    for connector in connectors::all() {
        let connector: Arc<dyn Connector> = connector;
        for tool in connector.tools() {
            for fields in [Fields::default(), unreachable_credentials(&*connector)] {
                let up = upstream(&*connector, fields);
                let example = tool.example_arguments().cloned().unwrap();
                let error = tool.call(&up, example).await.expect_err(tool.name());
                assert!(!format!("{error:?} {error}").contains(CANARY), "{}", tool.name());
                assert_ne!(error.code, ErrorCode::OutcomeUnknown, "{}: nothing was ever sent", tool.name());
            }
        }
    }
}
