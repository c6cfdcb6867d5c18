//! Token files as they change, and requests that carry a token or only look as if.

use std::{fs, os::unix::fs::symlink, path::Path, thread};

use axum::{Router, body::Body, routing::get};
use tower::ServiceExt as _;

use super::{file::LOOK_EVERY, *};

fn wait() {
    thread::sleep(LOOK_EVERY + std::time::Duration::from_millis(50));
}

fn fixed(text: &str) -> TokenSource {
    TokenSource::fixed(SecretString::from(text))
}

#[test]
fn one_or_two_lines_are_accepted() {
    for text in ["alpha", "alpha\n", "  alpha \r\n\r\n", "alpha\nbeta", "alpha\r\nbeta\n"] {
        let source = fixed(text);
        assert!(source.loaded() && source.accepts("alpha"), "{text:?}");
        assert_eq!(source.accepts("beta"), text.contains("beta"), "{text:?}");
        assert_eq!(source.current().unwrap().expose_secret(), "alpha");
        for wrong in ["", "alph", "alphaa", "Alpha", "alpha\n", "alpha\nbeta", "gamma"] {
            assert!(!source.accepts(wrong), "{wrong:?}");
        }
    }
}

#[test]
fn what_is_no_token_accepts_nothing() {
    let large = "a".repeat(4097);
    let table = [
        ("", TokenProblem::Empty, "TokenMissing"),
        (" \n\t\n", TokenProblem::Empty, "TokenMissing"),
        ("a\nb\nc", TokenProblem::Malformed, "TokenMalformed"),
        ("a b", TokenProblem::Malformed, "TokenMalformed"),
        ("a\u{0}b", TokenProblem::Malformed, "TokenMalformed"),
        ("é", TokenProblem::Malformed, "TokenMalformed"),
        (&large, TokenProblem::TooLarge, "TokenTooLarge"),
    ];
    for (text, problem, reason) in table {
        let source = fixed(text);
        assert_eq!(source.problem(), Some(problem), "{text:?}");
        assert_eq!(problem.reason(), reason);
        assert!(!source.loaded() && source.current().is_none());
        for presented in ["", "a", "b", text] {
            assert!(!source.accepts(presented), "{text:?} {presented:?}");
        }
    }
    assert!(fixed(&"a".repeat(4096)).loaded());
}

#[test]
fn a_file_is_read_again_when_it_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let source = TokenSource::file(&path);
    assert_eq!(source.problem(), Some(TokenProblem::Missing));
    let step = |text: &str, good: &[&str], bad: &[&str]| {
        fs::write(&path, text).unwrap();
        wait();
        assert!(good.iter().all(|token| source.accepts(token)), "{text:?}");
        assert!(!bad.iter().any(|token| source.accepts(token)), "{text:?}");
    };
    step("old", &["old"], &["new"]);
    step("old\nnew\n", &["old", "new"], &["old\nnew"]);
    step("new\n", &["new"], &["old"]);
    // Same length, same file.
    step("few\n", &["few"], &["new"]);
    step("", &[], &["few", ""]);
    step(&"x".repeat(5000), &[], &["few"]);
    fs::remove_file(&path).unwrap();
    wait();
    assert_eq!(source.problem(), Some(TokenProblem::Missing));
    fs::create_dir(&path).unwrap();
    wait();
    assert_eq!(source.problem(), Some(TokenProblem::Unreadable));
}

/// A Kubernetes volume: `token -> ..data/token`, `..data -> ..v1`; an update replaces the link `..data` by a rename.
#[test]
fn a_volume_update_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let publish = |version: &str, text: &str| {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("token"), text).unwrap();
        symlink(Path::new(version), at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
    };
    publish("..v1", "first");
    symlink("..data/token", at("token")).unwrap();
    let source = TokenSource::file(at("token"));
    assert!(source.accepts("first"));
    publish("..v2", "other");
    wait();
    assert!(source.accepts("other") && !source.accepts("first"));
}

#[test]
fn a_file_is_looked_at_seldom() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, "old").unwrap();
    let source = TokenSource::file(&path);
    fs::write(&path, "new").unwrap();
    let started = std::time::Instant::now();
    let still_old = source.accepts("old");
    // On a machine that slept in between the file may rightly have been read again.
    assert!(still_old || started.elapsed() > LOOK_EVERY / 2);
    wait();
    assert!(source.accepts("new"));
}

#[test]
fn no_token_in_debug_text() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, "hush-hush").unwrap();
    for source in [fixed("hush-hush"), TokenSource::file(&path)] {
        assert!(source.loaded() && !format!("{source:?} {:?}", source.current()).contains("hush"));
    }
}

async fn status(authorization: &[&str]) -> (u16, Option<String>) {
    let app = Router::new()
        .route("/", get(|| async { "in" }))
        .layer(axum::middleware::from_fn_with_state(fixed("alpha\nbeta"), require_bearer));
    let mut request = Request::new(Body::empty());
    for value in authorization {
        request.headers_mut().append(header::AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let response = app.oneshot(request).await.unwrap();
    let challenge = response.headers().get(header::WWW_AUTHENTICATE).map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), challenge)
}

#[tokio::test]
async fn only_one_good_bearer_header_gets_in() {
    for good in ["Bearer alpha", "bearer beta", "BEARER alpha", "Bearer  alpha "] {
        assert_eq!(status(&[good]).await, (200, None), "{good}");
    }
    assert_eq!(status(&[]).await, (401, Some("Bearer".to_owned())));
    let invalid = Some("Bearer error=\"invalid_token\"".to_owned());
    for bad in [
        &["Bearer gamma"][..],
        &["Bearer"],
        &["Bearer "],
        &["alpha"],
        &["Basic alpha"],
        &["Bearer\talpha"],
        &["Bearer alpha beta"],
        &["Bearer é"],
        &["Bearer alpha", "Bearer alpha"],
        &["Bearer alpha", "Bearer gamma"],
    ] {
        assert_eq!(status(bad).await, (401, invalid.clone()), "{bad:?}");
    }
}
