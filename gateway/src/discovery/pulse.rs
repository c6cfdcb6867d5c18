//! The pulse of a poller: when it last asked, and a way to wait until it has asked again.

use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Between the beginnings of two questions of which a caller wants the second.
const REST: Duration = Duration::from_millis(250);

/// How often a poller has asked, and when it last had its answer.
#[derive(Debug, Clone, Copy, Default)]
struct Beat {
    started: u64,
    finished: u64,
    began: Option<Instant>,
    at: Option<Timestamp>,
}

/// Shared by a poller, which beats, and by those who look.
#[derive(Debug)]
pub(crate) struct Pulse(watch::Sender<Beat>);

impl Pulse {
    /// Nothing was asked yet.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(Beat::default())))
    }

    /// A question is sent.
    pub(crate) fn started(&self) {
        self.0.send_modify(|beat| {
            beat.started += 1;
            beat.began = Some(Instant::now());
        });
    }

    /// It was answered, or not in time; and whatever was new has been told.
    pub(crate) fn finished(&self) {
        self.0.send_modify(|beat| {
            beat.finished += 1;
            beat.at = Some(Timestamp::now());
        });
    }

    /// When the last question ended.
    pub(crate) fn last(&self) -> Option<Timestamp> {
        self.0.borrow().at
    }

    /// Waits until the last question began a while ago: a caller who wants the next one again and again must not become
    /// a flood at the upstream.
    pub(crate) async fn rested(&self) {
        let began = self.0.borrow().began;
        if let Some(began) = began {
            tokio::time::sleep_until(began + REST).await;
        }
    }

    /// The number of the next question: one that is under way may have begun too early to know.
    pub(crate) fn next(&self) -> u64 {
        self.0.borrow().started + 1
    }

    /// Waits until the question of that number has ended, or the poller has.
    pub(crate) async fn until(&self, number: u64) {
        let _ = self.0.subscribe().wait_for(|beat| beat.finished >= number).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_waits_gets_the_answer_to_a_question_that_began_afterwards() {
        let pulse = Pulse::new();
        pulse.started();
        let next = pulse.next();
        let waiting = tokio::spawn({
            let pulse = Arc::clone(&pulse);
            async move { pulse.until(next).await }
        });
        pulse.finished();
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "that question was under way already");
        assert!(pulse.last().is_some());
        pulse.started();
        pulse.finished();
        tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
    }
}
