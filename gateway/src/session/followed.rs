//! The resources that a session follows (`resources/subscribe`), by the URIs that its client gives them.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// Resources that one session may follow.
const MAX_FOLLOWED: usize = 1000;

/// A set of URIs.
pub(crate) type Uris = Arc<BTreeSet<Arc<str>>>;

/// What one session follows, as far as this replica was told. Made with the first use: most sessions follow nothing, and
/// the channel is half of what is remembered of one.
#[derive(Debug, Default)]
pub(crate) struct Followed(OnceLock<watch::Sender<Uris>>);

impl Followed {
    fn sender(&self) -> &watch::Sender<Uris> {
        self.0.get_or_init(watch::Sender::default)
    }

    /// Adds one. False: there are too many.
    pub(crate) fn add(&self, uri: &str) -> bool {
        let mut added = true;
        self.sender().send_if_modified(|uris| {
            if uris.contains(uri) {
                return false;
            }
            added = uris.len() < MAX_FOLLOWED;
            added && Arc::make_mut(uris).insert(uri.into())
        });
        added
    }

    /// Takes one away.
    pub(crate) fn remove(&self, uri: &str) {
        self.sender().send_if_modified(|uris| uris.contains(uri) && Arc::make_mut(uris).remove(uri));
    }

    /// The set as it is now and becomes.
    pub(crate) fn uris(&self) -> watch::Receiver<Uris> {
        self.sender().subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_a_set_and_has_a_limit() {
        let followed = Followed::default();
        let mut uris = followed.uris();
        assert!(followed.add("a") && followed.add("b"));
        assert_eq!(uris.borrow_and_update().len(), 2);
        assert!(followed.add("a"));
        assert!(!uris.has_changed().unwrap(), "nothing new");
        followed.remove("a");
        followed.remove("nothing");
        assert_eq!(uris.borrow_and_update().iter().map(|uri| &**uri).collect::<Vec<_>>(), ["b"]);
        for n in 0..MAX_FOLLOWED - 1 {
            assert!(followed.add(&format!("x{n}")));
        }
        assert!(!followed.add("one more"));
        assert_eq!(uris.borrow_and_update().len(), MAX_FOLLOWED);
    }
}
