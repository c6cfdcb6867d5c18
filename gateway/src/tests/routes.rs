//! T5: every route of the API with everybody who may come: what each gets is written down here, and a route that is not
//! fails the test. O24: whatever the answer, no secret is in it.

use super::harness::*;
use aperium_core::id::{ConnectorId, TenantId};
use axum::body::Body;
use axum::extract::Request;
use secrecy::SecretString;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Who comes. The tenant of an admin is no bound: admins administer the platform, and routes name the tenant.
const WHO: [&str; 9] = [
    "nobody",
    "made up",
    "expired",
    "without grant",
    "user",
    "user of another tenant",
    "auditor",
    "admin",
    "other admin",
];

/// What callers get beyond 401: without a grant, a user, a user of another tenant, an auditor, an admin, another admin.
type Gets = [u16; 6];

/// For whoever has a grant.
const fn all(status: u16) -> Gets {
    [403, status, status, status, status, status]
}

/// For admins.
const fn admins(status: u16) -> Gets {
    [403, 403, 403, 403, status, status]
}

/// For those who are granted something on the connector; for all others it is not there.
const fn granted(status: u16) -> Gets {
    [403, status, 404, 404, 404, 404]
}

const CREDENTIALS: &str = "/api/tenants/acme/connectors/postgres/credentials";
const TRIAL: &str = "/api/tenants/acme/connectors/postgres/credentials/test";

/// Each route with a good request: operation, path, body. What is deleted is not there for the next one.
fn table() -> Vec<(&'static str, &'static str, Value, Gets)> {
    let spec = json!({ "spec": { "protocol": "mcp", "url": "https://mcp.example.org/mcp" } });
    let grant = json!({ "spec": { "subjects": ["client:x"], "connectors": ["odoo/**"] } });
    let credential = json!({ "fields": { "host": "db.test", "database": "erp", "username": "r", "password": STORED } });
    let none = Value::Null;
    vec![
        ("whoami", "/api/whoami", none.clone(), all(200)),
        ("openapi", "/api/openapi.json", none.clone(), all(200)),
        ("listRegistry", "/api/registry", none.clone(), all(200)),
        ("listConnectors", "/api/connectors", none.clone(), all(200)),
        ("getConnector", "/api/connectors/odoo", none.clone(), all(200)),
        ("getConnector", "/api/connectors/code", none.clone(), all(200)),
        ("getConnector", "/api/connectors/gone", none.clone(), all(404)),
        ("explain", "/api/explain", json!({ "connector": "odoo", "category": "tools", "name": "echo" }), all(200)),
        (
            "explain",
            "/api/explain",
            json!({ "connector": "odoo", "category": "tools", "name": "echo", "as": ["user:bob@example.com"] }),
            admins(200),
        ),
        ("refreshConnector", "/api/connectors/odoo/refresh", none.clone(), [403, 200, 404, 404, 200, 200]),
        ("connectConnector", "/api/connectors/own/connect", none.clone(), granted(200)),
        ("disconnectConnector", "/api/connectors/own/disconnect", none.clone(), granted(200)),
        ("registerServer", "/v1/mcp/register", json!({ "url": "https://mcp.example.org/mcp" }), all(403)),
        // Nothing writes here: who gets so far is told that.
        ("putConnector", "/api/connectors/odoo", spec, admins(409)),
        ("deleteConnector", "/api/connectors/odoo", none.clone(), admins(409)),
        ("listGrants", "/api/grants", none.clone(), admins(200)),
        ("putGrant", "/api/grants/g9", grant, admins(409)),
        ("deleteGrant", "/api/grants/g0", none.clone(), admins(409)),
        ("getConfig", "/api/config", none.clone(), admins(200)),
        ("putConfig", "/api/config", json!({ "config": "{}", "hash": "none" }), admins(409)),
        ("validateConfig", "/aperture/config:validate", json!({ "config": "{}" }), admins(200)),
        ("listTenants", "/api/tenants", none.clone(), admins(200)),
        ("getTenant", "/api/tenants/acme", none.clone(), admins(200)),
        ("listAudit", "/api/audit", none.clone(), [403, 403, 403, 200, 200, 200]),
        // Nobody tries them here: the service is a fake.
        ("testCredentials", TRIAL, credential.clone(), admins(503)),
        ("putCredentials", CREDENTIALS, credential, admins(200)),
        ("getCredentials", CREDENTIALS, none.clone(), admins(200)),
        ("deleteCredentials", CREDENTIALS, none.clone(), [403, 403, 403, 403, 204, 404]),
        ("deleteTenant", "/api/tenants/globex", none, [403, 403, 403, 403, 204, 404]),
    ]
}

/// The routes of the committed description: operation and method.
fn described() -> Vec<(String, String)> {
    let text = std::fs::read_to_string("../docs/openapi.json").unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let paths = document["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|operations| operations.as_object().unwrap());
    operations
        .map(|(method, operation)| (operation["operationId"].as_str().unwrap().to_owned(), method.to_uppercase()))
        .collect()
}

const STORED: &str = "canary-stored-q4711z";
const SHARED: &str = "canary-shared-q4711z";
const LOGIN: &str = "canary-login-q4711z";

async fn gateway(issuer: &Issuer, fake: &Fake) -> (tempfile::TempDir, Gateway) {
    let (folder, store, ring) = database().await;
    std::fs::write(folder.path().join("oidc.corp"), LOGIN).unwrap();
    let bearer = json!({ "auth": { "type": "bearer_token", "bearerToken": { "secretRef": { "name": "s" } } } });
    let code = json!({ "auth": { "type": "oauth2_authorization_code", "authorizationCode": {
        "secretRef": { "name": "s" }, "authUrl": "https://as.example/a", "tokenUrl": "https://as.example/t" } } });
    let mut setup = Setup::default()
        .login(issuer)
        .url("code", fake.address, &code)
        .secret("code", &[("client_id", "id"), ("client_secret", "canary-client-q4711z")])
        .url("odoo", fake.address, &bearer)
        .url("own", fake.address, &json!({ "auth": { "type": "oauth2_dcr" } }))
        .service("postgres", fake.address, "canary-service-q4711z")
        .secret("odoo", &[("secret", SHARED)])
        .grant("tenant:acme", &["odoo/**", "own/**", "postgres/**"])
        .grant("tenant:globex", &["wiki/**"])
        .grant("user:auditor@example.com", &["wiki/**"])
        .grant("user:admin@example.com", &["wiki/**"])
        .grant("user:other@example.com", &["wiki/**"]);
    for (at, role) in [(2, "auditor"), (3, "admin"), (4, "admin")] {
        setup.grants[at]["spec"]["role"] = json!(role);
    }
    (setup.database, setup.sealer, setup.login) = (Some(store.clone()), ring, Some(folder.path().to_owned()));
    for tenant in ["acme", "globex"] {
        let fields = [("password".to_owned(), SecretString::from(STORED))].into();
        let tenant = store.tenant(&TenantId::parse(tenant).unwrap());
        tenant.put_credential(&ConnectorId::parse("postgres").unwrap(), &fields, None, "test").await.unwrap();
    }
    (folder, setup.start().await)
}

fn token(issuer: &Issuer, who: &str) -> Option<String> {
    let (name, org) = match who {
        "nobody" => return None,
        "made up" => return Some("made-up-token".to_owned()),
        "expired" => return Some(issuer.token(&json!({ "exp": now() - 3600 }))),
        "without grant" => ("stray", "none"),
        "user" => ("alice", "acme"),
        "user of another tenant" => ("bob", "globex"),
        "auditor" => ("auditor", "wiki"),
        "admin" => ("admin", "wiki"),
        _ => ("other", "globex"),
    };
    Some(issuer.token(&json!({ "sub": name, "email": format!("{name}@example.com"), "org": org })))
}

fn request(method: &str, path: &str, body: &Value, token: Option<&str>) -> Request {
    let mut request = Request::builder().method(method).uri(path).header("host", "aperium-gateway:8080");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if body.is_null() {
        return request.body(Body::empty()).unwrap();
    }
    request.header("content-type", "application/json").body(Body::from(body.to_string())).unwrap()
}

#[tokio::test]
async fn t5_every_route_gives_each_caller_what_is_written_here_and_o24_no_secret() {
    let (issuer, fake) = (Issuer::start().await, Fake::stateless(&["echo"]).await);
    let (_folder, gateway) = gateway(&issuer, &fake).await;
    let (described, table) = (described(), table());
    let written: BTreeSet<&str> = table.iter().map(|(operation, ..)| *operation).collect();
    let known: BTreeSet<&str> = described.iter().map(|(operation, _)| operation.as_str()).collect();
    assert_eq!(written, known, "each route of docs/openapi.json has a line in the table of this test");
    let mut wrong = Vec::new();
    for (operation, path, body, gets) in &table {
        let method = &described.iter().find(|(known, _)| known == operation).unwrap().1;
        let expected = [401, 401, 401].into_iter().chain(*gets);
        for (who, expected) in WHO.into_iter().zip(expected) {
            let answer = gateway.send(request(method, path, body, token(&issuer, who).as_deref())).await;
            if answer.status != expected {
                wrong.push(format!("{method} {path}, {who}: {} instead of {expected}: {}", answer.status, answer.text));
            }
            assert!(!answer.text.contains("canary-"), "{method} {path}, {who}: {}", answer.text);
            if matches!(answer.status, 401 | 403 | 404) {
                let text = answer.text.to_lowercase();
                assert!(!text.contains("acme") && !text.contains("alice"), "{method} {path}, {who}: {text}");
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn t5_no_browser_of_a_user_does_what_only_an_admin_may() {
    let (issuer, fake) = (Issuer::start().await, Fake::stateless(&["echo"]).await);
    let (_folder, gateway) = gateway(&issuer, &fake).await;
    let described = described();
    let user = Browser::default();
    assert_eq!(user.sign_in(&gateway, &issuer, &json!({ "org": "acme" })).await.status, 303);
    let csrf = user.token(&gateway, "/").await;
    let headers =
        [("origin", "https://mcp.example.com"), ("x-csrf-token", csrf.as_str()), ("content-type", "application/json")];
    for (operation, path, body, gets) in table().iter().filter(|(_, path, ..)| path.starts_with("/api/")) {
        let method = &described.iter().find(|(known, _)| known == operation).unwrap().1;
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let headers = if method == "GET" { &headers[2..] } else { &headers[..] };
        let answer = user.send(&gateway, user.request(method, path, headers, &text)).await;
        // A browser begins the flow itself, and this upstream has no authorization server.
        let expected = if *operation == "connectConnector" { 502 } else { gets[1] };
        assert_eq!(answer.status, expected, "{method} {path}: {}", answer.text);
    }
}
