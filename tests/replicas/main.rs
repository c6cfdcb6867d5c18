//! Two replicas behind a round robin: who is served by which makes no difference, and losing one in the middle of a load
//! costs nothing but the answers that were under way.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the seed of a failure, and what a soak reports")]

mod bed;
mod many;
mod upstream;

use aperium_tests::process::Signal;
use bed::{Bed, Caller, message};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

/// Calls that are under way together.
const WORKERS: usize = 8;

/// What became of one call.
enum Outcome {
    Result,
    /// The connection broke: there is no answer.
    Broken,
    /// An answer that says that there is no result.
    Refused(Value),
}

#[expect(clippy::disallowed_methods, reason = "how a person asks a test for its full size, and for its last seed")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Whether the figures are the full ones, as under `make soak`.
fn soaking() -> bool {
    variable("APERIUM_SOAK").is_some()
}

/// All the calls of a load, or a twentieth.
fn calls() -> usize {
    if soaking() { 1000 } else { 50 }
}

/// Given by `APERIUM_SEED`, or new; printed, so that a failure can be run again.
fn seed() -> usize {
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
    let seed = variable("APERIUM_SEED").and_then(|seed| seed.parse().ok()).unwrap_or_else(now);
    println!("APERIUM_SEED={seed}");
    usize::try_from(seed).unwrap_or_default()
}

/// Writes with unique arguments through the forwarder, by callers of both eras, and sends the signal to a replica before
/// a call of the middle half.
async fn load(bed: &Bed, callers: [Caller; 2], signal: Signal) -> Vec<(String, Outcome)> {
    let (calls, next) = (calls(), Arc::new(AtomicUsize::new(0)));
    let hit = calls / 4 + seed() % (calls / 2);
    let worker = async || {
        let mut outcomes = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= calls {
                return outcomes;
            }
            if at == hit {
                bed.one.process.signal(signal);
            }
            let what = format!("call-{at}");
            let outcome = match callers[at % 2].write(&bed.url, &what).await {
                Err(_) => Outcome::Broken,
                Ok(answer) if answer["result"]["content"][0]["text"] == what.as_str() => Outcome::Result,
                Ok(answer) => Outcome::Refused(answer),
            };
            outcomes.push((what, outcome));
        }
    };
    futures::future::join_all((0..WORKERS).map(|_| worker())).await.into_iter().flatten().collect()
}

/// Callers of both eras; the session was begun at the replica that is hit.
async fn callers(bed: &Bed) -> [Caller; 2] {
    [Caller::default(), Caller::initialized(&bed.one.url).await]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_list_and_no_session_differs_between_two_replicas() {
    let bed = Bed::start().await;
    let [stateless, session] = callers(&bed).await;
    for caller in [&stateless, &session] {
        let list = async |url: &str| caller.send(url, "tools/list", json!({})).await.expect("a list").body;
        let expected = list(&bed.one.url).await;
        assert!(String::from_utf8_lossy(&expected).contains("counter_write"), "{expected:?}");
        assert_eq!(list(&bed.other.url).await, expected);
        for _ in 0..4 {
            assert_eq!(list(&bed.url).await, expected);
        }
    }
    for what in ["a", "b", "c", "d"] {
        let answer = session.write(&bed.url, what).await.expect("an answer");
        assert_eq!((&answer["result"]["content"][0]["text"], bed.written(what)), (&json!(what), 1), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_a_replica_under_load_runs_no_write_twice_and_ends_no_session() {
    let bed = Bed::start().await;
    let callers = callers(&bed).await;
    let outcomes = load(&bed, callers.clone(), Signal::KILL).await;
    let (mut results, mut broken) = (0, 0);
    for (what, outcome) in &outcomes {
        let written = bed.written(what);
        match outcome {
            Outcome::Result => {
                results += 1;
                assert_eq!(written, 1, "{what}");
            }
            Outcome::Broken => {
                broken += 1;
                assert!(written <= 1, "{what} was written {written} times");
            }
            Outcome::Refused(answer) => panic!("{what}: {answer}"),
        }
    }
    println!("{} calls: {results} results, {broken} broken off by the kill, no write twice", outcomes.len());
    assert_eq!(outcomes.len(), calls());
    // What was under way, and what had been accepted while the kernel took the process down.
    assert!(broken <= 2 * WORKERS, "{broken} calls without an answer");
    for (caller, what) in callers.iter().zip(["after, without a session", "after, in its session"]) {
        let answer = caller.write(&bed.url, what).await.expect("the other replica answers");
        assert_eq!((&answer["result"]["content"][0]["text"], bed.written(what)), (&json!(what), 1), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_a_replica_under_load_breaks_off_no_call_that_has_reached_its_upstream() {
    let mut bed = Bed::start().await;
    let callers = callers(&bed).await;
    for (what, outcome) in load(&bed, callers, Signal::TERM).await {
        let expected = u32::from(matches!(outcome, Outcome::Result));
        if let Outcome::Refused(answer) = outcome {
            panic!("{what}: {answer}");
        }
        assert_eq!(bed.written(&what), expected, "{what}");
    }
    let status = bed.one.process.wait(Duration::from_secs(60)).expect("it ends");
    assert!(status.success(), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waited_for_its_client_at_a_lost_replica_ends_as_an_error() {
    let mut bed = Bed::start().await;
    let caller = Caller::default();
    let params = json!({"name": "counter_ask", "arguments": {}});
    let first = message(&caller.send(&bed.one.url, "tools/call", params.clone()).await.expect("an answer"));
    assert_eq!(first["result"]["resultType"], "input_required", "{first}");
    let asked = first["result"]["inputRequests"].as_object().expect("questions");
    let key = asked.keys().next().expect("a question");
    bed.one.process.kill();
    let mut next = params;
    next["requestState"] = first["result"]["requestState"].clone();
    next["inputResponses"] = json!({ key: {"action": "accept", "content": {"name": "Ada"}} });
    let second = message(&caller.send(&bed.url, "tools/call", next).await.expect("an answer"));
    assert_eq!(second["result"]["isError"], true, "{second}");
    assert!(second["result"]["content"][0]["text"].as_str().expect("a text").contains("another replica"), "{second}");
}
