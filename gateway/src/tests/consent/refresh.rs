//! Tokens at their end, under calls of both replicas.

use super::world::*;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// Calls of a round.
const CALLS: u32 = 50;
/// Seconds that a token lives; it is due after half of them.
const LIFE: i64 = 2;
/// A round that takes longer may see the next token fall due as well, and says nothing.
const TOO_SLOW: Duration = Duration::from_millis(900);

/// Whether the figures are the full ones, as under `make soak`.
#[expect(clippy::disallowed_methods, reason = "how a person asks a test for its full size")]
pub(super) fn soaking() -> bool {
    std::env::var_os("APERIUM_SOAK").is_some()
}

/// Given by `APERIUM_SEED`, or new; printed, so that a failure can be run again.
#[expect(clippy::disallowed_methods, reason = "how a person asks a test for its last seed")]
pub(super) fn seed() -> u64 {
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seed = std::env::var("APERIUM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(now);
    println!("APERIUM_SEED={seed}");
    seed
}

/// A number below `below`.
pub(super) fn next(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % below
}

#[tokio::test]
async fn fifty_calls_at_the_end_of_a_token_on_two_replicas_make_one_refresh() {
    // All the rounds, or one in a hundred.
    let (rounds, mut state) = (if soaking() { 1000 } else { 10 }, seed());
    let world = World::start().await;
    let (one, other) = (world.gateway().await, world.gateway().await);
    let granted = Arc::new(Mutex::new(Instant::now()));
    let grants = Arc::clone(&granted);
    world.mood.lock().unwrap().token = Box::new(move |number| {
        *grants.lock().unwrap() = Instant::now();
        token(number, LIFE)
    });
    consent(&world, &one, "github").await;
    listed(&one, "github").await;
    // The other replica finds the token when it is asked how the connector is.
    assert_ne!(status(&other, "github").await, "needs_auth");
    listed(&other, "github").await;
    let (mut done, mut slow) = (0, 0);
    while done < rounds {
        // Some before the end, some after it.
        let end = *granted.lock().unwrap() + Duration::from_secs(LIFE.unsigned_abs());
        let first = end - Duration::from_millis(next(&mut state, 100));
        tokio::time::sleep_until(first.into()).await;
        let (before, began) = (world.asked("/token"), Instant::now());
        let calls = (0..CALLS).map(|_| {
            let (replica, late) = (next(&mut state, 2), next(&mut state, 200));
            let gateway = if replica == 0 { &one } else { &other };
            async move {
                tokio::time::sleep(Duration::from_millis(late)).await;
                call(gateway, "github").await
            }
        });
        for called in futures::future::join_all(calls).await {
            assert_eq!(called["result"]["content"][0]["text"], "search", "{called}");
        }
        if began.elapsed() > TOO_SLOW {
            slow += 1;
            assert!(slow <= rounds, "this machine is too slow for this test");
            continue;
        }
        assert_eq!(world.asked("/token") - before, 1, "round {done}");
        done += 1;
    }
    println!(
        "{rounds} rounds of {CALLS} calls on two replicas: one refresh each, {slow} further ones were too slow to tell"
    );
}
