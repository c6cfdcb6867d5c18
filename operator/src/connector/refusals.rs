//! What the API server refused lately: the same body is not sent again while nothing else can have changed its mind.

use crate::stores::Key;
use crate::stores::children::ChildKind;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a refusal is believed. A quota may be raised, an admission rule be withdrawn.
const BELIEVED: Duration = Duration::from_secs(240);

/// Refusals by object.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<HashMap<(ChildKind, Key), Refused>>);

#[derive(Debug)]
struct Refused {
    hash: String,
    message: String,
    at: Instant,
}

impl Refusals {
    /// What was said to exactly this plan of the object.
    #[must_use]
    pub fn of(&self, kind: ChildKind, key: &Key, hash: &str) -> Option<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = known.get(&(kind, key.clone()))?;
        (refused.hash == hash && refused.at.elapsed() < BELIEVED).then(|| refused.message.clone())
    }

    /// The plan was refused.
    pub fn add(&self, kind: ChildKind, key: &Key, hash: &str, message: &str) {
        let refused = Refused { hash: hash.to_owned(), message: message.to_owned(), at: Instant::now() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((kind, key.clone()), refused);
    }

    /// The Connector of these children is gone.
    pub fn forget(&self, child: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(_, key), _| key != child);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_holds_for_the_same_plan_and_for_a_while() {
        let refusals = Refusals::default();
        let key = Key::new("ns", "x");
        refusals.add(ChildKind::Deployment, &key, "h", "no");
        assert_eq!(refusals.of(ChildKind::Deployment, &key, "h").as_deref(), Some("no"));
        assert_eq!(refusals.of(ChildKind::Deployment, &key, "other"), None);
        assert_eq!(refusals.of(ChildKind::Service, &key, "h"), None);
        tokio::time::advance(BELIEVED).await;
        assert_eq!(refusals.of(ChildKind::Deployment, &key, "h"), None);
    }
}
