//! Secrets in the wrong place: in a URL, in another header, in a body that cannot be read, in a file with a mistake.

use crate::bed::{Bed, Running};
use crate::client::query;
use crate::places::Kind;
use aperium_tests::{binaries, http};
use serde_json::{Value, json};
use std::time::Duration;

/// How long nothing comes before an answer is taken to be whole.
const QUIET: Duration = Duration::from_millis(300);

/// Requests. `admin`: the token of one; none for the person at the machine.
pub(crate) async fn in_requests(bed: &Bed, running: &Running, admin: &str) {
    let (client, token) = (&running.client, bed.planted.plant("secret in a wrong place"));
    let (bearer, basic, cookie) =
        (format!("Bearer {token}"), format!("Basic {token}"), format!("aperium-session={token}"));
    for (name, value) in [
        ("authorization", &bearer),
        ("authorization", &basic),
        ("authorization", &token),
        ("proxy-authorization", &bearer),
        ("cookie", &cookie),
        ("x-api-key", &token),
        ("x-aperium-lease", &token),
        ("mcp-session-id", &token),
        ("x-csrf-token", &token),
    ] {
        for path in ["/v1/mcp", "/api/whoami", "/", "/v1/connectors/apibearer/items"] {
            // What is no header of ours is for the upstream.
            let theirs = ["x-api-key", "mcp-session-id", "x-csrf-token"].contains(&name);
            if !theirs || !path.starts_with("/v1/connectors/") {
                client.send("GET", path, &[(name, value)], "").await;
            }
        }
    }
    let asked = query(&[("access_token", &token), ("code", &token), ("password", &token)]);
    for path in ["/v1/mcp", "/api/whoami", "/", "/login", "/login/corp/callback", "/aperture/auth/code/callback"] {
        for who in ["", &bed.tokens.acme] {
            client.ask(who, "GET", &format!("{path}?{asked}"), &Value::Null).await;
        }
    }
    let authorization = format!("Bearer {admin}");
    let headers = [("content-type", "application/json"), ("authorization", authorization.as_str())];
    let headers = &headers[..if admin.is_empty() { 1 } else { 2 }];
    for body in [
        format!("{{\"jsonrpc\": \"2.0\", \"id\": 1, \"method\": \"tools/call\", \"params\": \"{token}"),
        format!("{{\"jsonrpc\": \"2.0\", \"id\": 1, \"{token}\": 1, \"{token}\": 2}}"),
        token.clone(),
        json!([token]).to_string(),
    ] {
        for path in ["/v1/mcp", "/v1/mcp/register", "/api/explain", "/aperture/config:validate"] {
            client.send("POST", path, headers, &body).await;
        }
    }
    for auth in [
        json!({"type": "bearer_token", "bearerToken": {"secret": token}}),
        json!({"type": "bearer_token", "bearerToken": {"secretRef": {"name": [token]}}}),
        json!({"type": "bearer_token", "bearerToken": token}),
        json!({"type": "basic", "basic": {"secretRef": {"name": "s", "password": token}}}),
        json!({"type": "bearer_token", "secret": token}),
    ] {
        let spec = json!({"protocol": "mcp", "url": "https://mcp.example.com/mcp", "auth": auth});
        client.ask(admin, "PUT", "/api/connectors/mistaken", &json!({"spec": spec})).await;
    }
    let url = format!("https://user:{token}@mcp.example.com/mcp");
    client.ask(admin, "PUT", "/api/connectors/mistaken", &json!({"spec": {"protocol": "mcp", "url": url}})).await;
    for server in documents(&token) {
        let config = format!("{{\"connectors\": {{\"servers\": {{\"a\": {server}}}}}}}");
        client.ask(admin, "POST", "/aperture/config:validate", &json!({"config": config})).await;
        client.ask(admin, "PUT", "/api/config", &json!({"config": config, "hash": "x"})).await;
    }
}

/// Requests of HTTP/2, begun with prior knowledge and by an upgrade. No listener speaks it (`platform/src/serve.rs` says
/// why), so nothing else can go that way; what a client sends before it hears so is a mistake like the others.
pub(crate) async fn over_http2(bed: &Bed, running: &Running) {
    let token = bed.planted.plant("secret over HTTP/2");
    // HPACK without its tables: each name and each value in letters, after its length.
    let text = |text: &str| [&[u8::try_from(text.len()).expect("a short text")], text.as_bytes()].concat();
    let field = |name: &str, value: &str| [&[0][..], &text(name), &text(value)].concat();
    let (bearer, path) = (format!("Bearer {token}"), format!("/api/whoami?{}", query(&[("token", &token)])));
    let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", &path)];
    let fields = fields.into_iter().chain([("authorization", bearer.as_str())]);
    let block: Vec<u8> = fields.flat_map(|(name, value)| field(name, value)).collect();
    let length = u16::try_from(block.len()).expect("a short frame").to_be_bytes();
    let (settings, end_of_all) = ([0, 0, 0, 4, 0, 0, 0, 0, 0], 0x5);
    let headers = [&[0, length[0], length[1], 1, end_of_all, 0, 0, 0, 1][..], &block].concat();
    let prior = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &settings[..], &headers].concat();
    let upgrade = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {bearer}\r\nConnection: Upgrade, HTTP2-Settings\r\n\
         Upgrade: h2c\r\nHTTP2-Settings: {token}\r\n\r\n"
    );
    for client in std::iter::once(&running.client).chain(&running.admin) {
        for (sent, refusal) in [(&prior[..], "HTTP/1.1 505 "), (upgrade.as_bytes(), "HTTP/1.1 4")] {
            let answer = http::raw(client.address(), sent, QUIET).await.expect("an answer");
            let said = String::from_utf8_lossy(&answer).into_owned();
            assert!(said.starts_with(refusal), "no HTTP/2 is spoken here, or this test must speak it: {said}");
            bed.places.add(Kind::Answer, "HTTP/2", answer);
        }
    }
}

/// Connectors of a document with a secret where it cannot be.
fn documents(token: &str) -> Vec<String> {
    let with = |auth: &str| format!("{{\"protocol\": \"mcp\", \"url\": \"http://a.example/mcp\", \"auth\": {auth}}}");
    vec![
        with(&format!("{{\"type\": \"bearer_token\", \"secert\": \"{token}\"}}")),
        with(&format!("{{\"type\": \"bearer_token\", \"secret\": [\"{token}\"]}}")),
        with(&format!("{{\"type\": \"bearer_token\", \"secret\": \"{token}\", \"secret\": \"{token}\", \"name\": 1}}")),
        with(&format!("{{\"type\": \"{token}\"}}")).replace(token, &format!("x{}", &token[..3])),
        with(&format!("\"{token}\"")),
        with(&format!("{{\"type\": \"basic\", \"username\": \"u\", \"password\": {token}}}")),
        format!("{{\"protocol\": \"mcp\", \"url\": \"http://u:{token}@a.example/mcp\"}}"),
        format!("{{\"protocol\": \"mcp\", \"secret\": \"{token}"),
    ]
}

/// Files, and the programs that refuse them.
pub(crate) fn in_files(bed: &Bed) {
    let token = bed.planted.plant("secret in a file with a mistake");
    let refused = |what: &str, args: &[&str], variables: &[(&str, &str)], program| {
        let ended = bed.run("canary-refused", program, args, variables);
        assert!(!ended.good && !ended.said.is_empty(), "{what}: {}", ended.said);
    };
    let secret = |data: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\n{data}\n");
    let manifests = [
        secret(&format!("stringData: {{password: [{token}]}}")),
        secret(&format!("stringData: {token}")),
        secret(&format!("data: {{password: \"{token}!\"}}")),
        secret(&format!("stringDta: {{password: {token}}}")),
        secret(&format!("stringData: {{password: {token}, password: {token}}}")),
        secret(&format!("stringData:\n  password: \"{token}\n")),
        format!("password: {token}\n"),
        format!(
            "apiVersion: aperium.dev/v1alpha1\nkind: Connector\nmetadata: {{name: a}}\nspec: {{protocol: mcp, url: 'http://up.example/mcp', auth: {{type: bearer_token, bearerToken: {{secret: {token}}}}}}}\n"
        ),
        format!(
            "apiVersion: aperium.dev/v1alpha1\nkind: Connector\nmetadata: {{name: a}}\nspec: {{protocol: mcp, url: 'http://u:{token}@up.example/mcp'}}\n"
        ),
    ];
    for (at, text) in manifests.iter().enumerate() {
        bed.write(&format!("bad/{at}/a.yaml"), text);
        let (folder, data) = (text_of(&bed.path(&format!("bad/{at}"))), text_of(&bed.path(&format!("bad/{at}/data"))));
        refused(text, &["up", "--listen", "127.0.0.1:0", "--data", &data, &folder], &[], binaries::aperium());
    }
    for (at, server) in documents(&token).iter().enumerate() {
        let file = bed
            .write(&format!("bad/{at}.hujson"), &format!("{{\"connectors\": {{\"servers\": {{\"a\": {server}}}}}}}"));
        bed.run("canary-validate", binaries::aperium(), &["config", "validate", "--strict", &text_of(&file)], &[]);
    }
    for (at, ring) in [
        format!("{{\"current\":\"k\",\"keys\":{{\"k\":\"{token}\"}}}}"),
        format!("{{\"current\": {token}"),
        token.clone(),
    ]
    .iter()
    .enumerate()
    {
        bed.write(&format!("bad/ring{at}/data/encryption-keys.json"), ring);
        let folder = text_of(&bed.path(&format!("bad/ring{at}")));
        let data = format!("{folder}/data");
        refused(ring, &["up", "--listen", "127.0.0.1:0", "--data", &data, &folder], &[], binaries::aperium());
    }
    let settings = text_of(&bed.write(
        "bad/settings.yaml",
        "listeners: {public: '127.0.0.1:0', inCluster: '127.0.0.1:0', admin: '127.0.0.1:0'}\n",
    ));
    for text in [
        format!("authentication: {{staticTokens: [{{name: a, sha256: [{token}]}}]}}\n"),
        format!("authentication: {{staticTokens: [{{name: a, token: {token}}}]}}\n"),
        format!(
            "hosts: {{publicUrl: 'https://a.example'}}\nauthentication: {{login: {{local: [{{name: a, passwordHash: {token}}}]}}}}\n"
        ),
        format!("telemetry: {{otlpEndpoint: 'http://u:{token}@collector:4318/v1/traces'}}\n{token}"),
    ] {
        let file = text_of(&bed.write("bad/settings-with-mistakes.yaml", &text));
        refused(&text, &["--settings", &file], &[], binaries::gateway());
    }
    let folder = text_of(&bed.path("bad"));
    for url in [
        format!("postgres://u:{token}@h:port/d"),
        format!("mysql://u:{token}@h/d"),
        token.clone(),
        format!("postgres://u:{token}@h/d?sslmode={token}"),
    ] {
        refused(&url, &["--settings", &settings, "--folder", &folder], &[("DATABASE_URL", &url)], binaries::gateway());
    }
    for variables in [
        [("MCP_AUTH_TOKEN", token.as_str()), ("APERIUM_SETTINGS", "{")],
        [("MCP_AUTH_TOKEN", &token), ("APERIUM_CALLS", "[]")],
    ] {
        refused("a service", &["--connector", "postgres"], &variables, binaries::mcp());
    }
}

fn text_of(path: &std::path::Path) -> String {
    path.display().to_string()
}
