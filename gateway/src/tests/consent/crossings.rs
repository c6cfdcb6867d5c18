//! T12: two hundred people of eight tenants connect at once and call at once, over two replicas, while their tokens end and
//! are renewed. The upstream knows whose each token is, and each call says whose it is.

use super::super::harness::*;
use super::killed::{Server, answers};
use super::refresh::{next, seed, soaking};
use super::world::listed;
use axum::response::Response;
use futures::StreamExt as _;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use url::form_urlencoded;

const PEOPLE: usize = 200;
const TENANTS: usize = 8;
/// Requests that are under way at a time.
const AT_ONCE: usize = 32;

/// One of them. The same subject is there in each tenant.
struct Person {
    name: String,
    claims: Value,
    browser: Browser,
    state: String,
}

/// What the upstream has seen.
#[derive(Default)]
struct Oracle {
    calls: AtomicUsize,
    crossings: AtomicUsize,
    tokens: Mutex<BTreeSet<String>>,
}

fn upstream(seen: &Seen, server: &Mutex<Server>, oracle: &Oracle) -> Response {
    let token = seen.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let whose = token.as_ref().and_then(|token| server.lock().unwrap().access.get(token).cloned());
    let Some(whose) = whose.filter(|_| seen.uri.path() == "/mcp") else { return answers(seen, server) };
    if !seen.text.contains("\"tools/call\"") {
        return stateless(seen, &definitions(&["search"]));
    }
    oracle.calls.fetch_add(1, Ordering::Relaxed);
    oracle.tokens.lock().unwrap().extend(token);
    if seen.json()["params"]["arguments"]["who"] != whose.as_str() {
        oracle.crossings.fetch_add(1, Ordering::Relaxed);
    }
    result(seen, &json!({ "content": [{ "type": "text", "text": whose }] }))
}

/// The same in an order that the seed says.
fn shuffled(state: &mut u64, mut all: Vec<usize>) -> Vec<usize> {
    for at in (1..all.len()).rev() {
        all.swap(at, usize::try_from(next(state, at as u64 + 1)).unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn t12_of_two_hundred_people_at_once_nobody_ever_calls_with_the_token_of_another() {
    let (mut random, rounds) = (seed(), if soaking() { 200 } else { 10 });
    let server = Arc::new(Mutex::new(Server::of_tokens_that_live(3600)));
    let oracle = Arc::new(Oracle::default());
    let (known, sees) = (Arc::clone(&server), Arc::clone(&oracle));
    let fake = Fake::start(move |seen| {
        let (known, sees) = (Arc::clone(&known), Arc::clone(&sees));
        async move { upstream(&seen, &known, &sees) }
    })
    .await;
    let issuer = Issuer::start().await;
    let (_folder, store, ring) = database().await;
    let replica = async || {
        let auth = json!({ "auth": { "type": "oauth2_dcr" } });
        let mut setup =
            Setup::default().url("github", fake.address, &auth).login(&issuer).grant("group:sales", &["**"]);
        (setup.database, setup.sealer) = (Some(store.clone()), ring.clone());
        setup.start().await
    };
    let replicas = [replica().await, replica().await];

    let mut people = Vec::new();
    for at in 0..PEOPLE {
        let (tenant, subject) = (format!("t{}", at % TENANTS), format!("person-{}", at / TENANTS));
        let claims = json!({ "sub": subject, "email": format!("{subject}@example.com"), "org": tenant });
        let (browser, gateway) = (Browser::default(), &replicas[at % 2]);
        assert_eq!(browser.sign_in(gateway, &issuer, &claims).await.status, 303);
        let state = browser.begin(gateway, "/aperture/auth/github/connect").await["state"].clone();
        people.push(Person { name: format!("{tenant}.{subject}"), claims, browser, state });
    }
    // All flows are open; they end in another order, and at the other replica.
    let iss = format!("http://{}", fake.address);
    let order = shuffled(&mut random, (0..PEOPLE).collect());
    let ends = order.into_iter().map(|at| {
        let (person, gateway, iss) = (&people[at], &replicas[(at + 1) % 2], &iss);
        async move {
            let query = [("code", &*person.name), ("state", &*person.state), ("iss", iss)];
            let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
            let path = format!("/aperture/auth/github/callback?{query}");
            let page = person.browser.led(gateway, &path, "cross-site").await;
            assert_eq!(page.status, 200, "{}: {}", person.name, page.text);
        }
    });
    // From here on a token ends within two seconds.
    server.lock().unwrap().life = 2;
    futures::stream::iter(ends).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    for gateway in &replicas {
        listed(gateway, "github").await;
    }

    let began = Instant::now();
    let calls = shuffled(&mut random, (0..PEOPLE * rounds).collect());
    let calls = calls.into_iter().map(|number| {
        let (person, gateway) = (&people[number % PEOPLE], &replicas[number / PEOPLE % 2]);
        let issuer = &issuer;
        async move {
            let params = json!({ "name": "search", "arguments": { "who": person.name } });
            let body = json!({ "jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params }).to_string();
            let answer = gateway.send(post_as(&issuer.token(&person.claims), "/v1/mcp/github", &body)).await.json();
            assert_eq!(answer["result"]["content"][0]["text"], person.name.as_str(), "{answer}");
        }
    });
    futures::stream::iter(calls).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    let (calls, crossings) = (oracle.calls.load(Ordering::Relaxed), oracle.crossings.load(Ordering::Relaxed));
    let (tokens, issued) = (oracle.tokens.lock().unwrap().len(), server.lock().unwrap().issued);
    println!(
        "{calls} calls: of {PEOPLE} people of {TENANTS} tenants over two replicas in {:.1} s, {issued} tokens issued, {tokens} used, {crossings} crossings",
        began.elapsed().as_secs_f64()
    );
    assert_eq!((calls, crossings), (PEOPLE * rounds, 0));
    assert!(tokens > PEOPLE, "no token was renewed meanwhile");
}
