//! Calls that are kept open between two rounds of a client of the stateless era, because their upstream is of the older
//! one: it waits on its stream for an answer that comes with another request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Calls kept open at a time; further ones end, with an explanation.
const MAX_PARKED: usize = 1024;

/// Calls by the id that their client carries, sealed. `T` is what is kept; dropping it cancels the call.
#[derive(Debug)]
pub(crate) struct Parked<T>(Mutex<HashMap<Box<str>, T>>);

impl<T> Default for Parked<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Send + 'static> Parked<T> {
    fn inner(&self) -> MutexGuard<'_, HashMap<Box<str>, T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a call for so long at most; one too many is dropped.
    pub(crate) fn keep(self: &Arc<Self>, id: Box<str>, call: T, life: Duration) {
        let mut inner = self.inner();
        if inner.len() >= MAX_PARKED {
            return;
        }
        inner.insert(id.clone(), call);
        drop(inner);
        let parked = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(life).await;
            drop(parked.take(&id));
        });
    }

    /// Takes a call that is kept here.
    pub(crate) fn take(&self, id: &str) -> Option<T> {
        self.inner().remove(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_is_kept_until_it_is_taken_or_its_time_is_over() {
        let parked = Arc::new(Parked::default());
        parked.keep("a".into(), 1, Duration::from_secs(600));
        parked.keep("b".into(), 2, Duration::ZERO);
        assert_eq!((parked.take("a"), parked.take("a")), (Some(1), None));
        let forgotten = async {
            while parked.inner().contains_key("b") {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), forgotten).await.expect("kept for too long");
    }
}
