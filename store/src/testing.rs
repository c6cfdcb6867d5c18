//! What the tests of this crate share.

use crate::Target;
use aperium_platform::seal::{KeyRing, Sealer};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

/// A SQLite file of its own.
pub(crate) fn sqlite() -> (TempDir, Target) {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::Sqlite(folder.path().join("data/aperium.db"));
    (folder, target)
}

/// A ring whose keys are 32 times one byte.
pub(crate) fn ring(current: &str, keys: &[(&str, u8)]) -> Sealer {
    let keys: serde_json::Map<_, _> =
        keys.iter().map(|(kid, byte)| ((*kid).to_owned(), STANDARD.encode([*byte; 32]).into())).collect();
    let text = serde_json::json!({ "current": current, "keys": keys }).to_string();
    Sealer::fixed(KeyRing::parse(text.as_bytes()).unwrap())
}
