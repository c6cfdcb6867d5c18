//! The sessions that this replica has seen lately. Forgetting one costs its client nothing but what was only here.

use super::capabilities::Capabilities;
use super::level::Level;
use super::live::Live;
use super::token::{self, TokenError, bound};
use aperium_core::caller::Caller;
use aperium_platform::seal::{SealError, Sealer};
use aws_lc_rs::digest::{Context, SHA256};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A session that was not used for so long is forgotten here.
const IDLE: Duration = Duration::from_secs(30 * 60);
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Sessions remembered; with one more, the sixteenth that was used least lately is forgotten.
const MAX_LIVE: usize = 16_384;
/// Ended sessions remembered until they would have expired; with one more, the ones that expire first are forgotten.
const MAX_ENDED: usize = 65_536;

/// Hash of (caller, token): what a session is found under. So one caller's token is nothing in another's hands.
type Key = [u8; 32];

/// All sessions of this replica.
#[derive(Debug)]
pub(crate) struct Sessions {
    sealer: Sealer,
    started: Instant,
    known: RwLock<Known>,
    limits: (usize, usize),
}

#[derive(Debug, Default)]
struct Known {
    live: HashMap<Key, Arc<Live>>,
    /// With the time of expiry, in seconds since 1970.
    ended: HashMap<Key, u64>,
}

impl Sessions {
    /// No sessions yet.
    pub(crate) fn new(sealer: Sealer) -> Arc<Self> {
        Arc::new(Self { sealer, started: Instant::now(), known: RwLock::default(), limits: (MAX_LIVE, MAX_ENDED) })
    }

    /// What seals: sessions, and what clients carry for us besides.
    pub(crate) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// A token for a new session. Nothing is remembered until it is used.
    ///
    /// # Errors
    /// [`SealError`].
    pub(crate) fn issue(&self, caller: &Caller, version: &str, declared: &Capabilities) -> Result<String, SealError> {
        token::issue(&self.sealer, caller, version, declared)
    }

    /// The session of a token that this caller presents.
    ///
    /// # Errors
    /// [`TokenError`]: there is no such session, for this caller.
    pub(crate) fn find(&self, caller: &Caller, token: &str) -> Result<Arc<Live>, TokenError> {
        let bound = bound(caller);
        let key = key(&[&bound, token.as_bytes()]);
        {
            let known = self.read();
            if let Some(live) = known.live.get(&key) {
                live.touch(self.now());
                return Ok(Arc::clone(live));
            }
            if known.ended.contains_key(&key) {
                return Err(TokenError::Expired);
            }
        }
        let content = token::open(&self.sealer, &bound, token)?;
        Ok(self.remember(key, || Live::new(content.id, content.capabilities, self.now())))
    }

    /// What stands in for a session of a caller of the stateless era, towards upstreams of the older one: the same for
    /// all its requests with these capabilities and this level.
    pub(crate) fn stand_in(&self, caller: &Caller, declared: Capabilities, level: Option<Level>) -> Arc<Live> {
        let name = level.map_or("", Level::name);
        let key = key(&[b"stateless", &bound(caller), declared.json().as_bytes(), name.as_bytes()]);
        let known = self.read().live.get(&key).cloned();
        if let Some(live) = known {
            live.touch(self.now());
            return live;
        }
        self.remember(key, || {
            let live = Live::new("stateless".into(), declared, self.now());
            if let Some(level) = level {
                live.set_level(level);
            }
            live
        })
    }

    /// Ends a session, as far as this replica is asked. Another one that has not heard of it goes on until it expires.
    ///
    /// # Errors
    /// [`TokenError`]: there is no such session, for this caller.
    pub(crate) fn end(&self, caller: &Caller, token: &str) -> Result<(), TokenError> {
        let bound = bound(caller);
        let expires = token::open(&self.sealer, &bound, token)?.expires;
        let key = key(&[&bound, token.as_bytes()]);
        let mut known = self.write();
        if known.ended.len() >= self.limits.1 {
            let mut soon: Vec<u64> = known.ended.values().copied().collect();
            soon.sort_unstable();
            let until = soon.get(soon.len() / 16).copied().unwrap_or_default();
            known.ended.retain(|_, expires| *expires > until);
        }
        if known.ended.insert(key, expires).is_some() {
            return Err(TokenError::Expired);
        }
        let live = known.live.remove(&key);
        drop(known);
        if let Some(live) = live {
            live.end();
        }
        Ok(())
    }

    /// Forgets idle sessions until the token is cancelled.
    pub(crate) async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(SWEEP_EVERY) => self.sweep(self.now(), token::now()),
            }
        }
        // Streams would hold the shutdown up until its end.
        let live: Vec<Arc<Live>> = self.read().live.values().cloned().collect();
        live.iter().filter_map(|live| live.stream()).for_each(|stream| stream.close());
    }

    fn sweep(&self, now: u64, time: u64) {
        let mut known = self.write();
        let idle = IDLE.as_secs();
        let old: Vec<Key> = known
            .live
            .iter()
            .filter(|(_, live)| live.idle_since().is_some_and(|since| now.saturating_sub(since) >= idle))
            .map(|(key, _)| *key)
            .collect();
        let gone: Vec<Arc<Live>> = old.iter().filter_map(|key| known.live.remove(key)).collect();
        known.ended.retain(|_, expires| *expires > time);
        drop(known);
        // Their upstream sessions are closed when nobody holds them any more.
        drop(gone);
    }

    fn remember(&self, key: Key, make: impl FnOnce() -> Arc<Live>) -> Arc<Live> {
        let mut known = self.write();
        if known.live.len() >= self.limits.0 {
            let mut idle: Vec<(u64, Key)> =
                known.live.iter().filter_map(|(key, live)| Some((live.idle_since()?, *key))).collect();
            idle.sort_unstable();
            for (_, key) in idle.iter().take(self.limits.0 / 16 + 1) {
                known.live.remove(key);
            }
        }
        Arc::clone(known.live.entry(key).or_insert_with(make))
    }

    fn now(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(parts: &[&[u8]]) -> Key {
    let mut hash = Context::new(&SHA256);
    for part in parts {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut key = [0; 32];
    key.copy_from_slice(hash.finish().as_ref());
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use aperium_core::caller::Principal;

    fn caller(name: &str) -> Caller {
        Caller::new(Principal::Client(name.into()))
    }

    fn sessions(limits: (usize, usize)) -> Sessions {
        let sealer = Sealer::ephemeral().unwrap();
        Sessions { sealer, started: Instant::now(), known: RwLock::default(), limits }
    }

    fn token(sessions: &Sessions) -> String {
        sessions.issue(&caller("a"), "2025-11-25", &Capabilities::none()).unwrap()
    }

    #[test]
    fn a_session_is_the_same_each_time_and_nobody_elses() {
        let sessions = sessions((100, 100));
        let token = token(&sessions);
        let first = sessions.find(&caller("a"), &token).unwrap();
        assert!(Arc::ptr_eq(&first, &sessions.find(&caller("a"), &token).unwrap()));
        assert!(sessions.find(&caller("b"), &token).is_err());
        assert!(sessions.end(&caller("b"), &token).is_err());
        assert!(sessions.find(&caller("a"), &token).is_ok());
    }

    #[test]
    fn another_replica_with_the_same_keys_continues_a_session() {
        let (one, other) = (sessions((100, 100)), sessions((100, 100)));
        let other = Sessions { sealer: one.sealer.clone(), ..other };
        let token = token(&one);
        one.find(&caller("a"), &token).unwrap();
        assert!(other.find(&caller("a"), &token).is_ok());
    }

    #[test]
    fn an_ended_session_stays_ended() {
        let sessions = sessions((100, 100));
        let token = token(&sessions);
        sessions.find(&caller("a"), &token).unwrap();
        sessions.end(&caller("a"), &token).unwrap();
        assert_eq!(sessions.find(&caller("a"), &token).unwrap_err(), TokenError::Expired);
        assert!(sessions.end(&caller("a"), &token).is_err(), "twice");
        sessions.sweep(0, 0);
        assert!(sessions.find(&caller("a"), &token).is_err());
        sessions.sweep(0, u64::MAX);
        assert!(sessions.read().ended.is_empty(), "what has expired anyway is not remembered");
    }

    #[test]
    fn idle_sessions_are_forgotten_and_found_again_by_their_token() {
        let sessions = sessions((100, 100));
        let token = token(&sessions);
        let first = sessions.find(&caller("a"), &token).unwrap();
        sessions.sweep(IDLE.as_secs() - 1, 0);
        assert!(Arc::ptr_eq(&first, &sessions.find(&caller("a"), &token).unwrap()));
        sessions.sweep(IDLE.as_secs(), 0);
        assert!(!Arc::ptr_eq(&first, &sessions.find(&caller("a"), &token).unwrap()));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let sessions = sessions((32, 32));
        for _ in 0..100 {
            let token = token(&sessions);
            sessions.find(&caller("a"), &token).unwrap();
            assert!(sessions.read().live.len() <= 32);
            sessions.end(&caller("a"), &token).unwrap();
            assert!(sessions.read().ended.len() <= 32);
            sessions.find(&caller("a"), &self::token(&sessions)).unwrap();
        }
    }
}
