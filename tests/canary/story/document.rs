//! A configuration document with its secrets, read and changed through the API.

use crate::bed::{Bed, Running};
use crate::company::REFUSED;
use crate::manifests::SHARED;
use serde_json::{Value, json};

/// The variable that one secret comes from.
pub(crate) const VARIABLE: &str = "APERIUM_CONFIG_CANARY";

/// The document.
pub(crate) fn of(bed: &Bed) -> String {
    let company = bed.company.url();
    let mut servers = json!({});
    servers[&bed.control] = json!({"protocol": "mcp", "url": format!("{company}/mcp/{}", bed.control)});
    for kind in SHARED {
        for (id, protocol, path) in [(kind.to_owned(), "mcp", "mcp"), (format!("api{kind}"), "http", "api")] {
            let auth = auth(bed, kind, &id);
            servers[id] = json!({"protocol": protocol, "url": format!("{company}/{path}/{kind}"), "auth": auth});
        }
    }
    let people = format!("{company}/people");
    servers["own"] = json!({"protocol": "mcp", "url": people, "auth": {"type": "oauth2_dcr"}});
    let code = json!({"type": "oauth2_authorization_code", "client_id": "client", "auth_url": format!("{company}/authorize"),
        "client_secret": bed.planted.plant("credential of code"), "token_url": format!("{company}/token")});
    servers["code"] = json!({"protocol": "mcp", "url": people, "auth": code});
    let all = json!([{"role": "admin", "connectors": ["**"], "read_metrics": true}]);
    json!({
        "flags": {"connectors": {"value": true}},
        "connectors": {"servers": servers},
        "grants": [{"src": ["(loopback)"], "app": {"tailscale.com/cap/aperture": all}}],
    })
    .to_string()
}

fn auth(bed: &Bed, kind: &str, id: &str) -> Value {
    let token = format!("{}/token", bed.company.url());
    let secret = match id {
        "apibearer" => format!("${{{VARIABLE}}}"),
        _ => bed.planted.plant("secret in a document"),
    };
    match kind {
        "bearer" => json!({"type": "bearer_token", "secret": secret}),
        "keyheader" => json!({"type": "api_key", "name": "X-Api-Key", "secret": secret}),
        "keyquery" => json!({"type": "api_key", "in": "query", "name": "key", "secret": secret}),
        "basic" => json!({"type": "basic", "username": "somebody", "password": secret}),
        "client" => {
            json!({"type": "oauth2_client_credentials", "client_id": "client", "client_secret": secret, "token_url": token})
        }
        _ => {
            json!({"type": "oauth2_client_credentials", "client_id": REFUSED, "client_secret": secret, "token_url": token})
        }
    }
}

/// Read, sent back as it was, with a new secret, with a secret that would go to another host, and too late.
pub(crate) async fn changed(bed: &Bed, running: &Running) {
    let client = &running.client;
    let shown = async || {
        let reply = client.ask("", "GET", "/api/config", &Value::Null).await.json();
        let text = reply["config"].as_str().expect("a document").to_owned();
        (serde_json::from_str::<Value>(&text).expect("JSON"), reply["hash"].clone())
    };
    let put = async |document: &Value, hash: &Value| {
        let body = json!({"config": document.to_string(), "hash": hash});
        client.ask("", "PUT", "/api/config", &body).await.status
    };
    let (mut document, hash) = shown().await;
    assert_eq!(document["connectors"]["servers"]["bearer"]["auth"]["secret"], "***");
    document["connectors"]["servers"]["bearer"]["description"] = json!("changed");
    assert_eq!(put(&document, &hash).await, 200);
    let (mut document, hash) = shown().await;
    document["connectors"]["servers"]["bearer"]["auth"]["secret"] = json!(bed.planted.plant("secret in a document"));
    assert_eq!(put(&document, &hash).await, 200);
    assert_eq!(put(&document, &hash).await, 412);
    let (mut document, hash) = shown().await;
    document["connectors"]["servers"]["basic"]["url"] = json!("http://elsewhere.example/mcp");
    assert_eq!(put(&document, &hash).await, 422, "a stored secret is not sent elsewhere");
}
