use super::*;
use crate::testing::{ring, sqlite};
use crate::{Store, now_ms};
use aperium_core::id::TenantId;
use tempfile::TempDir;

const ISSUER: &str = "https://as.example";
const KEY: TokenKey<'_> = TokenKey { connector: "github", person: "alice", upstream: "https://mcp.example/mcp" };

async fn two_replicas() -> (TempDir, TenantStore, TenantStore) {
    let (folder, target) = sqlite();
    let tenant = TenantId::parse("acme").unwrap();
    let store = async || Store::connect(&target, ring("k1", &[("k1", 1)])).await.unwrap().tenant(&tenant);
    (folder, store().await, store().await)
}

fn token(content: &[u8]) -> NewToken<'_> {
    NewToken { renew_ms: Some(1), refreshable: true, content }
}

fn flow(person: &str) -> Flow {
    let content = Zeroizing::new(b"verifier".to_vec());
    Flow { connector: "github".into(), person: person.into(), browser: "b".into(), content }
}

#[tokio::test]
async fn a_flow_is_taken_once_for_its_own_connector_and_before_its_end() {
    let (_folder, one, other) = two_replicas().await;
    let ends = now_ms() + 60_000;
    one.begin_oauth_flow("f1", &flow("alice"), ends).await.unwrap();
    assert!(other.take_oauth_flow("f1", "slack").await.unwrap().is_none(), "another connector's path");
    let taken = other.take_oauth_flow("f1", "github").await.unwrap().unwrap();
    assert_eq!((taken.person.as_str(), taken.browser.as_str(), &**taken.content), ("alice", "b", &b"verifier"[..]));
    assert!(one.take_oauth_flow("f1", "github").await.unwrap().is_none(), "twice");
    one.begin_oauth_flow("f2", &flow("alice"), now_ms() - 1).await.unwrap();
    assert!(one.take_oauth_flow("f2", "github").await.unwrap().is_none(), "after its end");
    for number in 0..20 {
        one.begin_oauth_flow(&format!("m{number}"), &flow("mallory"), ends + number).await.unwrap();
    }
    let mut left = 0;
    for number in 0..20 {
        left += i32::from(one.take_oauth_flow(&format!("m{number}"), "github").await.unwrap().is_some());
    }
    assert_eq!(left, 16, "the oldest make room");
}

#[tokio::test]
async fn a_token_is_found_for_its_person_connector_tenant_and_upstream_alone() {
    let (_folder, one, other) = two_replicas().await;
    one.save_oauth_token(&KEY, ISSUER, &token(b"secret")).await.unwrap();
    assert_eq!(&**other.oauth_token(&KEY).await.unwrap().unwrap().content, b"secret");
    for foreign in [
        TokenKey { connector: "slack", ..KEY },
        TokenKey { person: "bob", ..KEY },
        TokenKey { upstream: "https://evil.example/mcp", ..KEY },
    ] {
        assert!(other.oauth_token(&foreign).await.unwrap().is_none(), "{foreign:?}");
    }
    let globex = one.store().tenant(&TenantId::parse("globex").unwrap());
    assert!(globex.oauth_token(&KEY).await.unwrap().is_none());
    one.save_oauth_token(&KEY, "https://new.example", &token(b"newer")).await.unwrap();
    let kept = one.oauth_token(&KEY).await.unwrap().unwrap();
    assert_eq!((kept.issuer.as_str(), &**kept.content), ("https://new.example", &b"newer"[..]), "one at a time");
}

#[tokio::test]
async fn one_of_many_on_two_replicas_renews_a_token_and_the_others_get_the_new_one() {
    let (_folder, one, other) = two_replicas().await;
    let seen = one.save_oauth_token(&KEY, ISSUER, &token(b"old")).await.unwrap();
    let asking: Vec<_> = (0..50)
        .map(|number| {
            let replica = if number % 2 == 0 { one.clone() } else { other.clone() };
            tokio::spawn(async move { replica.claim_oauth_token(&KEY, seen, 60_000).await.unwrap() })
        })
        .collect();
    let mut mine = 0;
    for asked in asking {
        match asked.await.unwrap() {
            Claim::Mine(token) => {
                mine += 1;
                assert_eq!(&**token.content, b"old");
            }
            Claim::Theirs(until) => assert!(until > now_ms()),
            Claim::Newer(_) | Claim::Gone => panic!("nobody has renewed it yet"),
        }
    }
    assert_eq!(mine, 1);
    assert!(one.renew_oauth_token(&KEY, ISSUER, seen, &token(b"new")).await.unwrap());
    let Claim::Newer(newer) = other.claim_oauth_token(&KEY, seen, 60_000).await.unwrap() else { panic!("not newer") };
    assert!(&**newer.content == b"new" && newer.generation > seen);
    assert!(!one.renew_oauth_token(&KEY, ISSUER, seen, &token(b"late")).await.unwrap(), "an old claim writes nothing");
}

#[tokio::test]
async fn a_claim_ends_by_itself_and_a_disconnect_ends_every_claim() {
    let (_folder, one, other) = two_replicas().await;
    let seen = one.save_oauth_token(&KEY, ISSUER, &token(b"old")).await.unwrap();
    assert!(matches!(one.claim_oauth_token(&KEY, seen, 50).await.unwrap(), Claim::Mine(_)), "who dies now");
    assert!(matches!(other.claim_oauth_token(&KEY, seen, 50).await.unwrap(), Claim::Theirs(_)));
    tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    assert!(matches!(other.claim_oauth_token(&KEY, seen, 60_000).await.unwrap(), Claim::Mine(_)));
    let deleted = one.delete_oauth_token(&KEY, None).await.unwrap();
    assert_eq!(deleted.len(), 1);
    assert!(!other.renew_oauth_token(&KEY, ISSUER, seen, &token(b"late")).await.unwrap());
    assert!(matches!(other.claim_oauth_token(&KEY, seen, 1).await.unwrap(), Claim::Gone));
    let again = one.save_oauth_token(&KEY, ISSUER, &token(b"again")).await.unwrap();
    assert!(again > seen, "no generation comes twice");
    assert!(one.delete_oauth_token(&KEY, Some(seen)).await.unwrap().is_empty(), "another generation");
}

#[tokio::test]
async fn clients_are_kept_by_issuer() {
    let (_folder, one, other) = two_replicas().await;
    assert!(one.oauth_client("github", ISSUER).await.unwrap().is_none());
    one.save_oauth_client("github", ISSUER, b"c1").await.unwrap();
    one.save_oauth_client("github", ISSUER, b"c2").await.unwrap();
    assert_eq!(&**other.oauth_client("github", ISSUER).await.unwrap().unwrap(), b"c2");
    assert!(other.oauth_client("github", "https://evil.example").await.unwrap().is_none());
}
