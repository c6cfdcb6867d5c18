//! Document → resources → document, and resources → document → resources: nothing that both can say is lost.

use crate::catalog::Resources;
use crate::document::{Macros, Severity, Source, export, read_file};
use crate::folder::{Folder, FolderSecret};
use aperium_crds::structural;
use proptest::prelude::*;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

fn to_document(folder: &Folder, accept_registrations: bool) -> String {
    let source = Source {
        resources: &folder.resources,
        secrets: Some(&folder.secrets),
        system_namespace: "aperium-system",
        accept_registrations,
    };
    let export = export(source);
    assert!(export.left_out.is_empty(), "{:?}", export.left_out);
    export.text
}

/// All of a folder as text, to compare.
fn shown(folder: &Folder) -> Value {
    let secret = |secret: &FolderSecret| {
        let data: BTreeMap<&str, &str> =
            secret.data.iter().map(|(key, value)| (key.as_str(), value.expose_secret())).collect();
        json!({ "labels": secret.labels, "data": data })
    };
    let mut connectors: Vec<Value> = folder.resources.connectors.iter().map(|c| json!(**c)).collect();
    connectors.sort_by_key(|connector| connector["metadata"]["name"].to_string());
    let mut grants: Vec<Value> = folder.resources.grants.iter().map(|g| json!(**g)).collect();
    grants.sort_by_key(|grant| grant["metadata"]["name"].to_string());
    let secrets: BTreeMap<&str, Value> = folder.secrets.iter().map(|(name, s)| (name.as_str(), secret(s))).collect();
    json!({ "connectors": connectors, "grants": grants, "secrets": secrets })
}

fn text() -> impl Strategy<Value = String> {
    "[ -~é€\\n]{0,12}|[$]{1,3}[{][A-Z_]{1,8}[}]"
}

fn word() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9][a-zA-Z0-9!~/+]{0,12}"
}

fn optional<T: std::fmt::Debug + Clone + 'static>(
    value: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Option<T>> {
    proptest::option::of(value)
}

/// The `auth` of a Connector that has this name, and the values of its Secret.
fn auth() -> impl Strategy<Value = Option<(Value, BTreeMap<String, String>)>> {
    let scopes = proptest::collection::vec("[a-z:./]{1,12}", 0..3);
    (0..6_u8, word(), word(), scopes, any::<bool>(), optional(Just(()))).prop_map(
        |(kind, a, b, scopes, flag, there)| {
            there?;
            let secret = json!({ "name": "NAME-auth" });
            let values =
                |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let mut block = json!({ "secretRef": secret });
            if !scopes.is_empty() && kind >= 3 {
                block["scopes"] = json!(scopes);
            }
            Some(match kind {
                0 => (json!({ "type": "bearer_token", "bearerToken": block }), values(&[("secret", &a)])),
                1 => {
                    block["in"] = json!(if flag { "header" } else { "query" });
                    block["name"] = json!("X-Key");
                    (json!({ "type": "api_key", "apiKey": block }), values(&[("secret", &a)]))
                }
                2 => (json!({ "type": "basic", "basic": block }), values(&[("username", &a), ("password", &b)])),
                3 => {
                    block["tokenUrl"] = json!("https://auth.example.com/token?x=1");
                    let values = values(&[("client_id", &a), ("client_secret", &b)]);
                    (json!({ "type": "oauth2_client_credentials", "clientCredentials": block }), values)
                }
                4 => {
                    block["tokenUrl"] = json!("https://auth.example.com/token");
                    block["authUrl"] = json!("https://auth.example.com/auth");
                    let mut values: BTreeMap<String, String> = values(&[("client_id", &a)]);
                    if flag {
                        values.insert("client_secret".to_owned(), b);
                        block["authParams"] = json!({ "access_type": "offline" });
                    }
                    (json!({ "type": "oauth2_authorization_code", "authorizationCode": block }), values)
                }
                _ if scopes.is_empty() => (json!({ "type": "oauth2_dcr" }), BTreeMap::new()),
                _ => (json!({ "type": "oauth2_dcr", "dcr": { "scopes": scopes } }), BTreeMap::new()),
            })
        },
    )
}

/// Name, spec and Secret of a Connector that a document can say.
fn connector() -> impl Strategy<Value = (String, Value, BTreeMap<String, String>)> {
    let context = prop_oneof![
        text().prop_map(Value::from),
        (text(), any::<i64>()).prop_map(|(text, n)| json!({ "a": [text, n, null, true, 1.5], "b": {} })),
    ];
    let texts = (optional("[a-z]{1,5}"), optional("[A-Z]x?"), optional(text()), optional(context));
    let rest = (
        optional(1_i32..300),
        any::<bool>(),
        proptest::collection::btree_set("[a-z]{1,4}", 0..3),
        any::<bool>(),
        any::<bool>(),
    );
    ("[a-z]{1,4}(-[a-z0-9]{1,4})?", any::<bool>(), auth(), texts, rest).prop_map(
        |(name, http, auth, texts, rest)| {
            let (provider, display_name, description, context) = texts;
            let (timeout, suspend, labels, own_id, query): (Option<i32>, _, std::collections::BTreeSet<String>, _, _) = rest;
            let per_user = |auth: &Value| matches!(auth["type"].as_str(), Some("oauth2_dcr" | "oauth2_authorization_code"));
            let http = http && !auth.as_ref().is_some_and(|(auth, _)| per_user(auth));
            let mut spec = json!({ "protocol": if http { "http" } else { "mcp" }, "url": if query { "https://a.example/x?y=1" } else { "http://a.example:8080" } });
            if own_id {
                spec["id"] = json!(format!("X{}", name.replace('-', "")));
            }
            let mut set = |field: &str, value: Option<Value>| if let Some(value) = value { spec[field] = value };
            set("provider", provider.filter(|p| p != "custom").map(Value::from));
            set("displayName", display_name.map(Value::from));
            set("description", description.map(Value::from));
            set("context", context);
            set("labels", (!labels.is_empty()).then(|| json!(labels)));
            set("calls", timeout.map(|seconds| json!({ "timeoutSeconds": seconds })));
            set("suspend", suspend.then_some(json!(true)));
            let (auth, values) = auth.map_or((None, BTreeMap::new()), |(auth, values)| (Some(auth), values));
            let auth: Option<Value> =
                auth.map(|auth| serde_json::from_str(&auth.to_string().replace("NAME", &name)).unwrap());
            set("auth", auth);
            (name, spec, values)
        },
    )
}

fn grant() -> impl Strategy<Value = (String, Value)> {
    let name = prop_oneof!["grant-[1-3]-[1-3]", "[a-z]{1,5}"];
    let subject = prop_oneof![
        Just("*".to_owned()),
        Just("(loopback)".to_owned()),
        "user:[a-z]{1,3}@example[.]com",
        "user:[a-z]{1,4}",
        "user:group:[a-z]@x",
        "(group|client|tenant|tag):[a-z@]{1,4}",
        "serviceaccount:[a-z]{1,3}:[a-z]{1,3}",
    ];
    let pattern = prop_oneof![
        Just("**".to_owned()),
        "[a-z]?[*]?[a-z]{1,2}/(proxy|[*]{2}|tools/[a-z*]{1,4}|resources/f://[a-z/]{1,4})",
        "label:[a-z]{1,3}"
    ];
    let old = "[a-z]{1,3}/[a-z*]{1,3}";
    (
        name,
        proptest::collection::btree_set(subject, 1..3),
        proptest::collection::btree_set(pattern, 0..3),
        proptest::collection::btree_set(old, 0..2),
        0..3_u8,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(name, subjects, patterns, old, role, read_metrics, register)| {
            let mut spec = json!({ "subjects": subjects });
            let everyone = subjects.contains("*");
            let mut set = |field: &str, there: bool, value: Value| {
                if there {
                    spec[field] = value;
                }
            };
            set("connectors", !patterns.is_empty(), json!(patterns));
            set("mcpTools", !old.is_empty(), json!(old));
            set("role", role > 0 && !everyone, json!(if role == 1 { "admin" } else { "auditor" }));
            set("readMetrics", read_metrics, json!(true));
            set("register", register, json!(true));
            (name, spec)
        })
}

fn manifest(kind: &str, name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "aperium.dev/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec })
}

prop_compose! {
    fn folder()(
        connectors in proptest::collection::vec(connector(), 0..4),
        grants in proptest::collection::vec(grant(), 0..5),
    ) -> Folder {
        let mut folder = Folder::default();
        let mut ids = std::collections::BTreeSet::new();
        for (name, spec, values) in connectors {
            let id = spec["id"].as_str().map_or_else(|| name.replace('-', ""), str::to_lowercase);
            let connector = structural::connector(&manifest("Connector", &name, &spec));
            let Ok(connector) = connector else { continue };
            let taken = folder.resources.connectors.iter().any(|c| c.metadata.name.as_deref() == Some(&*name));
            if taken || aperium_core::id::ConnectorId::parse(&id).is_err() || !ids.insert(id) {
                continue;
            }
            if !values.is_empty() {
                let data = values.into_iter().map(|(key, value)| (key, value.into())).collect();
                let labels = [(format!("connector.aperium.dev/{name}"), "true".to_owned())].into();
                folder.secrets.insert(format!("{name}-auth"), FolderSecret { labels, data });
            }
            folder.resources.connectors.push(Arc::new(connector));
        }
        for (name, spec) in grants {
            if !folder.resources.grants.iter().any(|g| g.metadata.name.as_deref() == Some(&*name)) {
                folder.resources.grants.push(Arc::new(structural::grant(&manifest("Grant", &name, &spec)).unwrap()));
            }
        }
        folder
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn resources_become_a_document_and_the_same_resources_again(folder in folder(), accept in any::<bool>()) {
        let text = to_document(&folder, accept);
        let reading = read_file(&text, &Macros::default(), None);
        prop_assert!(!reading.has(Severity::Error), "{:?}\n{text}", reading.findings);
        prop_assert_eq!(shown(&reading.folder), shown(&folder), "{}", text);
        prop_assert_eq!(reading.accept_registrations, accept);
        // And the document that they become is the same one again.
        prop_assert_eq!(to_document(&reading.folder, accept), text);
    }
}

#[test]
fn what_a_document_cannot_say_is_named() {
    let connector =
        |name: &str, spec: &Value| Arc::new(structural::connector(&manifest("Connector", name, spec)).unwrap());
    let mut grant = structural::grant(&manifest("Grant", "elsewhere", &json!({ "subjects": ["*"] }))).unwrap();
    grant.metadata.namespace = Some("apps".to_owned());
    let resources = Resources {
        connectors: vec![
            connector("postgres", &json!({ "protocol": "mcp", "service": { "module": "postgres" } })),
            connector(
                "remote",
                &json!({ "protocol": "mcp", "url": "https://a.example", "tools": { "hide": ["x"] }, "discovery": { "periodSeconds": 9 },
                         "auth": { "type": "bearer_token", "bearerToken": { "secretRef": { "name": "s" } } } }),
            ),
        ],
        grants: vec![Arc::new(grant)],
    };
    let with = |secrets| {
        export(Source { resources: &resources, secrets, system_namespace: "sys", accept_registrations: false })
    };
    let masked = with(None);
    let left: Vec<String> = masked.left_out.iter().map(ToString::to_string).collect();
    assert_eq!(
        left,
        [
            "Connector \"postgres\": spec.service, and so all of it",
            "Connector \"remote\": spec.discovery",
            "Connector \"remote\": spec.tools",
            "Grant \"elsewhere\": metadata.namespace, and so all of it",
        ]
    );
    assert!(masked.text.contains("\"secret\": \"***\"") && masked.text.starts_with("// not in this document: "));
    let none = BTreeMap::new();
    assert!(with(Some(&none)).left_out.iter().any(|l| l.what.contains("Secret")));
}
