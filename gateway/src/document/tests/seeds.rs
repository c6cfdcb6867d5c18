//! The documents that the seeds show, each as it stands there, and what they mean.

use crate::document::{Macros, Reading, Severity, read_file};
use aperium_crds::connector::{AuthType, Connector, Protocol};
use secrecy::ExposeSecret as _;

/// What an admin's own document holds beside an example.
const GRANTS: &str =
    r#""grants": [{"src": ["ann@example.com"], "app": {"tailscale.com/cap/aperture": [{"role": "admin"}]}}]"#;

fn read(example: &str) -> Reading {
    let rest = example.trim().strip_prefix('{').unwrap();
    let reading = read_file(&format!("{{{GRANTS}, {rest}"), &Macros::default(), None);
    let bad: Vec<_> = reading.findings.iter().filter(|finding| finding.severity > Severity::Note).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    reading
}

fn only(reading: &Reading) -> &Connector {
    assert_eq!(reading.folder.resources.connectors.len(), 1);
    &reading.folder.resources.connectors[0]
}

#[test]
fn the_feature_flag() {
    let reading = read(r#"{ "flags": { "connectors": {"value": true} } }"#);
    assert!(reading.connectors_flag);
}

#[test]
fn an_mcp_server_and_an_http_api() {
    let reading = read(
        r#"{
  "connectors": {
    "servers": {
      "local": { "protocol": "mcp", "url": "http://localhost:8185/v1/mcp" },
      "github": {
        "protocol": "http",
        "url": "https://api.github.com",
        "description": "GitHub REST API (read-only)",
        "auth": { "type": "bearer_token", "secret": "github_pat_example" }
      }
    }
  }
}"#,
    );
    let [local, github] = &reading.folder.resources.connectors[..] else { panic!("{reading:?}") };
    assert_eq!((local.spec.protocol, local.spec.url.as_deref()), (Protocol::Mcp, Some("http://localhost:8185/v1/mcp")));
    assert_eq!(
        (github.spec.protocol, github.spec.auth.as_ref().unwrap().auth_type),
        (Protocol::Http, AuthType::BearerToken)
    );
    let secret = &reading.folder.secrets["github-auth"];
    assert_eq!(secret.data["secret"].expose_secret(), "github_pat_example");
    assert_eq!(secret.labels["connector.aperium.dev/github"], "true");
    assert!(!format!("{reading:?}").contains("github_pat"), "not even Debug shows it");
}

#[test]
fn grants_for_everyone() {
    let text = r#"{"connectors": {"servers": {"local": {"protocol": "mcp", "url": "https://a.example"}}}, "grants": [
    { "src": ["*"], "app": { "tailscale.com/cap/aperture": [ {"connectors": ["aperture/**"]}, {"connectors": ["**"]} ] } }
  ]}"#;
    let reading = read_file(text, &Macros::default(), None);
    let grants = &reading.folder.resources.grants;
    let named: Vec<(&str, &[String])> =
        grants.iter().map(|grant| (grant.metadata.name.as_deref().unwrap(), &grant.spec.connectors[..])).collect();
    assert_eq!(named, [("grant-1-1", &["aperture/**".to_owned()][..]), ("grant-1-2", &["**".to_owned()][..])]);
    assert!(grants.iter().all(|grant| grant.spec.subjects == ["*"]));
}

#[test]
fn client_credentials() {
    let reading = read(
        r#"{ "connectors": { "servers": { "analytics": {
        "protocol": "mcp",
        "url": "https://analytics.example.com/v1/mcp",
        "auth": {
          "type": "oauth2_client_credentials",
          "client_id": "aperture-analytics",
          "client_secret": "secret-example",
          "token_url": "https://auth.example.com/oauth2/token",
          "scopes": ["read:data"]
        } } } } }"#,
    );
    let client = only(&reading).spec.auth.as_ref().unwrap().client_credentials.clone().unwrap();
    assert_eq!(
        (client.token_url.as_str(), client.scopes),
        ("https://auth.example.com/oauth2/token", vec!["read:data".to_owned()])
    );
    let secret = &reading.folder.secrets["analytics-auth"].data;
    assert_eq!(secret["client_id"].expose_secret(), "aperture-analytics");
    assert_eq!(secret["client_secret"].expose_secret(), "secret-example");
}

#[test]
fn per_user_oauth_is_taken_as_it_stands() {
    let reading = read(
        r#"{ "connectors": { "servers": { "google": {
        "protocol": "mcp",
        "url": "https://mcp.google.example.com/v1/mcp",
        "auth": {
          "type": "oauth2_authorization_code",
          "client_id": "example-client-id",
          "client_secret": "example-client-secret",
          "auth_url": "https://accounts.google.com/o/oauth2/v2/auth",
          "token_url": "https://oauth2.googleapis.com/token",
          "scopes": ["https://www.googleapis.com/auth/spreadsheets.readonly"],
          "auth_params": {"access_type": "offline", "prompt": "consent"}
        } } } } }"#,
    );
    let code = only(&reading).spec.auth.as_ref().unwrap().authorization_code.clone().unwrap();
    assert_eq!(code.auth_params["access_type"], "offline");
    assert!(reading.findings.iter().all(|finding| finding.severity < Severity::Warning), "{:?}", reading.findings);
}

#[test]
fn dynamic_registration() {
    assert!(read(r#"{ "mcp": { "accept_registrations": true } }"#).accept_registrations);
}

#[test]
fn context_basic_and_api_key() {
    let reading = read(
        r#"{ "connectors": { "servers": {
      "jira": {
        "protocol": "http",
        "url": "https://your-org.atlassian.net/rest/api/3",
        "description": "Jira Cloud API",
        "context": "Use this connector to look up issue status and sprint progress.",
        "auth": { "type": "basic", "username": "api-user@example.com", "password": "api-token-example" }
      },
      "weather": {
        "protocol": "http",
        "url": "https://api.weather.example.com",
        "auth": { "type": "api_key", "secret": "wk-example-key", "name": "X-API-Key", "in": "header" }
      } } } }"#,
    );
    let [jira, weather] = &reading.folder.resources.connectors[..] else { panic!("{reading:?}") };
    assert!(jira.spec.context.as_ref().unwrap().as_str().unwrap().starts_with("Use this connector"));
    assert_eq!(reading.folder.secrets["jira-auth"].data["username"].expose_secret(), "api-user@example.com");
    assert_eq!(weather.spec.auth.as_ref().unwrap().api_key.as_ref().unwrap().name, "X-API-Key");
}

#[test]
fn a_legacy_server_before_and_after_its_move_is_the_same() {
    let before = read(r#"{ "mcp": { "servers": { "local": { "url": "http://localhost:8185/v1/mcp" } } } }"#);
    let after = read(
        r#"{ "connectors": { "servers": { "local": { "protocol": "mcp", "url": "http://localhost:8185/v1/mcp" } } } }"#,
    );
    assert_eq!(only(&before), only(&after));
}
