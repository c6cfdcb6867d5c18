//! Listens to one upstream for as long as it is served: what it says of its lists wakes its poller, what it says of its
//! resources goes to those who follow them.
//!
//! One stream per upstream and replica. Nothing that happens to the stream unregisters anything.

use super::notice::Notice;
use super::signals::{Followed, Update};
use super::source::{self, Said, Source};
use crate::era::Era;
use crate::pipeline::upstream::{Session, Upstream, UpstreamError};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Between two polls that an upstream can bring about.
const WAKE_PAUSE: Duration = Duration::from_secs(1);
/// How long those who come and go together are gathered before the upstream hears of them.
const GATHER: Duration = Duration::from_millis(50);
/// The pauses before a stream that broke is opened again: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// A stream that lived as long was a good one.
const GOOD: Duration = Duration::from_secs(30);

/// The listener of one upstream.
#[derive(Debug)]
pub(crate) struct Listener {
    upstream: Arc<Upstream>,
    /// Wakes the poller.
    wake: Arc<Notify>,
    /// The same, but not more often than it may be.
    nudge: Notify,
}

/// Why a stream is held no longer.
#[derive(Debug)]
enum End {
    /// The upstream offers none.
    NotOffered,
    /// Another session has taken the place of the one that it belongs to.
    Replaced,
    /// It broke, or could not be opened; where it may be taken up again.
    Broke(Option<String>),
}

impl Listener {
    /// A listener that wakes the poller through `wake`.
    pub(crate) fn new(upstream: Arc<Upstream>, wake: Arc<Notify>) -> Self {
        Self { upstream, wake, nudge: Notify::new() }
    }

    /// Listens until it is aborted.
    pub(crate) async fn run(self) {
        tokio::select! {
            () = self.nudges() => {}
            () = self.listen() => {}
        }
    }

    /// Hands nudges on to the poller; those that come too soon are handed on together.
    async fn nudges(&self) {
        loop {
            self.nudge.notified().await;
            self.wake.notify_one();
            tokio::time::sleep(WAKE_PAUSE).await;
        }
    }

    async fn listen(&self) {
        let mut failures: u32 = 0;
        let mut missed = false;
        let mut last_id: Option<String> = None;
        let mut session = self.upstream.other_session(None).await;
        loop {
            let since = Instant::now();
            let end = tokio::select! {
                end = self.hold(&session, missed, last_id.take()) => end,
                _ = self.upstream.other_session(Some(&session)) => End::Replaced,
            };
            tracing::trace!(?end, "a stream of changes is held no longer");
            match end {
                End::NotOffered | End::Replaced => {
                    failures = 0;
                    session = self.upstream.other_session(Some(&session)).await;
                }
                End::Broke(at) => {
                    // It may have gone with the upstream: its poller finds out.
                    self.nudge.notify_one();
                    failures = if since.elapsed() >= GOOD { 0 } else { failures.saturating_add(1) };
                    last_id = at;
                    tokio::select! {
                        () = tokio::time::sleep(pause(failures, uuid::Uuid::new_v4().as_bytes()[0])) => {}
                        other = self.upstream.other_session(Some(&session)) => {
                            (session, last_id) = (other, None);
                        }
                    }
                }
            }
            missed = true;
        }
    }

    /// Opens a stream and holds it. `missed`: there was one before, and nobody was listening in between.
    async fn hold(&self, session: &Arc<Session>, missed: bool, last_id: Option<String>) -> End {
        let mut followed = self.upstream.signals().followed();
        let first = Arc::clone(&followed.borrow_and_update());
        let mut source = match Source::open(&self.upstream, session, &first, last_id.as_deref()).await {
            Ok(Some(source)) => source,
            Ok(None) => return End::NotOffered,
            Err(error) => return broke(&error, last_id),
        };
        if missed {
            self.missed();
        }
        match session.era() {
            Era::Legacy => {
                tokio::select! {
                    end = self.read(session, &mut source) => end,
                    () = self.keep_subscribed(session, followed) => End::Replaced,
                }
            }
            Era::Stateless => loop {
                let reopened = async {
                    // The sender lives in the upstream, so this waits for a change.
                    let _ = followed.changed().await;
                    tokio::time::sleep(GATHER).await;
                    let now = Arc::clone(&followed.borrow_and_update());
                    Source::open(&self.upstream, session, &now, None).await
                };
                // The old stream is read until the new one is there: nothing falls in between.
                let reopened = tokio::select! {
                    end = self.read(session, &mut source) => return end,
                    reopened = reopened => reopened,
                };
                match reopened {
                    Ok(Some(other)) => source = other,
                    Ok(None) => return End::NotOffered,
                    Err(error) => return broke(&error, None),
                }
            },
        }
    }

    /// Takes what comes on the stream until it ends.
    async fn read(&self, session: &Arc<Session>, source: &mut Source) -> End {
        loop {
            match source.next().await {
                Ok(Some(Said::Notice(Notice::ListChanged(_)))) => self.nudge.notify_one(),
                Ok(Some(Said::Notice(Notice::Updated(uri)))) => self.upstream.signals().tell(Update::Of(uri)),
                Ok(Some(Said::Missed)) => self.missed(),
                Ok(Some(Said::Answer(body))) => source::reply(&self.upstream, session, body).await,
                Ok(Some(Said::End) | None) => return End::Broke(source.last_id().map(ToOwned::to_owned)),
                Err(error) => return broke(&error, source.last_id().map(ToOwned::to_owned)),
            }
        }
    }

    /// Anything may have happened meanwhile.
    fn missed(&self) {
        self.nudge.notify_one();
        self.upstream.signals().tell(Update::Any);
    }

    /// Tells an upstream with sessions which of its resources are followed, whenever that changes.
    async fn keep_subscribed(&self, session: &Arc<Session>, mut followed: tokio::sync::watch::Receiver<Followed>) {
        let mut told: BTreeSet<Arc<str>> = BTreeSet::new();
        loop {
            let wanted: BTreeSet<Arc<str>> = followed.borrow_and_update().keys().cloned().collect();
            let changes = told.difference(&wanted).map(|uri| ("resources/unsubscribe", uri));
            let changes = changes.chain(wanted.difference(&told).map(|uri| ("resources/subscribe", uri)));
            for (method, uri) in changes {
                if let Err(error) = source::subscribe(&self.upstream, session, method, uri).await {
                    tracing::debug!(method, %error, "an upstream does not follow");
                }
            }
            told = wanted;
            if followed.changed().await.is_err() {
                return;
            }
            tokio::time::sleep(GATHER).await;
        }
    }
}

fn broke(error: &UpstreamError, last_id: Option<String>) -> End {
    tracing::debug!(reason = error.reason(), %error, "the stream of an upstream's changes broke");
    End::Broke(last_id)
}

/// One second, doubled after each failure in a row up to a minute, ±10 %.
fn pause(failures: u32, random: u8) -> Duration {
    let doubled = PAUSES.0.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(PAUSES.1);
    doubled.mul_f64(0.9 + 0.2 * f64::from(random) / 255.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        assert_eq!(pause(0, 0), Duration::from_millis(900));
        assert_eq!(pause(1, 255), Duration::from_millis(1100));
        assert_eq!(pause(3, 0), Duration::from_millis(3600));
        assert!(pause(u32::MAX, 255) <= Duration::from_secs(66));
    }
}
