//! Waiting for something to become true, with a limit and a sentence for the failure.

use std::{
    future::Future,
    time::{Duration, Instant},
};

const PAUSE: Duration = Duration::from_millis(100);

/// Asks every 100 ms until `check` gives a value.
///
/// # Panics
/// After `limit`, naming `what`.
pub async fn until<T, F>(what: &str, limit: Duration, mut check: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = check().await {
            return found;
        }
        assert!(Instant::now() < end, "after {limit:?} still not: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// [`until`] for code that is not asynchronous.
///
/// # Panics
/// After `limit`, naming `what`.
pub fn until_blocking<T>(what: &str, limit: Duration, mut check: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(Instant::now() < end, "after {limit:?} still not: {what}");
        std::thread::sleep(PAUSE);
    }
}
