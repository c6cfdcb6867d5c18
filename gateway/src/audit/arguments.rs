//! The arguments of a call, as the policy wants them kept.

use aperium_crds::settings::Arguments as Policy;
use aperium_store::audit::SigningKey;
use sha2::{Digest as _, Sha256};

/// Longer arguments are digested where they are, instead of being copied for whoever writes.
const COPIED: usize = 2048;
/// The most bytes of arguments that are kept readable.
const KEPT: usize = 4096;
const CUT: &str = "… (cut)";

/// What is handed over to be written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arguments {
    /// To be digested by whoever writes.
    Copied(Box<str>),
    /// The SHA-256 of longer ones.
    Digested([u8; 32]),
    /// To be kept as they are.
    Full(Box<str>),
}

impl Arguments {
    /// Takes from arguments what the policy wants.
    pub(crate) fn of(policy: Policy, text: &str) -> Option<Self> {
        Some(match policy {
            Policy::Omit => return None,
            Policy::Digest if text.len() <= COPIED => Self::Copied(text.into()),
            Policy::Digest => Self::Digested(Sha256::digest(text.as_bytes()).into()),
            Policy::Full if text.len() <= KEPT => Self::Full(text.into()),
            Policy::Full => {
                let kept = text.get(..text.floor_char_boundary(KEPT - CUT.len())).unwrap_or_default();
                Self::Full([kept, CUT].concat().into())
            }
        })
    }

    /// As they stand in the record.
    pub(crate) fn written(self, key: &SigningKey, tenant: &str) -> String {
        match self {
            Self::Copied(text) => key.digest(tenant, &Sha256::digest(text.as_bytes()).into()),
            Self::Digested(digest) => key.digest(tenant, &digest),
            Self::Full(text) => text.into_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_does_not_depend_on_where_it_is_made() {
        let key = SigningKey::from_seed(&[7; 32]).unwrap();
        let text = "x".repeat(COPIED);
        let copied = Arguments::of(Policy::Digest, &text).unwrap();
        assert!(matches!(copied, Arguments::Copied(_)));
        let digested = Arguments::Digested(Sha256::digest(text.as_bytes()).into());
        assert_eq!(copied.written(&key, "acme"), digested.written(&key, "acme"));
        assert!(matches!(Arguments::of(Policy::Digest, &"x".repeat(COPIED + 1)), Some(Arguments::Digested(_))));
    }

    #[test]
    fn only_the_policy_full_keeps_what_can_be_read_and_not_without_end() {
        let key = SigningKey::from_seed(&[7; 32]).unwrap();
        let secret = r#"{"password":"hunter2"}"#;
        assert_eq!(Arguments::of(Policy::Omit, secret), None);
        assert!(!Arguments::of(Policy::Digest, secret).unwrap().written(&key, "acme").contains("hunter2"));
        assert_eq!(Arguments::of(Policy::Full, secret).unwrap().written(&key, "acme"), secret);
        let long = Arguments::of(Policy::Full, &"ü".repeat(KEPT)).unwrap().written(&key, "acme");
        assert!(long.len() <= KEPT && long.ends_with(CUT), "{} bytes", long.len());
    }
}
