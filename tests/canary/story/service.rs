//! One service in a process of its own, with its token in the environment and its credentials in files.

use crate::bed::{Bed, Running};
use crate::manifests::fields;
use aperium_tests::process::{Program, Signal};
use aperium_tests::{binaries, ports, wait};
use serde_json::{Value, json};
use std::time::Duration;

/// Started, called with and without what it wants, with a wrong password and with the right one. It still runs.
pub(crate) async fn all(bed: &Bed) -> Running {
    let (token, port) = (bed.planted.plant("token of a service"), ports::free());
    let password = bed.planted.plant("password of a service");
    let wrong = bed.planted.plant("password of a service");
    bed.database.create_role("service", &password);
    let enter = |password: &str| {
        let mut fields = fields(&bed.database, password);
        fields["username"] = json!("service");
        for (name, value) in fields.as_object().expect("fields") {
            bed.write(&format!("credentials/{name}"), value.as_str().expect("a text"));
        }
    };
    enter(&wrong);
    let reach = json!({"allowHosts": [bed.database.address().to_string()]});
    let process = Program::new("canary-service", binaries::mcp())
        .args(["--connector", "postgres", "--listen", &format!("127.0.0.1:{port}"), "--credentials-dir"])
        .arg(bed.path("credentials"))
        .env("APERIUM_EGRESS", reach.to_string())
        .env("MCP_AUTH_TOKEN", &token)
        .env("RUST_LOG", "trace")
        .end_with(Signal::TERM)
        .spawn();
    let running = bed.running(process, port);
    let client = &running.client;
    let says = async |status: u16| {
        wait::until(&format!("/readyz says {status}"), Duration::from_secs(30), async || {
            let reply = client.try_ask("GET", "/readyz").await?;
            (reply.status == status).then_some(())
        })
        .await;
    };
    says(503).await;
    let argument = bed.planted.plant("argument of a call");
    let sql = format!("select 40 + 2 as answer where '{argument}' <> ''");
    let query = json!({"name": "postgres_run_query", "arguments": {"sql": sql}});
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": query});
    client.ask(&token, "POST", "/mcp", &call).await;
    enter(&password);
    says(200).await;
    let answer = client.ask(&token, "POST", "/mcp", &call).await;
    assert!(answer.text().contains("42"), "{}", answer.text());
    for token in ["", &bed.tokens.wrong, &token] {
        for path in ["/metrics", "/healthz", "/readyz", "/mcp", "/nowhere"] {
            client.ask(token, "GET", path, &Value::Null).await;
        }
    }
    let run = "postgres_run_query";
    for (method, params) in [
        ("tools/call", json!({"name": run, "arguments": argument})),
        ("tools/call", json!({"name": run, "arguments": {"sql": [argument], "limit": argument}})),
        ("tools/call", json!({"name": [argument], "arguments": {}})),
        ("tools/call", json!({"name": run, "arguments": {}, "_meta": argument})),
        ("tools/call", json!(argument)),
        ("tools/list", json!({"cursor": {"at": argument}})),
        ("initialize", json!({"protocolVersion": [argument], "capabilities": argument})),
        ("prompts/get", json!({"name": {"of": argument}})),
        ("resources/read", json!({"uri": {"of": argument}})),
        ("completion/complete", json!({"ref": argument})),
    ] {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        client.ask(&token, "POST", "/mcp", &body).await;
    }
    running
}
