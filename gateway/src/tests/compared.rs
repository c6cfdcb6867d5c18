//! T13: what somebody presents is compared in constant time, and what is kept of it is a hash.

use super::harness::*;
use aperium_platform::seal::{KeyRing, Sealer};
use aperium_store::{Store, Target};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// Where something that comes from outside is held against something secret.
const PLACES: [&str; 5] = [
    "gateway/src/login/csrf.rs",
    "gateway/src/pipeline/authn/oidc/claims.rs",
    "gateway/src/pipeline/authn/static_tokens.rs",
    "platform/src/bearer/tokens.rs",
    "platform/src/oauth/answer.rs",
];
/// Two values of our own, of which nobody outside has given either.
const OURS: [&str; 2] = ["gateway/src/cluster/tokens.rs", "mcp-service/src/connector/upstream.rs"];

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "tests" && name != "target") {
                sources(&path, into);
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
            into.push(path);
        }
    }
}

/// What a comparison that ends at the first difference looks like.
const COMPARES: [&str; 8] =
    [" == ", " != ", ".eq(", ".ne(", ".cmp(", ".eq_ignore_ascii_case(", ".starts_with(", ".ends_with("];

/// The part of a program that compares a secret, or what somebody presents for one, as any other text.
fn leak_of_time(program: &str) -> Option<String> {
    let lines = program.lines().map(|line| line.split("//").next().unwrap_or_default());
    let program = lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ");
    let program = program.replace(" .", ".").replace("&&", ";").replace("||", ";");
    let found = program.split([';', '{', '}', ',']).find(|part| {
        // `presented` itself is the token; `presented.issuer` is what a JWT says.
        let mut words = part.split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != '.');
        let compared = |word: &str| COMPARES.iter().any(|name| format!("{word}(").ends_with(name));
        let token = |word: &str| word == "presented" || (word.starts_with("presented.") && compared(word));
        let read = part.contains("expose_secret()") || words.any(token);
        let length = part.contains("expose_secret().len()") || part.contains("expose_secret().is_empty()");
        read && !length && COMPARES.iter().any(|compares| part.contains(compares))
    });
    found.map(str::to_owned)
}

fn program(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod ").next().unwrap()
}

#[test]
fn t13_no_secret_is_compared_as_any_other_text() {
    let workspace = Path::new("..").canonicalize().unwrap();
    let mut files = Vec::new();
    for package in fs::read_dir(&workspace).unwrap().flatten().map(|entry| entry.path().join("src")) {
        if package.is_dir() {
            sources(&package, &mut files);
        }
    }
    assert!(files.len() > 100, "the sources are elsewhere");
    for path in &files {
        let text = fs::read_to_string(path).unwrap();
        let name = path.strip_prefix(&workspace).unwrap().to_str().unwrap();
        let found = leak_of_time(program(&text));
        assert!(found.is_none() || OURS.contains(&name), "{name}: {found:?}");
        assert_eq!(program(&text).contains(".ct_eq("), PLACES.contains(&name), "{name}: the list of places is another");
    }
}

#[test]
fn the_rule_finds_what_it_is_for() {
    for bad in [
        "given == token.expose_secret()",
        "if a.expose_secret() != b {}",
        "x.expose_secret()\n    == y",
        "a\n    .expose_secret()\n    .eq(b)",
        "b.starts_with(a.expose_secret())",
        "digest == presented",
        "hashes.iter().any(|hash| *hash == presented)",
        "presented.ne(expected)",
    ] {
        assert!(leak_of_time(bad).is_some(), "{bad}");
    }
    for good in [
        "a.expose_secret().len() == 3",
        "let x = a.expose_secret()",
        "a == b; f(c.expose_secret())",
        "presented.issuer == issuer",
        "presented.as_bytes().ct_eq(expected)",
        "// what is presented == what is kept",
    ] {
        assert!(leak_of_time(good).is_none(), "{good}");
    }
}

#[tokio::test]
async fn t13_neither_the_database_nor_any_state_holds_a_token_or_a_session_as_it_is_presented() {
    let issuer = Issuer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let ring = Sealer::fixed(KeyRing::generate().unwrap());
    let store = Store::connect(&Target::Sqlite(folder.path().join("db")), ring.clone()).await.unwrap();
    let mut setup = Setup::default().login(&issuer).grant("group:sales", &["**"]).grant("client:agent", &["**"]);
    (setup.database, setup.sealer) = (Some(store), ring);
    let gateway = setup.start().await;
    let browser = Browser::default();
    assert_eq!(browser.sign_in(&gateway, &issuer, &json!({})).await.status, 303);
    assert_eq!(browser.whoami(&gateway).await.status, 200);
    let by_token = gateway.send(ask("GET", "/api/whoami")).await.json();
    assert_eq!(by_token["principal"], "client:agent");
    let session = browser.session().unwrap();
    let csrf = browser.token(&gateway, "/").await;
    for presented in [session.as_str(), &csrf, TOKEN] {
        for file in fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.path()) {
            let bytes = fs::read(&file).unwrap();
            let found = bytes.windows(presented.len()).any(|window| window == presented.as_bytes());
            assert!(!found, "{} holds it", file.display());
        }
        let state = format!("{:?} {:?}", gateway.state, gateway.state.access.load());
        assert!(!state.contains(presented), "the state of the gateway holds it");
    }
}
