use super::*;

fn spec(text: &str) -> Value {
    let indented: String = text.lines().map(|line| format!("  {line}\n")).collect();
    parse(&format!("apiVersion: aperium.dev/v1alpha1\nkind: Connector\nmetadata: {{name: odoo}}\nspec:\n{indented}"))
        .unwrap()
}

fn refused(text: &str) -> String {
    connector(&spec(text)).unwrap_err().to_string()
}

const SERVICE: &str = "protocol: mcp\nservice: {module: odoo}\n";
const REMOTE: &str = "protocol: mcp\nurl: http://up/mcp\n";

#[test]
fn a_small_connector_gets_its_defaults() {
    let connector = connector(&spec(SERVICE)).unwrap();
    let service = connector.spec.service.unwrap();
    assert_eq!((service.replicas, service.port, service.network_policy.enabled), (1, None, true));
    assert_eq!(connector.spec.discovery.period_seconds, 5);
    assert_eq!(connector.spec.calls.timeout_seconds, 30);
    assert_eq!(connector.spec.calls.max_concurrent, 64);
}

#[test]
fn unknown_fields_are_named() {
    assert_eq!(refused("protocol: mcp\nservice: {module: odoo, replcas: 2}\n"), "spec.service.replcas: unknown field");
    assert_eq!(
        refused(&format!("{REMOTE}auth: {{type: basic, basic: {{secretRef: {{name: s}}, secert: x}}}}")),
        "spec.auth.basic.secert: unknown field"
    );
    assert_eq!(
        connector(&parse("kind: Connector\nspce: {}\nmetadata: {name: a}").unwrap()).unwrap_err().0[0].to_string(),
        "spec: is required"
    );
}

#[test]
fn structure_and_limits_hold() {
    for (text, message) in [
        ("protocol: mcp", "exactly one of `url` and `service` must be set"),
        ("protocol: mcp\nurl: http://up\nservice: {module: odoo}", "exactly one of `url` and `service` must be set"),
        ("url: http://up", "spec.protocol: is required"),
        ("protocol: grpc\nurl: http://up", "spec.protocol: must be one of"),
        ("protocol: http\nservice: {module: odoo}", "`service` needs `protocol` 'mcp'"),
        ("protocol: mcp\nurl: ftp://up", "spec.url: must match"),
        ("protocol: mcp\nurl: http://user:pw@up/", "spec.url: must match"),
        ("protocol: mcp\nservice: {module: odoo, replicas: 101}", "spec.service.replicas: must be at most 100"),
        (
            "protocol: mcp\nservice: {module: odoo, replicas: '2'}",
            "spec.service.replicas: must be of type integer, not string",
        ),
        ("protocol: mcp\nservice: {module: Odoo}", "spec.service.module: must match"),
        (
            "protocol: mcp\nservice: {module: odoo, auth: {existingSecret: ''}}",
            "spec.service.auth.existingSecret: must have at least 1 characters",
        ),
        (
            "protocol: mcp\nservice: {module: odoo, credentials: {source: secret}}",
            "`secretRef` must be set with `source` 'secret'",
        ),
        (
            "protocol: mcp\nservice: {module: odoo, autoscaling: {minReplicas: 3, maxReplicas: 2}}",
            "`minReplicas` must be at most `maxReplicas`",
        ),
        (
            "protocol: mcp\nservice: {module: odoo}\nauth: {type: basic, basic: {secretRef: {name: s}}}",
            "`auth` may be set only with `url`",
        ),
        (
            "protocol: mcp\nurl: http://up\nauth: {type: bearer_token, basic: {secretRef: {name: s}}}",
            "`bearerToken` must be set",
        ),
        ("protocol: http\nurl: http://up\nauth: {type: oauth2_dcr}", "HTTP credentials are always shared"),
        ("protocol: mcp\nurl: http://up\nlabels: [system]", "label 'system' is reserved"),
        ("protocol: mcp\nurl: http://up\nlabels: [a, a]", "spec.labels[1]: is a duplicate"),
        ("protocol: mcp\nurl: http://up\nid: Aperture", "reserved identifier"),
        ("protocol: mcp\nurl: http://up\nid: auto7", "dynamic registration"),
        ("protocol: mcp\nurl: http://up\nid: a-b", "spec.id: must match"),
        ("protocol: mcp\nurl: http://up\ncontext: 5", "spec.context: must be a string or an object"),
        ("protocol: mcp\nurl: null\nservice: {module: odoo}", "spec.url: must be of type string, not null"),
    ] {
        let faults = refused(text);
        assert!(faults.contains(message), "{text}\n  gave: {faults}\n  not:  {message}");
    }
}

#[test]
fn names_that_would_become_reserved_ids_are_refused_unless_an_id_is_given() {
    let named = |name: &str, id: &str| {
        connector(
            &parse(&format!(
                "kind: Connector\nmetadata: {{name: {name}}}\nspec: {{protocol: mcp, url: 'http://up', {id}}}"
            ))
            .unwrap(),
        )
    };
    assert!(named("aper-ture", "").is_err());
    assert!(named("auto-1", "").is_err());
    assert!(named("aperture", "id: other").is_ok());
    assert!(named("1a", "id: other").is_err());
    assert!(named(&"a".repeat(33), "").is_err());
    assert!(named(&"a".repeat(51), "id: other").is_ok());
    assert!(named(&"a".repeat(52), "id: other").is_err());
}

fn grant_of(text: &str) -> Result<crate::Grant, Faults> {
    grant(&parse(&format!("kind: Grant\nmetadata: {{name: g}}\nspec: {{{text}}}")).unwrap())
}

#[test]
fn admission_and_the_compiled_grammar_agree_on_every_pattern() {
    let good = [
        "**",
        "local/**",
        "local/tools/*",
        "github/proxy",
        "label:erp",
        "odoo/tools/odoo_search_*",
        "*/tools/x",
        "google*/prompts/*",
        "local/resources/files://a/b/*",
        "local/templates/x/{id}",
        "local/*/x",
        "a/tools/**",
    ];
    let bad = [
        "",
        "local",
        "local/",
        "local/tools",
        "local/tool/x",
        "local/tools/",
        "/tools/x",
        "a/b/c/d",
        "local/tools/a/b",
        "a-b/tools/x",
        "label:",
        "label:a/b",
        "label:*",
        "local/proxy/x",
        "local/tools/[x]",
        "local/tools/a?",
        "local/tools/a b\u{7}",
        "**/tools/x",
        "local/tools/!x",
    ];
    for text in good.iter().filter(|t| !t.contains('{')) {
        assert!(text.parse::<aperium_core::grant::Pattern>().is_ok(), "{text}");
        let verdict = grant_of(&format!("subjects: ['*'], connectors: ['{text}']"));
        assert!(verdict.is_ok(), "{text}: {verdict:?}");
    }
    for text in bad {
        assert!(text.parse::<aperium_core::grant::Pattern>().is_err(), "{text}");
        let escaped = text.replace('\u{7}', "\\u0007");
        assert!(grant_of(&format!("subjects: ['*'], connectors: [\"{escaped}\"]")).is_err(), "{text}");
    }
}

#[test]
fn admission_and_the_compiled_grammar_agree_on_every_subject() {
    for good in [
        "*",
        "(loopback)",
        "user:alice@example.com",
        "group:finance",
        "serviceaccount:apps:backend",
        "client:ci",
        "tenant:acme",
        "tag:ci",
    ] {
        assert!(good.parse::<aperium_core::grant::Subject>().is_ok(), "{good}");
        let verdict = grant_of(&format!("subjects: ['{good}']"));
        assert!(verdict.is_ok(), "{good}: {verdict:?}");
    }
    for bad in ["alice", "user:", "serviceaccount:ns", "serviceaccount:a:b:c", "role:x", "loopback", ""] {
        assert!(bad.parse::<aperium_core::grant::Subject>().is_err(), "{bad}");
        assert!(grant_of(&format!("subjects: ['{bad}']")).is_err(), "{bad}");
    }
}

#[test]
fn a_role_for_everybody_is_refused() {
    assert!(grant_of("subjects: ['*'], role: admin").unwrap_err().to_string().contains("`role` must be 'user'"));
    assert!(grant_of("subjects: ['client:ops'], role: admin").is_ok());
    assert!(grant_of("subjects: []").is_err());
}
