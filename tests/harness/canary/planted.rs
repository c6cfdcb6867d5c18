//! The secrets of one run: made here, or made by the system and noticed when they are handed out.

use aws_lc_rs::rand;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// Characters of a secret. Only letters and digits: no escaping of JSON, HTML or URLs can change how it looks.
const LENGTH: usize = 40;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// One secret.
#[derive(Debug, Clone)]
pub struct Canary {
    /// What it is, for messages and for the places where it may be.
    pub name: String,
    /// The secret itself.
    pub value: Vec<u8>,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub struct Planted(Arc<Mutex<Vec<Canary>>>);

impl Planted {
    /// A new secret.
    #[must_use]
    pub fn plant(&self, name: &str) -> String {
        let text = random();
        self.notice(name, &text);
        text
    }

    /// A secret that the system has made.
    ///
    /// # Panics
    /// When it is too short to be told from other bytes.
    pub fn notice(&self, name: &str, value: impl AsRef<[u8]>) {
        let (name, value) = (name.to_owned(), value.as_ref().to_vec());
        assert!(value.len() >= 16, "{name} is too short to be told from other bytes");
        let mut all = self.0.lock().expect("a lock");
        if !all.iter().any(|known| known.value == value) {
            all.push(Canary { name, value });
        }
    }

    /// The signature of a token: what stands before it can be known by others.
    ///
    /// # Panics
    /// As [`Planted::notice`].
    pub fn notice_signed(&self, name: &str, token: &str) {
        self.notice(name, token.rsplit('.').next().expect("a token"));
    }

    /// All that were planted or noticed.
    ///
    /// # Panics
    /// When another thread has panicked.
    #[must_use]
    pub fn all(&self) -> Vec<Canary> {
        self.0.lock().expect("a lock").clone()
    }

    /// The names of all, so that a test can say that each of them was planted.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        self.all().into_iter().map(|canary| canary.name).collect()
    }
}

/// A text that begins with a letter and occurs nowhere else.
///
/// # Panics
/// When there is no randomness.
#[must_use]
pub fn random() -> String {
    let mut bytes = [0; LENGTH];
    rand::fill(&mut bytes).expect("randomness");
    let mut text: String = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect();
    text.replace_range(..1, "C");
    text
}
