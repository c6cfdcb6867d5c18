//! The gateway with all functions on: tokens, grants, request ids, metrics, limits, egress guard, sealed sessions.

use super::issuer::{self, AUDIENCE, Issuer};
use super::{Target, USERS, alone};
use crate::asked::TOOLS;
use aperium_tests::http::get;
use aperium_tests::{binaries, ports, wait};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// Its name in the tables.
pub(crate) const NAME: &str = "Aperium gateway";
/// 32 bytes, as base64.
const KEYS: &str = r#"{"current":"k1","keys":{"k1":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}}"#;

/// How callers say who they are, and what stays on record of them.
#[derive(Clone, Copy)]
pub(crate) enum Callers<'a> {
    /// A static token each; there is no database, so nothing is on record.
    Static,
    /// Tokens of this issuer; what they do is on record in the PostgreSQL of this URL.
    Issued(&'a Issuer, &'a str),
}

impl Callers<'_> {
    fn tokens(self) -> Vec<String> {
        match self {
            Self::Static => Target::tokens(),
            Self::Issued(issuer, _) => issuer.tokens(),
        }
    }

    fn subject(self, user: u32) -> String {
        match self {
            Self::Static => format!("client:user-{user}"),
            Self::Issued(..) => format!("user:{}", issuer::email(user)),
        }
    }
}

/// Two connectors of ten tools, one of ten that nobody was granted, an HTTP API; four callers with three grants each, and
/// others for everybody, up to so many.
pub(crate) async fn start(upstream: u16, grants: usize) -> Target {
    start_for(upstream, grants, Callers::Static).await
}

/// The same for these callers.
pub(crate) async fn start_for(upstream: u16, grants: usize, callers: Callers<'_>) -> Target {
    let mut connectors: String = ["one", "two", "hidden"].map(|id| connector(id, "mcp", upstream, id)).concat();
    connectors += &connector("api", "http", upstream, "");
    let mut all = Vec::new();
    for user in 0..USERS {
        for what in ["one/tools/*", "two/tools/*", "api/proxy"] {
            all.push(grant(all.len(), &callers.subject(user), what));
        }
    }
    for other in all.len()..grants {
        all.push(grant(other, "*", &format!("other{other}/tools/read_*")));
    }
    spawn(upstream, &[connectors, all.concat()], callers, TOOLS, 3).await
}

/// So many connectors of ten tools, and five grants for two tools of each.
pub(crate) async fn start_with_many(upstream: u16, connectors: usize) -> Target {
    let (mut all, mut grants) = (String::new(), String::new());
    for number in 0..connectors {
        let id = format!("c{number:03}");
        all += &connector(&id, "mcp", upstream, "one");
        for first in (0..10).step_by(2) {
            let tool = |at: usize| if at == 0 { "echo".to_owned() } else { format!("other_{at:02}") };
            let what = format!("{id}/tools/{}', '{id}/tools/{}", tool(first), tool(first + 1));
            grants += &grant(number * 5 + first / 2, &Callers::Static.subject(0), &what);
        }
    }
    spawn(upstream, &[all, grants], Callers::Static, connectors * 10, connectors).await
}

async fn spawn(
    upstream: u16,
    manifests: &[String],
    callers: Callers<'_>,
    tools: usize,
    mcp_connectors: usize,
) -> Target {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("manifests")).expect("a folder");
    for (at, text) in manifests.iter().enumerate() {
        std::fs::write(path(&format!("manifests/{at}.yaml")), text).expect("the manifests");
    }
    let [port, in_cluster, admin] = ports::free_many();
    let settings = settings(upstream, [port, in_cluster, admin], callers);
    std::fs::write(path("settings.yaml"), settings).expect("the settings");
    std::fs::write(path("keys.json"), KEYS).expect("the keys");
    let mut program = alone("gateway", binaries::gateway())
        .arg("--settings")
        .arg(path("settings.yaml"))
        .arg("--folder")
        .arg(path("manifests"))
        .arg("--encryption-keys")
        .arg(path("keys.json"))
        .env("RUST_LOG", "warn");
    if let Callers::Issued(_, database) = callers {
        program = program.env("DATABASE_URL", database);
    }
    let mut process = program.spawn();
    let probe = format!("http://127.0.0.1:{admin}/readyz");
    wait::until("the gateway has discovered its connectors", Duration::from_secs(60), async || {
        let reply = get(&probe, &[]).await.ok()?;
        // The tables of a new database are not there before it is ready.
        let discovered = reply.text().matches("\"tools\":10").count() == mcp_connectors;
        (reply.status == 200 && discovered).then_some(())
    })
    .await;
    assert!(process.running(), "{}", process.last_lines());
    let tool = if tools == TOOLS { "one_echo" } else { "c000_echo" };
    Target {
        name: NAME,
        port,
        mcp: "/v1/mcp",
        http: Some("/v1/connectors/api/item/"),
        tool,
        tools,
        tokens: callers.tokens(),
        process: Some(process),
        _folder: Some(folder),
    }
}

/// Four callers. The upstream is the one loopback address that may be reached. No access log, as
/// the peers write none.
fn settings(upstream: u16, [public, in_cluster, admin]: [u16; 3], callers: Callers<'_>) -> String {
    let mut text = format!(
        "listeners: {{public: '127.0.0.1:{public}', inCluster: '127.0.0.1:{in_cluster}', admin: '127.0.0.1:{admin}'}}\n\
         egress: {{allowHosts: ['127.0.0.1:{upstream}']}}\n\
         telemetry: {{accessLog: false}}\n\
         authentication:\n"
    );
    match callers {
        Callers::Static => {
            text += "  staticTokens:\n";
            for (user, token) in callers.tokens().iter().enumerate() {
                let hash: String = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
                text += &format!("    - {{name: user-{user}, sha256: [\"sha256:{hash}\"]}}\n");
            }
        }
        Callers::Issued(issuer, _) => {
            let url = issuer.url();
            text += &format!("  oidc:\n    - {{issuer: '{url}', audiences: [{AUDIENCE}], claims: {{tenant: org}}}}\n");
            text += &format!("hosts: {{publicUrl: 'http://127.0.0.1:{public}'}}\n");
        }
    }
    text
}

/// The tool that is called only reads: nobody waits for its record.
fn connector(id: &str, protocol: &str, upstream: u16, path: &str) -> String {
    let reads = if protocol == "mcp" { ", calls: {retryableReadTools: [echo]}" } else { "" };
    format!(
        "---\napiVersion: aperium.dev/v1alpha1\nkind: Connector\nmetadata: {{name: {id}}}\n\
         spec: {{protocol: {protocol}, url: 'http://127.0.0.1:{upstream}/{path}'{reads}}}\n"
    )
}

fn grant(number: usize, subject: &str, what: &str) -> String {
    format!(
        "---\napiVersion: aperium.dev/v1alpha1\nkind: Grant\nmetadata: {{name: g{number:04}}}\n\
         spec: {{subjects: ['{subject}'], connectors: ['{what}']}}\n"
    )
}
