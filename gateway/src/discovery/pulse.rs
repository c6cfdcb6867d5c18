//! The pulse of a poller: when it last asked, and a way to wait until it has asked again.

use jiff::Timestamp;
use std::sync::Arc;
use tokio::sync::watch;

/// How often a poller has asked, and when it last had its answer.
#[derive(Debug, Clone, Copy, Default)]
struct Beat {
    started: u64,
    finished: u64,
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
        self.0.send_modify(|beat| beat.started += 1);
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
    use std::time::Duration;

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
