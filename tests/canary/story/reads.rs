//! Everything that can be read, by everybody.

use crate::bed::{Bed, Running};
use crate::places::Kind;
use serde_json::{Value, json};

/// Paths of the public listener.
const PATHS: [&str; 24] = [
    "/",
    "/login",
    "/signed-out",
    "/healthz",
    "/metrics",
    "/v1/mcp",
    "/v1/connectors/nowhere/items",
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-protected-resource/v1/mcp",
    "/api/whoami",
    "/api/openapi.json",
    "/api/registry",
    "/api/connectors",
    "/api/connectors/bearer",
    "/api/connectors/refused",
    "/api/connectors/ledger",
    "/api/connectors/code",
    "/api/grants",
    "/api/config",
    "/api/tenants",
    "/api/tenants/acme",
    "/api/tenants/acme/connectors/ledger/credentials",
    "/api/audit?limit=1000",
    "/aperture/auth/code/connect",
];

/// All of it. `admin`: the token of one; none for the person at the machine.
pub(crate) async fn all(bed: &Bed, running: &Running, admin: &str) {
    let tokens = &bed.tokens;
    for token in ["", &tokens.wrong, &tokens.acme, &tokens.globex, &tokens.boss] {
        for path in PATHS {
            running.client.ask(token, "GET", path, &Value::Null).await;
        }
        for name in ["bearer_echo", "refused_echo", "ledger_postgres_run_query"] {
            let connector = name.split('_').next().unwrap_or_default();
            let asked = json!({"connector": connector, "category": "tools", "name": name});
            running.client.ask(token, "POST", "/api/explain", &asked).await;
        }
    }
    let metrics = running.client.ask(admin, "GET", "/metrics", &Value::Null).await;
    assert_eq!(metrics.status, 200, "{}", metrics.text());
    bed.places.add(Kind::Metrics, "/metrics", metrics.body.to_vec());
    for path in ["/healthz", "/readyz", "/metrics"] {
        if let Some(admin) = &running.admin {
            admin.ask("", "GET", path, &Value::Null).await;
        }
    }
}
