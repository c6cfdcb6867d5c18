//! Lines → a chain: every hash covers its line and the hash before it.

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// What a hash is of. It is hashed first, so that no other hash of this crate is ever one of these.
const ENTRY: &[u8] = b"aperium audit entry 1\n";

/// SHA-256; as text 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Before the first link of any chain.
    pub const GENESIS: Self = Self([0; 32]);

    /// Over parts; what they are is hashed first. Every part but the last must have a fixed length.
    pub(super) fn of(what: &[u8], parts: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        context.update(what);
        for part in parts {
            context.update(part);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Self(hash)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hexadecimal digits.
    pub(super) fn digits(&self) -> String {
        hex::encode(self.0)
    }

    /// Reads 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).ok()?;
        (Self(hash).to_string() == text).then_some(Self(hash))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digits())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a hash"))
    }
}

/// One chain: what one run of a replica has written for one tenant. A replica that starts anew begins new chains.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Chain {
    /// The writer.
    pub replica: String,
    /// Whose; empty for what belongs to no tenant.
    pub tenant: String,
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenant = if self.tenant.is_empty() { "(no tenant)" } else { &self.tenant };
        write!(f, "{tenant} of replica {}", self.replica)
    }
}

/// A place in a chain and the hash there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The writer.
    pub replica: String,
    /// Whose.
    pub tenant: String,
    /// The place.
    pub seq: u64,
    /// The hash.
    pub hash: Hash,
}

impl Head {
    /// Its chain.
    #[must_use]
    pub fn chain(&self) -> Chain {
        Chain { replica: self.replica.clone(), tenant: self.tenant.clone() }
    }
}

/// One entry as it is stored: where it claims to be, its line, and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The chain that it stands in.
    pub chain: Chain,
    /// Its place there.
    pub seq: u64,
    /// When its line says that it was made: the row says it again, so that it can be looked for.
    pub time_ms: i64,
    /// The text of its [`Line`](super::Line).
    pub line: String,
    /// Over the hash before it and the line.
    pub hash: Hash,
}

impl Entry {
    /// Its place and hash.
    #[must_use]
    pub fn head(&self) -> Head {
        let Chain { replica, tenant } = self.chain.clone();
        Head { replica, tenant, seq: self.seq, hash: self.hash }
    }
}

/// The hash of a line that follows another one.
#[must_use]
pub fn link(before: &Hash, line: &str) -> Hash {
    Hash::of(ENTRY, &[before.as_bytes(), line.as_bytes()])
}
