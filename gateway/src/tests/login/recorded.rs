//! Who has signed in and out, or failed to, is on record: never a password, a code, or a name that nobody has.

use super::super::audit::records;
use super::*;
use aperium_core::id::TenantId;
use aperium_store::Store;
use aperium_store::audit::{Decision, Line};

const PASSWORD: &str = "correct horse battery";

/// People sign in at the issuer, or with a password as `admin` of acme.
async fn both(issuer: &Issuer) -> (tempfile::TempDir, Store, Gateway) {
    let (folder, store, ring) = database().await;
    std::fs::write(folder.path().join("oidc.corp"), "client-secret-canary\n").unwrap();
    let mut setup = Setup::default().login(issuer).grant("group:sales", &["odoo/**"]);
    let (password_hash, tenant) = (password::hash(&PASSWORD.into()).unwrap(), TenantId::parse("acme").ok());
    let user = LocalUser { name: "admin".into(), password_hash, tenant, groups: Vec::new() };
    setup.settings.authentication.login.local.push(user);
    (setup.database, setup.sealer) = (Some(store.clone()), ring);
    setup.login = Some(folder.path().to_owned());
    let gateway = setup.start().await;
    (folder, store, gateway)
}

type Told<'l> = (&'l str, Option<&'l str>, &'l str, Option<&'l str>, Decision, &'l str);

fn told(line: &Line) -> Told<'_> {
    let record = &line.record;
    assert_eq!((&*record.endpoint, record.request_id.is_empty()), ("login", false));
    (
        &line.tenant,
        record.principal.as_deref(),
        &record.method,
        record.tool.as_deref(),
        record.decision,
        &record.outcome,
    )
}

#[tokio::test]
async fn who_signs_in_and_out_is_on_record_and_so_is_who_fails_to() {
    let issuer = Issuer::start().await;
    let (_folder, store, gateway) = both(&issuer).await;
    let alice = Browser::default();
    assert_eq!(alice.sign_in(&gateway, &issuer, &Value::Null).await.status, 303);
    let token = alice.token(&gateway, "/").await;
    assert_eq!(alice.submit(&gateway, "/logout", &[("csrf", "another")]).await.status, 403);
    assert_eq!(alice.submit(&gateway, "/logout", &[("csrf", &token)]).await.status, 303);
    let asked = alice.begin(&gateway, "/login/corp").await;
    let back = [("code", "code-canary"), ("state", "state-canary"), ("iss", issuer.url.as_str())];
    assert_eq!(alice.come_back(&gateway, &back).await.status, 400, "{asked:?}");

    let admin = Browser::default();
    let form = admin.token(&gateway, "/login").await;
    for (name, password, status) in [
        ("admin", "wrong-canary", 401),
        // Somebody has typed the password into the wrong field.
        ("typed-canary", "", 401),
        ("admin", PASSWORD, 303),
    ] {
        let fields = [("name", name), ("password", password), ("csrf", &*form), ("return_to", "/")];
        assert_eq!(admin.submit(&gateway, "/login", &fields).await.status, status, "{name}");
    }

    let lines = records(&store, 7).await;
    let who = format!("oidc:{}#alice-1 <alice@example.com>", issuer.url);
    let (alice, admin) = (Some(who.as_str()), Some("local:admin"));
    let (oidc, local) = (Some("oidc:corp"), Some("local"));
    let told: Vec<_> = lines.iter().map(told).collect();
    assert_eq!(
        told,
        [
            ("", None, "sign-in", oidc, Decision::Unauthenticated, "denied"),
            ("", None, "sign-in", local, Decision::Unauthenticated, "wrong_password"),
            ("acme", alice, "sign-in", oidc, Decision::Allowed, "ok"),
            ("acme", alice, "sign-out", oidc, Decision::Unauthenticated, "foreign_form"),
            ("acme", alice, "sign-out", oidc, Decision::Allowed, "ok"),
            ("acme", admin, "sign-in", local, Decision::Unauthenticated, "wrong_password"),
            ("acme", admin, "sign-in", local, Decision::Allowed, "ok"),
        ]
    );
    let all = format!("{lines:?}");
    assert!(!all.contains("canary") && !all.contains(PASSWORD) && !all.contains(&form), "{all}");
}

#[tokio::test]
async fn strangers_who_fail_again_and_again_do_not_fill_the_log() {
    let issuer = Issuer::start().await;
    let (_folder, store, gateway) = both(&issuer).await;
    let stranger = Browser::default();
    for _ in 0..75 {
        let back = [("code", "c"), ("state", "made-up")];
        assert_eq!(stranger.come_back(&gateway, &back).await.status, 400);
    }
    // A way that the settings do not know is anybody's text, and not on record.
    let made_up = stranger.led(&gateway, "/login/made-up/callback?code=c&state=s", "cross-site").await;
    assert_eq!(made_up.status, 404);
    assert_eq!(stranger.sign_in(&gateway, &issuer, &Value::Null).await.status, 303);
    for _ in 0..100 {
        let lines = records(&store, 61).await;
        let lost: u64 = lines.iter().filter_map(|line| line.record.lost).sum();
        let failed = lines.iter().filter(|line| line.record.outcome == "denied").count();
        let signed_in = lines.iter().any(|line| line.record.outcome == "ok" && line.record.principal.is_some());
        assert!(failed <= 60 && !format!("{lines:?}").contains("made-up"));
        if (failed, lost, signed_in) == (60, 15, true) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("60 of 75 failures, 15 that are counted, and a sign-in all the same");
}
