//! Calls that are kept open between two rounds of a client of the stateless era, because their upstream is of the older
//! one: it waits on its stream for an answer that comes with another request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;

/// Calls kept open at a time; further ones end, with an explanation.
const MAX_PARKED: usize = 1024;
/// The share of one caller in them.
const MAX_OF_ONE: usize = 64;

/// Calls by the id that their client carries, sealed. `T` is what is kept; dropping it cancels the call.
#[derive(Debug)]
pub(crate) struct Parked<T>(Mutex<HashMap<Box<str>, Kept<T>>>);

#[derive(Debug)]
struct Kept<T> {
    owner: Box<str>,
    call: T,
    /// Drops the call when its time is over.
    _end: AbortOnDropHandle<()>,
}

impl<T> Default for Parked<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Send + 'static> Parked<T> {
    fn inner(&self) -> MutexGuard<'_, HashMap<Box<str>, Kept<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a call for so long at most; one too many, of all or of its owner, is dropped.
    pub(crate) fn keep(self: &Arc<Self>, id: Box<str>, owner: &str, call: T, life: Duration) {
        let mut inner = self.inner();
        if inner.len() >= MAX_PARKED || inner.values().filter(|kept| *kept.owner == *owner).count() >= MAX_OF_ONE {
            return;
        }
        let (parked, its) = (Arc::clone(self), id.clone());
        let end = tokio::spawn(async move {
            tokio::time::sleep(life).await;
            drop(parked.take(&its));
        });
        inner.insert(id, Kept { owner: owner.into(), call, _end: AbortOnDropHandle::new(end) });
    }

    /// Takes a call that is kept here.
    pub(crate) fn take(&self, id: &str) -> Option<T> {
        let kept = self.inner().remove(id);
        kept.map(|kept| kept.call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_is_kept_until_it_is_taken_or_its_time_is_over() {
        let parked = Arc::new(Parked::default());
        parked.keep("a".into(), "alice", 1, Duration::from_secs(600));
        parked.keep("b".into(), "alice", 2, Duration::ZERO);
        assert_eq!((parked.take("a"), parked.take("a")), (Some(1), None));
        let forgotten = async {
            while parked.inner().contains_key("b") {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), forgotten).await.expect("kept for too long");
    }
    #[tokio::test]
    async fn one_caller_cannot_take_the_places_of_all() {
        let parked = Arc::new(Parked::default());
        for n in 0..=MAX_OF_ONE {
            parked.keep(n.to_string().into(), "alice", n, Duration::from_secs(600));
        }
        parked.keep("b".into(), "bob", 7, Duration::from_secs(600));
        assert_eq!(parked.inner().len(), MAX_OF_ONE + 1);
        assert_eq!(parked.take(&MAX_OF_ONE.to_string()), None);
        assert_eq!(parked.take("b"), Some(7));
        let over = async {
            while tokio::runtime::Handle::current().metrics().num_alive_tasks() > MAX_OF_ONE {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), over).await.expect("what is taken is waited for");
    }
}
