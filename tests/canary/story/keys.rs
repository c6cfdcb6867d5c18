//! Key rings, and the commands that need them.

use crate::bed::Bed;
use aperium_tests::binaries;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The rings in a data folder.
pub(crate) fn notice(bed: &Bed, data: &str) {
    notice_ring(bed, &format!("{data}/encryption-keys.json"));
    notice_as(bed, &format!("{data}/lease-signing-keys.json"), "key that signs leases");
}

/// The ring that everything is sealed with.
pub(crate) fn notice_ring(bed: &Bed, file: &str) {
    notice_as(bed, file, "key that seals");
}

fn notice_as(bed: &Bed, file: &str, name: &str) {
    let ring: Value = serde_json::from_slice(&std::fs::read(bed.path(file)).expect("a ring")).expect("JSON");
    for key in ring["keys"].as_object().expect("keys").values() {
        bed.planted.notice(name, STANDARD.decode(key.as_str().expect("a key")).expect("base64"));
    }
}

/// The log is checked and exported, and the ring gets a new key.
pub(crate) fn commands(bed: &Bed, data: &str) {
    let folder = bed.path(data).display().to_string();
    for verb in [["audit", "verify"], ["audit", "export"], ["keys", "rotate"]] {
        let ended = bed.run("canary-cli", binaries::aperium(), &[&verb[..], &["--data", &folder]].concat(), &[]);
        assert!(ended.good, "{verb:?}: {}", ended.said);
    }
    notice(bed, data);
}
