//! One upstream, asked again and again: what is new is told, what is the same is not.

use super::list::Listing;
use super::pulse::Pulse;
use super::{Event, Events};
use crate::catalog::ResourceKey;
use crate::pipeline::upstream::{Upstream, UpstreamError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// What a poll said.
#[derive(Debug)]
pub(crate) struct Polled {
    /// Whose poll.
    pub(crate) key: ResourceKey,
    /// Which poller of it.
    pub(crate) epoch: u64,
    /// All that it offers.
    pub(crate) outcome: Result<Arc<Listing>, UpstreamError>,
}

/// Polls one upstream for as long as it is served.
#[derive(Debug)]
pub(crate) struct Poller {
    pub(crate) key: ResourceKey,
    pub(crate) epoch: u64,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) period: Duration,
    pub(crate) timeout: Duration,
    pub(crate) wake: Arc<Notify>,
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) events: Events,
}

/// The longest pause after refused credentials: asking again soon does not make them better.
const MAX_PAUSE: Duration = Duration::from_secs(60);

impl Poller {
    /// Polls until it is aborted.
    pub(crate) async fn run(self) {
        let mut last: Option<Result<Arc<Listing>, String>> = None;
        let mut refused: u32 = 0;
        loop {
            self.pulse.started();
            let outcome = self.once().await;
            refused = if matches!(outcome, Err(UpstreamError::Refused(_))) { refused.saturating_add(1) } else { 0 };
            let good_for = outcome.as_ref().ok().and_then(|listing| listing.good_for);
            let news = match (&last, &outcome) {
                (Some(Ok(before)), Ok(now)) => before != now,
                (Some(Err(before)), Err(now)) => *before != now.to_string(),
                _ => true,
            };
            if news {
                last = Some(outcome.as_ref().map(Arc::clone).map_err(ToString::to_string));
                let polled = Polled { key: self.key.clone(), epoch: self.epoch, outcome };
                if self.events.send(Event::Polled(polled)).await.is_err() {
                    return;
                }
            }
            self.pulse.finished();
            let pause = pause(hinted(self.period, good_for), refused, uuid::Uuid::new_v4().as_bytes()[0]);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wake.notified() => {}
            }
        }
    }

    async fn once(&self) -> Result<Arc<Listing>, UpstreamError> {
        let outcome = tokio::time::timeout(self.timeout, self.upstream.listing()).await;
        outcome.unwrap_or(Err(UpstreamError::Timeout)).map(Arc::new)
    }
}

/// The period, or up to twice as often where the upstream says that its lists are good for less. It is a hint and no
/// more: what an admin has asked for is never stretched, and no upstream can make itself be polled without end.
fn hinted(period: Duration, good_for: Option<Duration>) -> Duration {
    good_for.map_or(period, |good_for| good_for.clamp(period / 2, period))
}

/// The period ±10 %, so that pollers that started together drift apart; longer after each refusal in a row.
fn pause(period: Duration, refused: u32, random: u8) -> Duration {
    let stretched = period.saturating_mul(1 << refused.min(16)).min(MAX_PAUSE.max(period));
    stretched.mul_f64(0.9 + 0.2 * f64::from(random) / 255.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_counts_between_half_the_period_and_the_period() {
        let ms = Duration::from_millis;
        for (good_for, pause) in [(None, 5000), (Some(1), 2500), (Some(3000), 3000), (Some(60_000), 5000)] {
            assert_eq!(hinted(ms(5000), good_for.map(ms)), ms(pause));
        }
    }

    #[test]
    fn pauses_spread_by_a_tenth_and_grow_after_refusals() {
        let five = Duration::from_secs(5);
        assert_eq!(pause(five, 0, 0), Duration::from_millis(4500));
        assert_eq!(pause(five, 0, 255), Duration::from_millis(5500));
        assert_eq!(pause(five, 2, 0), Duration::from_secs(18));
        assert!(pause(five, 40, 255) <= Duration::from_secs(66));
        let hour = Duration::from_secs(3600);
        assert!(pause(hour, 3, 255) >= hour, "never more often than asked for");
    }
}
