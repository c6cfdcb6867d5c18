//! Every message of the seeds and of the system that the documents come from, word for word.

use crate::document::{Finding, Macros, Severity, read_file};
use aperium_core::egress::EgressRules;
use serde_json::{Value, json};

const ADMIN: &str =
    r#"{"src": ["ann@example.com"], "app": {"tailscale.com/cap/aperture": [{"role": "admin", "connectors": ["**"]}]}}"#;

fn findings(text: &str) -> Vec<Finding> {
    let rules = EgressRules { cluster_ranges: Some(Vec::new()), ..EgressRules::default() };
    let mut findings = read_file(text, &Macros::default(), Some(&rules)).findings;
    findings.retain(|finding| finding.severity != Severity::Note);
    findings
}

/// A document with an admin, and the given text within its braces.
fn with_admin(text: &str) -> String {
    format!("{{\"grants\": [{ADMIN}], {text}}}")
}

fn servers(servers: &Value) -> String {
    with_admin(&format!("\"connectors\": {{\"servers\": {servers}}}"))
}

fn server(extra: &Value) -> String {
    let mut server = json!({ "protocol": "http", "url": "https://api.example.com" });
    for (key, value) in extra.as_object().unwrap() {
        server[key] = value.clone();
    }
    servers(&json!({ "x": server }))
}

fn auth(auth: &Value) -> String {
    server(&json!({ "auth": auth }))
}

fn grants(capability: &Value) -> String {
    let grant = json!({ "src": ["*"], "app": { "tailscale.com/cap/aperture": [capability] } });
    format!(
        "{{\"grants\": [{ADMIN}, {grant}], \"connectors\": {{\"servers\": {{\"x\": {{\"protocol\": \"mcp\", \"url\": \"https://x.example/mcp\", \"labels\": [\"erp\"]}}}}}}}}"
    )
}

/// What is wrong: severity and message, no more and no fewer.
fn assert_found(text: &str, wanted: &[(Severity, &str)]) {
    let found = findings(text);
    let found: Vec<(Severity, &str)> = found.iter().map(|f| (f.severity, f.message.as_str())).collect();
    assert_eq!(found, wanted, "{text}");
}

#[test]
fn a_good_document_has_no_findings() {
    assert_found(&server(&json!({})), &[]);
    assert_found(&auth(&json!({ "type": "bearer_token", "secret": "s" })), &[]);
    assert_found(
        &grants(&json!({ "connectors": ["x/**", "label:erp", "label:system", "aperture/**", "**", "*/tools/a"] })),
        &[],
    );
}

#[test]
fn messages_of_the_seeds() {
    use Severity::Error;
    let both = "\"mcp\": {\"servers\": {\"x\": {\"url\": \"https://a.example\"}}}, \"connectors\": {\"servers\": {\"x\": {\"protocol\": \"mcp\", \"url\": \"https://b.example\"}}}";
    for (text, message) in [
        (servers(&json!({ "x": { "url": "https://a.example" } })), "protocol is required (e.g. \"mcp\" or \"http\")"),
        (
            servers(&json!({ "my-x": { "protocol": "mcp", "url": "https://a.example" } })),
            "invalid ID \"my-x\"; connector IDs must match [a-zA-Z][a-zA-Z0-9]*",
        ),
        (
            servers(&json!({ "1x": { "protocol": "mcp", "url": "https://a.example" } })),
            "invalid ID \"1x\"; connector IDs must match [a-zA-Z][a-zA-Z0-9]*",
        ),
        (
            servers(&json!({ "tailscale": { "protocol": "mcp", "url": "https://a.example" } })),
            "\"tailscale\" is a reserved identifier",
        ),
        (
            servers(&json!({ "Internal": { "protocol": "mcp", "url": "https://a.example" } })),
            "\"Internal\" is a reserved identifier",
        ),
        (with_admin(both), "server ID \"x\" is defined in both 'mcp.servers' and 'connectors.servers'"),
        (auth(&json!({ "type": "bearer_token", "secret": "s", "secert": "t" })), "json: unknown field \"secert\""),
    ] {
        assert_found(&text, &[(Error, message)]);
    }
}

#[test]
fn messages_of_the_configuration_page() {
    use Severity::{Error, Warning};
    let no_admin = "no grant in grants or temp_grants assigns role:admin; nobody will be able to manage this instance";
    let nothing = "no providers or mcp servers defined; users will not be able to access any models";
    assert_found(&format!("{{\"grants\": [{ADMIN}]}}"), &[(Warning, nothing)]);
    assert_found(
        "{\"providers\": {\"p\": {\"a\": 1}}}",
        &[
            (Warning, "providers are configured but no grants or temp_grants defined; all access will be denied"),
            (Warning, no_admin),
        ],
    );
    for (text, severity, message) in [
        (
            server(&json!({ "url": "https://${APERIUM_CONFIG_HOST}" })),
            Error,
            "unsubstituted macros: [APERIUM_CONFIG_HOST]",
        ),
        (server(&json!({ "description": "${var_name}" })), Error, "unsubstituted macros: [var_name]"),
        (with_admin("\"hostname\": 1, \"hostname\": 2"), Warning, "duplicate config key \"hostname\""),
        (server(&json!({ "basurl": "x" })), Warning, "unknown config key \"basurl\""),
        (with_admin("\"connectors\": {\"server\": {}}"), Warning, "unknown config key \"server\""),
        (server(&json!({ "description": 5 })), Warning, "description: json: cannot use a number as a string"),
        (
            server(&json!({ "labels": ["a", 1] })),
            Warning,
            "labels: json: cannot use an array of something else as an array of strings",
        ),
        (server(&json!({ "suspend": "yes" })), Warning, "suspend: json: cannot use a string as a boolean"),
        (grants(&json!({ "connectors": ["**"], "conectors": [] })), Warning, "json: unknown field \"conectors\""),
        (
            grants(&json!({ "mcp_tools": ["y/search"] })),
            Warning,
            "mcp_tools pattern \"y/search\" references server \"y\" which does not match any declared MCP server",
        ),
        (
            grants(&json!({ "mcp_resources": ["y/*"] })),
            Warning,
            "mcp_resources pattern \"y/*\" references server \"y\" which does not match any declared MCP server",
        ),
        (
            grants(&json!({ "add_headers": ["X-Header"] })),
            Warning,
            "add_headers entry \"X-Header\" must be in \"Header-Name: value\" format",
        ),
        ("{\"a\": }".to_owned(), Error, "invalid JSON at line 1 column 7: a value is expected"),
    ] {
        let found = findings(&text);
        assert!(found.iter().any(|f| f.severity == severity && f.message == message), "{message}\n{found:#?}");
    }
    assert_found(
        "{\"connectors\": {\"servers\": {\"x\": {\"protocol\": \"mcp\", \"url\": \"https://x.example\"}}}}",
        &[(Warning, no_admin)],
    );
}

#[test]
fn messages_of_our_own_in_the_same_voice() {
    use Severity::{Error, Warning};
    let url = |url: &str| server(&json!({ "url": url }));
    let client = json!({ "type": "oauth2_authorization_code", "client_id": "a", "auth_url": "https://a.example", "token_url": "https://a.example" });
    for (text, severity, message) in [
        (servers(&json!({ "x": { "protocol": "http" } })), Warning, "connector x has no url configured"),
        (
            url("ftp://a.example"),
            Warning,
            "connector x has invalid URL scheme (must be http:// or https://): ftp://a.example",
        ),
        (url("a.example"), Warning, "connector x has invalid URL scheme (must be http:// or https://): a.example"),
        (
            url("http://169.254.169.254/x"),
            Warning,
            "connector x: url http://169.254.169.254/x resolves to a blocked address (metadata service)",
        ),
        (
            url("http://127.0.0.1:1/"),
            Warning,
            "connector x: url http://127.0.0.1:1/ resolves to a blocked address (loopback address)",
        ),
        (server(&json!({ "protocol": "grpc" })), Error, "connector x has invalid protocol: grpc"),
        (auth(&json!({ "type": "digest" })), Error, "connector x has invalid auth type: digest"),
        (auth(&json!({ "type": "bearer_token" })), Error, "connector x: auth.secret is required for bearer_token"),
        (
            auth(&json!({ "type": "basic", "username": "a", "password": "" })),
            Error,
            "connector x: auth.password is required for basic",
        ),
        (
            auth(&json!({ "type": "basic", "username": "a:b", "password": "c" })),
            Error,
            "connector x: auth.username must not contain ':'",
        ),
        (
            auth(&json!({ "type": "bearer_token", "secret": "s", "username": "u" })),
            Error,
            "connector x: auth.username has no meaning for bearer_token",
        ),
        (auth(&client), Error, "connector x: oauth2_authorization_code is not supported for protocol \"http\""),
        (
            auth(&json!({ "type": "oauth2_dcr" })),
            Error,
            "connector x: oauth2_dcr is not supported for protocol \"http\"",
        ),
        (
            grants(&json!({ "connectors": ["y/tools/*"] })),
            Warning,
            "connectors pattern \"y/tools/*\" references connector \"y\" which does not match any declared connector",
        ),
        (grants(&json!({ "connectors": ["x/tools/a/b"] })), Warning, "connectors pattern \"x/tools/a/b\" is malformed"),
        (grants(&json!({ "connectors": ["x/models/a"] })), Warning, "connectors pattern \"x/models/a\" is malformed"),
        (
            grants(&json!({ "connectors": ["label:hr"] })),
            Warning,
            "connectors pattern \"label:hr\" matches no connector",
        ),
        (server(&json!({ "labels": ["system"] })), Error, "label \"system\" is reserved"),
    ] {
        assert_found(&text, &[(severity, message)]);
    }
}

#[test]
fn no_message_quotes_a_secret() {
    let secret = "hunter2";
    for text in [
        auth(&json!({ "type": "bearer_token", "secret": { "x": secret } })),
        auth(&json!({ "type": "bearer_token", "secret": format!("{secret}\n") })),
        auth(&json!({ "type": "basic", "username": "u", "password": [secret] })),
        auth(&json!({ "type": "bearer_token", "secert": secret })),
        server(&json!({ "url": format!("https://u:{secret}@a.example") })),
        server(&json!({ "url": format!("u:{secret}@a.example") })),
        server(&json!({ "auth": secret })),
        grants(&json!({ "add_headers": [format!("Authorization Bearer {secret}")] })),
        grants(&json!({ "add_headers": secret })),
        format!("{{\"connectors\": {secret}}}"),
        format!("{{\"a\": \"{secret}"),
    ] {
        let found = findings(&text);
        assert!(!found.is_empty(), "{text}");
        assert!(!format!("{found:?}").contains(secret), "{found:?}");
    }
}

#[test]
fn a_finding_names_its_place_and_line() {
    let text = "{\n \"connectors\": {\"servers\": {\n  \"x\": {\"protocol\": \"mcp\", \"url\": \"https://x.example\",\n   \"auth\": {\"type\": \"bearer_token\", \"secret\": \"s\",\n    \"secert\": 1}}}}}";
    let found = findings(text);
    let strict = found.iter().find(|finding| finding.severity == Severity::Error).unwrap();
    assert_eq!((strict.path.as_str(), strict.line), ("connectors.servers.x.auth.secert", 5));
}
