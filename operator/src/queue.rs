//! Keys of Connectors in, keys to reconcile out: once each, never two at a time, never before they are due.
//!
//! ```text
//! add, add_after ──► due (the earliest wins) ──next──► running ──done──► due again, if it was added meanwhile
//! ```

use crate::stores::Key;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The work queue.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// When each waiting key is due; a key waits once.
    when: HashMap<Key, Instant>,
    /// The same, ordered.
    order: BTreeSet<(Instant, Key)>,
    /// Keys being worked on. They are not handed out again before `done`.
    running: HashSet<Key>,
}

impl State {
    fn schedule(&mut self, key: Key, at: Instant) {
        if let Some(before) = self.when.get(&key).copied() {
            if before <= at {
                return;
            }
            self.order.remove(&(before, key.clone()));
        }
        self.when.insert(key.clone(), at);
        self.order.insert((at, key));
    }

    /// The first due key that nobody works on, or when to look again.
    fn take(&mut self, now: Instant) -> Result<Key, Option<Instant>> {
        let next = self.order.iter().find(|(_, key)| !self.running.contains(key)).cloned();
        match next {
            Some((at, key)) if at <= now => {
                self.order.remove(&(at, key.clone()));
                self.when.remove(&key);
                self.running.insert(key.clone());
                Ok(key)
            }
            Some((at, _)) => Err(Some(at)),
            None => Err(None),
        }
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a key due now.
    pub fn add(&self, key: Key) {
        self.add_after(key, Duration::ZERO);
    }

    /// Makes a key due after a while, unless it is due before that already.
    pub fn add_after(&self, key: Key, delay: Duration) {
        self.state().schedule(key, Instant::now() + delay);
        self.changed.notify_one();
    }

    /// Waits for the next due key. [`Queue::done`] must follow.
    pub async fn next(&self) -> Key {
        loop {
            let wait = match self.state().take(Instant::now()) {
                Ok(key) => {
                    // Another worker may have waited for the same notification.
                    self.changed.notify_one();
                    return key;
                }
                Err(wait) => wait,
            };
            match wait {
                Some(at) => tokio::select! {
                    () = self.changed.notified() => {}
                    () = tokio::time::sleep_until(at) => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    /// Ends the work on a key and, if asked, schedules it again.
    pub fn done(&self, key: Key, again: Option<Duration>) {
        let mut state = self.state();
        state.running.remove(&key);
        if let Some(delay) = again {
            state.schedule(key, Instant::now() + delay);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Forgets when a key is due: the Connector is gone.
    pub fn forget(&self, key: &Key) {
        let mut state = self.state();
        if let Some(at) = state.when.remove(key) {
            state.order.remove(&(at, key.clone()));
        }
    }

    /// Keys that wait, and keys being worked on.
    #[must_use]
    pub fn depth(&self) -> (usize, usize) {
        let state = self.state();
        let now = Instant::now();
        (state.order.iter().take_while(|(at, _)| *at <= now).count(), state.running.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("ns", name)
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_added_twice_is_handed_out_once() {
        let queue = Queue::default();
        queue.add(key("a"));
        queue.add(key("a"));
        assert_eq!(queue.next().await, key("a"));
        assert!(tokio::time::timeout(Duration::from_secs(60), queue.next()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_never_worked_on_twice_at_a_time() {
        let queue = Queue::default();
        queue.add(key("a"));
        let running = queue.next().await;
        queue.add(key("a"));
        queue.add(key("b"));
        assert_eq!(queue.next().await, key("b"));
        assert!(tokio::time::timeout(Duration::from_secs(60), queue.next()).await.is_err());
        queue.done(running, None);
        assert_eq!(queue.next().await, key("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_wish_wins() {
        let queue = Queue::default();
        let start = Instant::now();
        queue.add_after(key("a"), Duration::from_secs(30));
        queue.add_after(key("a"), Duration::from_secs(5));
        queue.add_after(key("a"), Duration::from_secs(20));
        assert_eq!(queue.next().await, key("a"));
        assert_eq!(start.elapsed().as_secs(), 5);
        queue.done(key("a"), Some(Duration::from_secs(7)));
        assert_eq!(queue.next().await, key("a"));
        assert_eq!(start.elapsed().as_secs(), 12);
    }

    #[tokio::test(start_paused = true)]
    async fn a_forgotten_key_does_not_come_back() {
        let queue = Queue::default();
        queue.add_after(key("a"), Duration::from_secs(1));
        queue.forget(&key("a"));
        assert!(tokio::time::timeout(Duration::from_secs(60), queue.next()).await.is_err());
    }
}
