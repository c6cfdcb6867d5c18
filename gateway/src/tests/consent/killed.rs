//! O12: a replica that is killed between the answer of a token endpoint and its database. The replica is a process of its
//! own: this program once more, which runs the test `replica` and does what it reads. The authorization server is in the
//! parent, knows whose each token is, takes every refresh token once, and kills the replica after it has answered.

use super::super::harness::*;
use super::refresh::{next, seed, soaking};
use crate::catalog::PerUser;
use crate::consent::{self, Latest, People, Standing};
use crate::pipeline::upstream::link::Link;
use crate::pipeline::upstream::{Limits, Upstream};
use aperium_core::caller::{Caller, Principal};
use aperium_core::id::TenantId;
use aperium_crds::Settings;
use aperium_platform::egress::{EgressError, EgressPolicy};
use aperium_platform::seal::Sealer;
use aperium_store::{Store, Target};
use axum::response::Response;
use http::{HeaderMap, header};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use url::{Url, form_urlencoded};

const USERS: [&str; 3] = ["anna", "ben", "carl"];
const RING: &str = r#"{"current":"k1","keys":{"k1":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}}"#;
const SELF: &str = "tests::consent::killed::replica";
/// How a line begins that answers.
const ANSWER: &str = "> ";
/// The kill comes at most so many microseconds after the answer is made: before it is sent, or after it is stored.
const WINDOW: u64 = 5_000;

#[expect(clippy::disallowed_methods, reason = "what a test tells the process that it starts")]
fn told(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whoever is the user of this tenant.
fn user(name: &str) -> Caller {
    Caller { tenant: Some(TenantId::parse(name).unwrap()), ..Caller::new(Principal::Loopback) }
}

fn people(server: &str, store: Store) -> Arc<People> {
    let mut settings = Settings::default();
    settings.egress.loopback = Some(aperium_core::egress::LoopbackOpening::default());
    let how = PerUser { server: None, scopes: Vec::new(), parameters: BTreeMap::new() };
    let url = format!("{server}/mcp").parse().unwrap();
    let policy = EgressPolicy::new(settings.egress).map_err(|_| EgressError::Url("of tests"));
    let desk = consent::open("github", &url, &how, "", Some(store), policy);
    let limits = Limits { max_answer: 1 << 20, max_tools: 10 };
    let make = move |_| Upstream::new(Link::Absent("of tests".to_owned()), limits);
    People::new(desk, Arc::<Latest>::default(), Box::new(make), Box::new(|| {}))
}

/// The replica. `consent <user>`, `token <user>`, `renew <user>`: each is answered with one line, a token or `none`.
#[tokio::test]
#[ignore = "the process that the other test starts and kills"]
async fn replica() {
    let (Some(folder), Some(server)) = (told("APERIUM_TEST_FOLDER"), told("APERIUM_TEST_SERVER")) else { return };
    let sealer = Sealer::file(Path::new(&folder).join("keys.json"));
    let store = Store::connect(&Target::Sqlite(Path::new(&folder).join("db")), sealer.clone()).await.unwrap();
    let people = people(&server, store);
    println!("\n{ANSWER}ready");
    let (lines, mut read) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || std::io::stdin().lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
    while let Some(line) = read.recv().await {
        let (what, name) = line.split_once(' ').unwrap();
        let caller = user(name);
        let personal = people.personal(&caller);
        let token = async || {
            let mut headers = HeaderMap::new();
            let inserted = personal.insert(&mut headers).await;
            inserted.ok().map(|_| headers[header::AUTHORIZATION].to_str().unwrap().to_owned())
        };
        let answer = match what {
            "consent" => {
                let redirect = "http://127.0.0.1:8080/aperture/auth/github/callback";
                let begun = people.begin(&caller, redirect, "", &sealer).await.unwrap();
                let begun: BTreeMap<String, String> = begun.query_pairs().into_owned().collect();
                let query = [("code", name), ("state", &begun["state"]), ("iss", server.as_str())];
                let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
                people.finish(&caller, &query, "", &sealer).await.unwrap();
                token().await
            }
            "renew" => {
                token().await;
                personal.refused();
                token().await
            }
            _ => token().await,
        };
        let needs = people.standing(&caller).await.unwrap() == Standing::NeedsAuth;
        assert_eq!(answer.is_none(), needs, "what a user is told is so");
        println!("\n{ANSWER}{}", answer.as_deref().unwrap_or("none"));
    }
}

/// A running replica.
struct Replica {
    child: Arc<Mutex<Child>>,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Replica {
    fn start(folder: &Path, server: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", SELF, "--ignored", "--nocapture", "--test-threads=1"])
            .env("APERIUM_TEST_FOLDER", folder)
            .env("APERIUM_TEST_SERVER", server)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut replica = Self { child: Arc::new(Mutex::new(child)), to, from };
        assert_eq!(replica.answer().as_deref(), Some("ready"));
        replica
    }

    /// The next answer; nothing when it is killed.
    fn answer(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.from.read_line(&mut line).unwrap_or_default() == 0 {
                return None;
            }
            if let Some(answer) = line.trim_end().strip_prefix(ANSWER) {
                return Some(answer.to_owned());
            }
        }
    }

    fn ask(&mut self, what: &str, name: &str) -> Option<String> {
        writeln!(self.to, "{what} {name}").ok()?;
        self.answer()
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// The authorization server. A code is whose it is.
#[derive(Default)]
pub(super) struct Server {
    /// How long a token lives, in seconds.
    pub(super) life: u64,
    pub(super) issued: u64,
    /// Access token → whose.
    pub(super) access: HashMap<String, String>,
    /// Refresh token that is good → whose.
    refresh: HashMap<String, String>,
    /// Whom to kill after the next answer, and when.
    kill: Option<(Arc<Mutex<Child>>, Duration)>,
}

impl Server {
    /// One whose tokens live so many seconds.
    pub(super) fn of_tokens_that_live(seconds: u64) -> Self {
        Self { life: seconds, ..Self::default() }
    }

    /// A token request.
    fn token(&mut self, form: &HashMap<String, String>) -> Response {
        let whose = match form["grant_type"].as_str() {
            "authorization_code" => form["code"].clone(),
            // Used once, like all good ones.
            _ => match self.refresh.remove(&form["refresh_token"]) {
                Some(whose) => whose,
                None => return answer(400, &json!({ "error": "invalid_grant" })),
            },
        };
        self.issued += 1;
        let (access, refresh) = (format!("access-{}", self.issued), format!("refresh-{}", self.issued));
        self.access.insert(format!("Bearer {access}"), whose.clone());
        self.refresh.insert(refresh.clone(), whose);
        if let Some((child, after)) = self.kill.take() {
            std::thread::spawn(move || {
                std::thread::sleep(after);
                let _ = child.lock().unwrap().kill();
            });
        }
        let body = json!({ "access_token": access, "token_type": "Bearer", "expires_in": self.life, "refresh_token": refresh });
        answer(200, &body)
    }
}

pub(super) fn answers(seen: &Seen, server: &Mutex<Server>) -> Response {
    let base = format!("http://{}", seen.headers["host"].to_str().unwrap());
    match seen.uri.path() {
        "/.well-known/oauth-protected-resource/mcp" => {
            answer(200, &json!({ "resource": format!("{base}/mcp"), "authorization_servers": [base] }))
        }
        "/.well-known/oauth-authorization-server" => {
            let at = |path: &str| Value::from(format!("{base}{path}"));
            answer(
                200,
                &json!({ "issuer": base, "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
                "registration_endpoint": at("/register"), "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": true }),
            )
        }
        "/register" => answer(201, &json!({ "client_id": "dyn", "token_endpoint_auth_method": "none" })),
        "/token" => {
            let form = form_urlencoded::parse(seen.text.as_bytes()).into_owned().collect();
            server.lock().unwrap().token(&form)
        }
        _ => answer(401, &json!({})),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_a_replica_over_a_token_costs_its_user_one_consent_and_nobody_else_anything() {
    let (mut state, kills) = (seed(), if soaking() { 300 } else { 20 });
    let server = Arc::new(Mutex::new(Server::of_tokens_that_live(3600)));
    let shared = Arc::clone(&server);
    let fake = Fake::start(move |seen| {
        let shared = Arc::clone(&shared);
        async move { answers(&seen, &shared) }
    })
    .await;
    let address = Url::parse(&format!("http://{}", fake.address)).unwrap().origin().ascii_serialization();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("keys.json"), RING).unwrap();
    let ours = |token: Option<String>, name: &str| {
        let token = token.expect("the replica lives");
        let whose = server.lock().unwrap().access.get(&token).cloned();
        assert!(token == "none" || whose.as_deref() == Some(name), "{name} has got {token} of {whose:?}");
        token != "none"
    };
    let mut replica = Replica::start(folder.path(), &address);
    for name in USERS {
        assert!(ours(replica.ask("consent", name), name));
    }
    let (mut died, mut again) = (0, 0);
    for round in 0..kills {
        let name = USERS[usize::try_from(next(&mut state, 3)).unwrap()];
        let what = if next(&mut state, 2) == 0 { "renew" } else { "consent" };
        let after = Duration::from_micros(next(&mut state, WINDOW));
        server.lock().unwrap().kill = Some((Arc::clone(&replica.child), after));
        died += u32::from(replica.ask(what, name).is_none());
        drop(replica);
        replica = Replica::start(folder.path(), &address);
        for other in USERS.into_iter().filter(|other| *other != name) {
            assert!(ours(replica.ask("renew", other), other), "round {round}: {other} has lost a consent");
        }
        // Whether the refresh token is the one that was used shows with the next renewal; once is enough from then on.
        if !ours(replica.ask("renew", name), name) {
            again += 1;
            assert!(ours(replica.ask("consent", name), name), "round {round}");
            assert!(ours(replica.ask("renew", name), name), "round {round}: asked twice");
        }
    }
    println!(
        "{kills} rounds of a kill after a token response: {died} before its end, {again} consents anew, no token of another user"
    );
}
