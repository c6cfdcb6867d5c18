use super::*;
use aperium_core::egress::{EgressRules, LoopbackOpening, Reach};
use aperium_platform::egress::EgressPolicy;
use axum::Router;
use axum::extract::Request;
use http::StatusCode;
use http_body_util::BodyExt as _;
use std::sync::Mutex as Plain;
use std::sync::atomic::AtomicUsize;
use tokio_util::sync::CancellationToken;

/// A token endpoint on loopback that answers as it was told and keeps what it got.
struct Endpoint {
    url: Uri,
    seen: Seen,
    stop: CancellationToken,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

type Reply = (u16, String);
/// The `Authorization` header and body of each request.
type Seen = Arc<Plain<Vec<(Option<String>, String)>>>;

impl Endpoint {
    /// `answer`: the number of the request, whether it came with HTTP basic → status and body.
    async fn start(answer: impl Fn(usize, bool) -> Reply + Clone + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap()).parse().unwrap();
        let seen: Seen = Arc::default();
        let record = Arc::clone(&seen);
        let app = Router::new().fallback(move |request: Request| {
            let (answer, record) = (answer.clone(), Arc::clone(&record));
            async move {
                let authorization =
                    request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
                let basic = authorization.is_some();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let number = {
                    let mut seen = record.lock().unwrap();
                    seen.push((authorization, String::from_utf8(body.to_vec()).unwrap()));
                    seen.len() - 1
                };
                // A little work, so that many who ask at once really do.
                tokio::time::sleep(Duration::from_millis(20)).await;
                let (status, body) = answer(number, basic);
                (StatusCode::from_u16(status).unwrap(), body)
            }
        });
        let stop = CancellationToken::new();
        let limits = aperium_platform::serve::ServerLimits { drain: Duration::ZERO, ..Default::default() };
        tokio::spawn(aperium_platform::serve::serve(listener, app, limits, stop.clone()));
        Self { url, seen, stop }
    }

    fn tokens(&self, changed: &Arc<AtomicUsize>) -> Arc<Tokens> {
        let rules = EgressRules { loopback: Some(LoopbackOpening::default()), ..EgressRules::default() };
        let external = ExternalClient::new(EgressPolicy::new(rules).unwrap(), Reach::Admin);
        let changed = Arc::clone(changed);
        let client = Client {
            token_url: self.url.clone(),
            scope: "read".into(),
            id: "id".into(),
            secret: "client-secret".to_owned().into(),
        };
        Tokens::new(client, external, Arc::new(move || _ = changed.fetch_add(1, Ordering::SeqCst)))
    }

    fn asked(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

fn token(number: usize, life: u64) -> Reply {
    (200, format!(r#"{{"access_token":"token-{number}","token_type":"Bearer","expires_in":{life}}}"#))
}

fn shown(token: &Token) -> String {
    let (mut headers, mut uri) = (http::HeaderMap::new(), Uri::from_static("/"));
    token.injection().write_into(&mut headers, &mut uri).unwrap();
    headers["authorization"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn fifty_who_ask_at_once_make_one_request() {
    let endpoint = Endpoint::start(|number, _| token(number, 3600)).await;
    let tokens = endpoint.tokens(&Arc::default());
    let asking: Vec<_> = (0..50)
        .map(|_| {
            let tokens = Arc::clone(&tokens);
            tokio::spawn(async move { shown(&tokens.get().await.unwrap()) })
        })
        .collect();
    for asked in asking {
        assert_eq!(asked.await.unwrap(), "Bearer token-0");
    }
    assert_eq!(endpoint.asked(), 1);
}

#[tokio::test]
async fn a_caller_that_goes_away_takes_nothing_with_it() {
    let endpoint = Endpoint::start(|number, _| token(number, 3600)).await;
    let tokens = endpoint.tokens(&Arc::default());
    let impatient = tokio::time::timeout(Duration::from_millis(1), tokens.get());
    assert!(impatient.await.is_err());
    assert_eq!(shown(&tokens.get().await.unwrap()), "Bearer token-0");
    assert_eq!(endpoint.asked(), 1, "the request that was under way was awaited, not repeated");
}

#[tokio::test]
async fn a_server_that_takes_no_basic_gets_the_client_in_the_body_from_then_on() {
    let endpoint =
        Endpoint::start(
            |number, basic| {
                if basic { (401, r#"{"error":"invalid_client"}"#.to_owned()) } else { token(number, 1) }
            },
        )
        .await;
    let tokens = endpoint.tokens(&Arc::default());
    assert_eq!(shown(&tokens.get().await.unwrap()), "Bearer token-1");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(shown(&tokens.get().await.unwrap()), "Bearer token-2");
    let seen = endpoint.seen.lock().unwrap();
    let ways: Vec<_> = seen.iter().map(|(header, body)| (header.is_some(), body.contains("client_secret="))).collect();
    assert_eq!(ways, [(true, false), (false, true), (false, true)]);
    assert!(seen.iter().all(|(_, body)| body.starts_with("grant_type=client_credentials&scope=read")));
}

#[tokio::test]
async fn a_failure_is_kept_for_a_pause_and_told_once() {
    let endpoint =
        Endpoint::start(|number, _| if number < 2 { (503, String::new()) } else { token(number, 3600) }).await;
    let changed = Arc::default();
    let tokens = endpoint.tokens(&changed);
    for _ in 0..5 {
        assert_eq!(tokens.get().await.unwrap_err().reason(), "TokenRequestFailed");
    }
    assert_eq!((endpoint.asked(), changed.load(Ordering::SeqCst)), (1, 1));
    assert!(matches!(tokens.condition(), Condition::Failed(_)));
    // The pauses are 1 s and 2 s.
    let recovered = async {
        while tokens.get().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), recovered).await.unwrap();
    assert_eq!((endpoint.asked(), changed.load(Ordering::SeqCst)), (3, 2));
    assert!(matches!(tokens.condition(), Condition::Fetched));
}

#[tokio::test]
async fn a_refused_token_is_replaced_for_the_next_request_and_not_in_a_loop() {
    let endpoint = Endpoint::start(|number, _| token(number, 3600)).await;
    let tokens = endpoint.tokens(&Arc::default());
    let first = tokens.get().await.unwrap();
    tokens.refused(&first);
    let second = tokens.get().await.unwrap();
    assert_eq!((shown(&first).as_str(), shown(&second).as_str()), ("Bearer token-0", "Bearer token-1"));
    tokens.refused(&first);
    for _ in 0..10 {
        let again = tokens.get().await.unwrap();
        assert_eq!(shown(&again), "Bearer token-1", "the refusal of an old token says nothing of the new one");
        tokens.refused(&again);
    }
    assert_eq!(endpoint.asked(), 2, "a server that refuses every token does not make us ask for one each time");
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end_while_requests_go_on() {
    let endpoint = Endpoint::start(|number, _| token(number, 2)).await;
    let tokens = endpoint.tokens(&Arc::default());
    let first = tokens.get().await.unwrap();
    assert_eq!(first.renew - first.fetched, Duration::from_secs(1), "at half of a short life");
    let hour = answer::granted(token(9, 3600).1.as_bytes()).unwrap();
    let hour = Token::new(&tokens.client, &hour, first.fetched).unwrap();
    assert_eq!(hour.renew - hour.fetched, Duration::from_secs(3540), "60 s early");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(shown(&tokens.get().await.unwrap()), "Bearer token-0", "nobody waits for the renewal");
    let renewed = async {
        while shown(&tokens.get().await.unwrap()) == "Bearer token-0" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), renewed).await.unwrap();
    assert_eq!(endpoint.asked(), 2);
}

#[tokio::test]
async fn answers_that_are_no_tokens_are_failures_that_say_nothing_of_the_secret() {
    let cases: [(u16, &str, &str); 7] = [
        (200, "<html>client-secret</html>", "TokenMalformed"),
        (200, r#"{"access_token":"client-secret\n"}"#, "TokenMalformed"),
        (302, "client-secret", "TokenRequestFailed"),
        (500, "client-secret", "TokenRequestFailed"),
        (400, r#"{"error":"invalid_scope","error_description":"client-secret"}"#, "TokenRefused"),
        (401, r#"{"error":"client-secret"}"#, "TokenRefused"),
        (201, r#"{"access_token":"a"}"#, "TokenRequestFailed"),
    ];
    for (status, body, reason) in cases {
        let endpoint = Endpoint::start(move |_, _| (status, body.to_owned())).await;
        let error = endpoint.tokens(&Arc::default()).get().await.unwrap_err();
        assert_eq!(error.reason(), reason, "{status} {body}");
        assert!(!format!("{error} {error:?}").contains("client-secret"), "{error:?}");
    }
    let large = Endpoint::start(|_, _| (200, format!(r#"{{"access_token":"a","x":"{}"}}"#, "x".repeat(70_000)))).await;
    assert_eq!(large.tokens(&Arc::default()).get().await.unwrap_err().reason(), "TokenRequestFailed");
}
