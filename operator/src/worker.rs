//! The queue's keys → reconciles, a bounded number at a time, each ended before the process is.

use crate::connector::{self, Error, Next};
use crate::context::Context;
use crate::stores::Key;
use futures::FutureExt;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

type Failures = Mutex<HashMap<Key, u32>>;

/// Starts the workers. When the token is cancelled each ends the reconcile that it is at.
pub fn start(context: &Arc<Context>, concurrency: u16, stop: &CancellationToken, tasks: &mut JoinSet<()>) {
    let failures = Arc::new(Failures::default());
    for _ in 0..concurrency {
        let (context, failures, stop) = (context.clone(), failures.clone(), stop.clone());
        tasks.spawn(async move {
            loop {
                let key = tokio::select! {
                    biased;
                    () = stop.cancelled() => return,
                    key = context.queue.next() => key,
                };
                let again = one(&context, &failures, &key).await;
                context.queue.done(key, again);
            }
        });
    }
}

async fn one(context: &Context, failures: &Failures, key: &Key) -> Option<std::time::Duration> {
    let began = Instant::now();
    let span = tracing::info_span!("reconcile", connector = %key);
    let outcome = AssertUnwindSafe(connector::reconcile(context, key)).catch_unwind().instrument(span).await;
    let took = began.elapsed();
    let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
    let failure = match &outcome {
        Ok(Ok(_)) => None,
        Ok(Err(error)) => Some(error.reason()),
        Err(_) => Some("Panic"),
    };
    context.metrics.reconciled(failure, took);
    if failure.is_none() {
        failures.remove(key);
    }
    let mut count = || {
        let count = failures.entry(key.clone()).or_default();
        *count = count.saturating_add(1);
        *count
    };
    let next = match outcome {
        Ok(Ok(next)) => next,
        Ok(Err(error)) => {
            log(key, &error);
            connector::error_policy(&error, count(), key)
        }
        Err(_) => {
            tracing::error!(connector = %key, "a reconcile panicked");
            Next::After(crate::backoff::after(count().saturating_add(4), key))
        }
    };
    match next {
        Next::AwaitChange => None,
        Next::After(wait) => Some(wait),
    }
}

/// The error and its causes, once.
fn log(key: &Key, error: &Error) {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    tracing::warn!(connector = %key, reason = error.reason(), error = text, "a reconcile failed and is tried again");
}
