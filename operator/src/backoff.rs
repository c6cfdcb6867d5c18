//! How long until a failed reconcile is tried again: twice as long each time, spread over the Connectors.

use crate::stores::Key;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(300);

/// The wait after this many failures in a row.
#[must_use]
pub fn after(failures: u32, key: &Key) -> Duration {
    let doubled = FIRST.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1).min(20)).unwrap_or(u32::MAX));
    jittered(doubled.min(LONGEST), key)
}

/// Up to a fifth less or more, the same for a key as long as the process runs.
#[must_use]
pub fn jittered(wait: Duration, key: &Key) -> Duration {
    wait.mul_f64(0.8 + 0.4 * fraction(key))
}

/// A number from 0 to 1 that belongs to the key.
#[must_use]
pub fn fraction(key: &Key) -> f64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    f64::from(u16::try_from(hasher.finish() & 0xffff).unwrap_or_default()) / f64::from(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_never_reach_zero() {
        let key = Key::new("ns", "a");
        assert!(after(1, &key) >= FIRST.mul_f64(0.8));
        assert!(after(2, &key) > after(1, &key));
        assert!(after(u32::MAX, &key) <= LONGEST.mul_f64(1.2));
        assert!(after(0, &key) >= FIRST.mul_f64(0.8));
    }

    #[test]
    fn two_connectors_do_not_come_back_in_the_same_moment() {
        assert_ne!(after(5, &Key::new("ns", "a")), after(5, &Key::new("ns", "b")));
    }
}
