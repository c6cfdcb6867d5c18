//! What the API server refuses: every rule, pattern and limit of both definitions, and what it takes.
//!
//! Patterns, lengths, ranges, enums, types and sets are tried one by one from the schemas themselves, so that none is
//! forgotten; the rules of CEL come from a table that must name every one.

use crate::bed::{Bed, block_on};
use aperium_crds::crd;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::ApiResource;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

struct Server {
    connectors: Api<DynamicObject>,
    grants: Api<DynamicObject>,
}

impl Server {
    async fn new(bed: &Bed) -> Self {
        let client = bed.cluster.client().await;
        let api = |kind: &str, plural: &str| {
            let resource = ApiResource {
                group: "aperium.dev".into(),
                version: "v1alpha1".into(),
                api_version: "aperium.dev/v1alpha1".into(),
                kind: kind.into(),
                plural: plural.into(),
            };
            Api::namespaced_with(client.clone(), bed.name(), &resource)
        };
        Self { connectors: api("Connector", "connectors"), grants: api("Grant", "grants") }
    }

    /// What the server says to a new object, which is not kept.
    async fn says(&self, kind: &str, name: &str, spec: &Value) -> Result<(), String> {
        let object =
            json!({"apiVersion": "aperium.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
        let api = if kind == "Connector" { &self.connectors } else { &self.grants };
        let params = PostParams { dry_run: true, ..PostParams::default() };
        match api.create(&params, &serde_json::from_value(object).unwrap()).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) => Err(status.message.clone()),
            Err(error) => panic!("{error}"),
        }
    }
}

fn service() -> Value {
    json!({"protocol": "mcp", "service": {"module": "postgres"}})
}
fn remote() -> Value {
    json!({"protocol": "mcp", "url": "https://up/mcp"})
}
fn with(mut base: Value, path: &str, value: Value) -> Value {
    let mut at = &mut base;
    for part in path.split('.') {
        at = &mut at[part];
    }
    *at = value;
    base
}

/// Rules of Connectors: name of the object, its spec, what the server says.
fn connector_rules() -> Vec<(&'static str, Value, &'static str)> {
    let long = "a".repeat(52);
    let long: &'static str = Box::leak(long.into_boxed_str());
    let auth = |auth: Value| with(remote(), "auth", auth);
    let secret = json!({"secretRef": {"name": "s"}});
    let reserved = "`metadata.name` must not be a reserved identifier";
    vec![
        (long, with(service(), "id", json!("x")), "`metadata.name` must be a DNS label that starts with a letter"),
        ("1a", with(service(), "id", json!("x")), "`metadata.name` must be a DNS label that starts with a letter"),
        ("a.b", with(service(), "id", json!("x")), "`metadata.name` must be a DNS label that starts with a letter"),
        (&long[..33], service(), "`metadata.name` without hyphens must hold at most 32 characters"),
        ("aperture", service(), reserved),
        ("tail-scale", service(), reserved),
        ("register", remote(), reserved),
        ("auto-7", service(), "`metadata.name` must not be 'auto' and a number"),
        ("x", with(service(), "id", json!("Internal")), "`id` must not be a reserved identifier"),
        ("x", with(service(), "id", json!("AUTO12")), "`id` must not be 'auto' and a number"),
        ("x", json!({"protocol": "mcp"}), "exactly one of `url` and `service` must be set"),
        ("x", with(service(), "url", json!("https://up")), "exactly one of `url` and `service` must be set"),
        ("x", with(service(), "protocol", json!("http")), "`service` needs `protocol` 'mcp'"),
        (
            "x",
            with(service(), "auth", json!({"type": "bearer_token", "bearerToken": secret})),
            "`auth` may be set only with `url`",
        ),
        (
            "x",
            with(auth(json!({"type": "oauth2_dcr"})), "protocol", json!("http")),
            "`auth.type` must not be a per-user type",
        ),
        (
            "x",
            auth(json!({"type": "basic", "basic": secret, "dcr": {}})),
            "`dcr` may be set only with `type` 'oauth2_dcr'",
        ),
        ("x", with(remote(), "labels", json!(["system"])), "label 'system' is reserved"),
        (
            "x",
            with(service(), "service.autoscaling", json!({"minReplicas": 3, "maxReplicas": 2})),
            "`minReplicas` must be at most `maxReplicas`",
        ),
        (
            "x",
            with(service(), "service.credentials", json!({"source": "secret"})),
            "`secretRef` must be set with `source` 'secret', and only then",
        ),
        (
            "x",
            with(service(), "service.credentials", json!({"source": "platform", "secretRef": {"name": "s"}})),
            "`secretRef` must be set with `source` 'secret', and only then",
        ),
    ]
}

/// Each type of `auth` needs its own block and no other.
fn auth_rules() -> Vec<(&'static str, &'static str)> {
    vec![
        ("bearer_token", "bearerToken"),
        ("api_key", "apiKey"),
        ("basic", "basic"),
        ("oauth2_client_credentials", "clientCredentials"),
        ("oauth2_authorization_code", "authorizationCode"),
    ]
}

#[test]
fn every_rule_of_the_definitions_is_held_by_the_api_server() {
    let bed = Bed::new("rules");
    let mut unheard = rules(&crd::schema(&crd::connector()));
    unheard.extend(rules(&crd::schema(&crd::grant())));
    let hear = |said: &str, unheard: &mut BTreeSet<String>| unheard.retain(|message| !said.contains(message.as_str()));
    block_on(async {
        let server = Server::new(&bed).await;
        for (name, spec, message) in connector_rules() {
            let said = server.says("Connector", name, &spec).await.expect_err(message);
            assert!(said.contains(message), "{name} {spec}\n  gave: {said}\n  not:  {message}");
            hear(&said, &mut unheard);
        }
        for (kind, block) in auth_rules() {
            let said =
                server.says("Connector", "x", &with(remote(), "auth", json!({"type": kind}))).await.expect_err(kind);
            assert!(said.contains(&format!("`{block}` must be set")), "{kind}: {said}");
            hear(&said, &mut unheard);
        }
        for (spec, message) in [
            (json!({"subjects": ["*"], "role": "admin"}), "`role` must be 'user' where the subject is '*'"),
            (json!({"subjects": ["bob"]}), "subject must be '*'"),
            (json!({"subjects": ["user:"]}), "subject must be '*'"),
            (json!({"subjects": ["serviceaccount:only-one"]}), "subject must be '*'"),
            (json!({"subjects": ["*"], "connectors": ["odoo"]}), "pattern must be 'id/category/resource'"),
            (json!({"subjects": ["*"], "connectors": ["odoo/tools/[a]"]}), "pattern must be 'id/category/resource'"),
            (json!({"subjects": ["*"], "connectors": ["label:"]}), "pattern must be 'id/category/resource'"),
        ] {
            let said = server.says("Grant", "g", &spec).await.expect_err(message);
            assert!(said.contains(message), "{spec}\n  gave: {said}\n  not:  {message}");
            hear(&said, &mut unheard);
        }
    });
    for (change, message) in [
        (r#"{"spec":{"id":"other"}}"#, "`id` is immutable"),
        (r#"{"spec":{"protocol":"http"}}"#, "`protocol` is immutable"),
    ] {
        bed.apply("{apiVersion: aperium.dev/v1alpha1, kind: Connector, metadata: {name: fixed}, spec: {protocol: mcp, url: \"https://up/mcp\"}}");
        let refused = bed.cluster.try_kubectl(&[
            "--namespace",
            bed.name(),
            "patch",
            "connector",
            "fixed",
            "--type=merge",
            "-p",
            change,
        ]);
        assert!(!refused.ok && refused.stderr.contains(message), "{}", refused.stderr);
        hear(&refused.stderr, &mut unheard);
    }
    assert!(unheard.is_empty(), "rules that no case of this test breaks: {unheard:#?}");
}

/// The messages of all rules of a schema. Those of one message are one.
fn rules(schema: &Value) -> BTreeSet<String> {
    match schema {
        Value::Object(members) => {
            let own = members.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten();
            let own = own.filter_map(|rule| rule["message"].as_str().map(str::to_owned));
            own.chain(members.values().flat_map(rules)).collect()
        }
        Value::Array(items) => items.iter().flat_map(rules).collect(),
        _ => BTreeSet::new(),
    }
}

#[test]
fn every_pattern_limit_enum_and_type_of_the_definitions_is_held_by_the_api_server() {
    let bed = Bed::new("limits");
    let mut tried = 0;
    block_on(async {
        let server = Server::new(&bed).await;
        for (kind, definition) in [("Connector", crd::connector()), ("Grant", crd::grant())] {
            let schema = crd::schema(&definition);
            let mut cases = Vec::new();
            violations(&schema["properties"]["spec"], &mut Vec::new(), &mut cases);
            for (path, value, what) in cases {
                let base = match (kind, path.first().map(String::as_str)) {
                    ("Grant", _) => json!({"subjects": ["*"]}),
                    (_, Some("url" | "auth")) => remote(),
                    _ => service(),
                };
                let spec = placed(base, &path, value.clone());
                let field = path.iter().fold("spec".to_owned(), |field, part| match part.parse::<usize>() {
                    Ok(_) => format!("{field}[{part}]"),
                    Err(_) => format!("{field}.{part}"),
                });
                let said = server.says(kind, "x", &spec).await.expect_err(&format!("{kind} {field}: {what}: {value}"));
                assert!(said.contains(&field), "{kind} {field}: {what}\n  gave: {said}");
                tried += 1;
            }
        }
    });
    println!("{tried} violations refused");
    assert!(tried > 150, "{tried}");
}

type Case = (Vec<String>, Value, &'static str);

/// For each field of a schema a value that breaks each of its limits.
fn violations(schema: &Value, path: &mut Vec<String>, cases: &mut Vec<Case>) {
    let mut add = |value: Value, what| {
        if !path.is_empty() {
            cases.push((path.clone(), value, what));
        }
    };
    let number = |field: &str| schema[field].as_i64();
    let times = |n: i64| usize::try_from(n).unwrap();
    match schema["type"].as_str() {
        Some("string") => add(json!({"a": 1}), "type"),
        Some("integer" | "boolean") => add(json!("text"), "type"),
        Some("array" | "object") => add(json!("text"), "type"),
        _ => {}
    }
    if let Some(max) = number("maxLength") {
        add(json!("a".repeat(times(max) + 1)), "maxLength");
    }
    if number("minLength").is_some_and(|min| min > 0) {
        add(json!(""), "minLength");
    }
    if schema["pattern"].is_string() {
        add(json!("\u{1} !\u{1} /"), "pattern");
    }
    if let Some(max) = number("maximum") {
        add(json!(max + 1), "maximum");
    }
    if let Some(min) = number("minimum") {
        add(json!(min - 1), "minimum");
    }
    if schema["enum"].is_array() {
        add(json!("nothing-of-the-kind"), "enum");
    }
    if let Some(max) = number("maxItems") {
        add((0..=max).map(|number| json!(format!("a{number}"))).collect(), "maxItems");
    }
    if number("minItems").is_some_and(|min| min > 0) {
        add(json!([]), "minItems");
    }
    if let Some(max) = number("maxProperties") {
        add(
            Value::Object((0..=max).map(|number| (format!("a{number}"), json!("b"))).collect::<Map<_, _>>()),
            "maxProperties",
        );
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        // Kubernetes' own types: their limits are not ours.
        if !matches!(name.as_str(), "affinity" | "tolerations" | "resources") {
            path.push(name.clone());
            violations(property, path, cases);
            path.pop();
        }
    }
    if schema["items"].is_object() {
        path.push("0".to_owned());
        violations(&schema["items"], path, cases);
        path.pop();
    }
    if schema["additionalProperties"].is_object() {
        path.push("key".to_owned());
        violations(&schema["additionalProperties"], path, cases);
        path.pop();
    }
}

/// A spec with a value at a path; what is missing on the way is made.
fn placed(mut spec: Value, path: &[String], value: Value) -> Value {
    let mut at = &mut spec;
    for part in path {
        at = if part == "0" {
            if !at.is_array() {
                *at = json!([null]);
            }
            &mut at[0]
        } else {
            if !at.is_object() {
                *at = json!({});
            }
            &mut at[part.as_str()]
        };
    }
    *at = value;
    spec
}

#[test]
fn good_objects_are_taken_and_unknown_fields_are_named() {
    let bed = Bed::new("good");
    block_on(async {
        let server = Server::new(&bed).await;
        for (name, spec) in [
            ("odoo", service()),
            ("aperture", with(service(), "id", json!("other"))),
            ("x", with(remote(), "context", json!("text"))),
            ("x", with(remote(), "context", json!({"any": ["thing", 1]}))),
            ("x", with(service(), "service.module", json!("mcp_servers.gcs_datalake_http"))),
            ("x", with(service(), "service.podTemplate", json!({"spec": {"containers": [{"name": "a"}]}}))),
        ] {
            assert_eq!(server.says("Connector", name, &spec).await, Ok(()), "{spec}");
        }
        let all = json!({"subjects": ["user:a@b.c", "group:g", "serviceaccount:ns:sa", "client:ci", "tenant:acme", "tag:t", "(loopback)"],
            "role": "admin", "connectors": ["**", "label:erp", "odoo/tools/odoo_*", "github/proxy", "local/**", "a/resources/file:///x/*"]});
        assert_eq!(server.says("Grant", "g", &all).await, Ok(()));
    });
    let typo = bed.cluster.try_apply(&format!("{{apiVersion: aperium.dev/v1alpha1, kind: Connector, metadata: {{name: x, namespace: {}}}, spec: {{protocol: mcp, service: {{module: postgres, replcas: 2}}}}}}", bed.name()));
    assert!(!typo.ok && typo.stderr.contains("unknown field \"spec.service.replcas\""), "{}", typo.stderr);
}
