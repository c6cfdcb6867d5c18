//! Which leases were redeemed: each once.

use super::BrokerError;
use aperium_platform::lease::{Claims, Now};
use aperium_store::Store;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// How often what is over is forgotten.
const FORGET_EVERY_MS: u64 = 10_000;
/// Leases that are remembered at a time; beyond that none is redeemed.
const MAX_KEPT: usize = 1_000_000;

/// Remembers redeemed leases until their own time refuses them.
pub struct Redeemed {
    place: Place,
    forgot: AtomicU64,
}

enum Place {
    Memory(Mutex<HashMap<String, u64>>),
    Store(Store),
}

impl fmt::Debug for Redeemed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Memory(_) => f.write_str("Redeemed(in memory)"),
            Place::Store(store) => f.debug_tuple("Redeemed").field(store).finish(),
        }
    }
}

impl Redeemed {
    /// For a single replica.
    #[must_use]
    pub fn in_memory() -> Self {
        Self { place: Place::Memory(Mutex::default()), forgot: AtomicU64::new(0) }
    }

    /// For all replicas that share a database.
    #[must_use]
    pub fn in_store(store: Store) -> Self {
        Self { place: Place::Store(store), forgot: AtomicU64::new(0) }
    }

    /// Whether this is the first time.
    pub(super) async fn first(&self, claims: &Claims) -> Result<bool, BrokerError> {
        let now = Now::clock().0;
        let before = self.forgot.load(Ordering::Relaxed);
        let due = now.saturating_sub(before) >= FORGET_EVERY_MS
            && self.forgot.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        let (id, until) = (claims.id.as_str(), claims.forgotten_at());
        match &self.place {
            Place::Memory(kept) => {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if due {
                    kept.retain(|_, until| *until >= now);
                }
                if kept.len() >= MAX_KEPT {
                    return Err(BrokerError::Down);
                }
                Ok(kept.insert(id.to_owned(), until).is_none())
            }
            Place::Store(store) => {
                let platform = store.platform();
                if due && let Err(error) = platform.forget_leases(millis(now)).await {
                    tracing::warn!(%error, "redeemed leases could not be forgotten");
                }
                platform.redeem_lease(id, millis(until)).await.map_err(|error| {
                    tracing::error!(%error, "a lease could not be redeemed");
                    BrokerError::Down
                })
            }
        }
    }
}

fn millis(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
