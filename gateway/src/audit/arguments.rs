//! The arguments of a call, as the policy wants them kept.

use aperium_crds::settings::Arguments as Policy;
use aperium_platform::digest::sha256;
use aperium_store::audit::SigningKey;

/// The most bytes of arguments that are kept readable.
const KEPT: usize = 4096;
const CUT: &str = "… (cut)";

/// What is handed over to be written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arguments {
    /// Their SHA-256, to be salted by whoever writes.
    Digested([u8; 32]),
    /// To be kept as they are.
    Full(Box<str>),
}

impl Arguments {
    /// Takes from arguments what the policy wants.
    pub(crate) fn of(policy: Policy, text: &str) -> Option<Self> {
        Some(match policy {
            Policy::Omit => return None,
            Policy::Digest => Self::Digested(sha256(text.as_bytes())),
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
            Self::Digested(digest) => key.digest(tenant, &digest),
            Self::Full(text) => text.into_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
