use super::*;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret as _;

const SESSION: Purpose = Purpose::new("session");
const OTHER: Purpose = Purpose::new("other");

fn ring(current: &str, keys: &[(&str, u8)]) -> String {
    let keys: serde_json::Map<_, _> =
        keys.iter().map(|(kid, byte)| ((*kid).to_owned(), STANDARD.encode([*byte; 32]).into())).collect();
    serde_json::json!({ "current": current, "keys": keys }).to_string()
}

fn sealer(current: &str, keys: &[(&str, u8)]) -> Sealer {
    Sealer::fixed(KeyRing::parse(ring(current, keys).as_bytes()).unwrap())
}

#[test]
fn what_was_sealed_opens_for_its_purpose_and_binding_alone() {
    let sealer = Sealer::ephemeral().unwrap();
    for message in [&b""[..], b"x", &[7; 5000]] {
        let sealed = sealer.seal_text(SESSION, b"alice", message).unwrap();
        assert_eq!(*sealer.open_text(SESSION, b"alice", &sealed).unwrap(), message);
        assert_eq!(sealer.open_text(OTHER, b"alice", &sealed).unwrap_err(), SealError::Invalid);
        assert_eq!(sealer.open_text(SESSION, b"bob", &sealed).unwrap_err(), SealError::Invalid);
        assert_eq!(sealer.open_text(SESSION, b"", &sealed).unwrap_err(), SealError::Invalid);
    }
}

#[test]
fn the_same_message_is_sealed_differently_each_time_and_never_readable() {
    let sealer = Sealer::ephemeral().unwrap();
    let [a, b] = [(); 2].map(|()| sealer.seal(SESSION, b"", b"a secret text").unwrap());
    assert_ne!(a, b);
    assert!(!a.windows(6).any(|part| part == b"secret"));
}

#[test]
fn a_single_changed_bit_anywhere_is_noticed() {
    let sealer = Sealer::ephemeral().unwrap();
    let sealed = sealer.seal(SESSION, b"alice", b"message").unwrap();
    for position in 0..sealed.len() {
        for bit in 0..8 {
            let mut changed = sealed.clone();
            changed[position] ^= 1 << bit;
            assert!(sealer.open(SESSION, b"alice", &changed).is_err(), "byte {position}, bit {bit}");
        }
    }
}

#[test]
fn what_was_cut_off_or_added_to_is_noticed() {
    let sealer = Sealer::ephemeral().unwrap();
    let sealed = sealer.seal(SESSION, b"", b"message").unwrap();
    for length in 0..sealed.len() {
        assert!(sealer.open(SESSION, b"", &sealed[..length]).is_err(), "{length} bytes");
    }
    assert!(sealer.open(SESSION, b"", &[&sealed[..], b"x"].concat()).is_err());
    let text = sealer.seal_text(SESSION, b"", b"message").unwrap();
    for suffix in ["-TAMPERED", "=", " ", "A"] {
        assert!(sealer.open_text(SESSION, b"", &format!("{text}{suffix}")).is_err(), "{suffix:?}");
    }
}

#[test]
fn another_ring_opens_nothing() {
    let sealed = sealer("k1", &[("k1", 1)]).seal(SESSION, b"", b"message").unwrap();
    assert_eq!(sealer("k1", &[("k1", 2)]).open(SESSION, b"", &sealed).unwrap_err(), SealError::Invalid);
    assert_eq!(sealer("k2", &[("k2", 1)]).open(SESSION, b"", &sealed).unwrap_err(), SealError::UnknownKey);
}

#[test]
fn after_a_rotation_old_messages_open_until_their_key_is_gone() {
    let old = sealer("k1", &[("k1", 1)]).seal(SESSION, b"", b"old").unwrap();
    let both = sealer("k2", &[("k1", 1), ("k2", 2)]);
    assert_eq!(*both.open(SESSION, b"", &old).unwrap(), b"old");
    let new = both.seal(SESSION, b"", b"new").unwrap();
    let after = sealer("k2", &[("k2", 2)]);
    assert_eq!(*after.open(SESSION, b"", &new).unwrap(), b"new");
    assert_eq!(after.open(SESSION, b"", &old).unwrap_err(), SealError::UnknownKey);
}

#[test]
fn a_message_tells_its_key_and_a_single_key_makes_a_ring() {
    let both = sealer("k2", &[("k1", 1), ("k2", 2)]);
    assert_eq!(both.current().unwrap(), "k2");
    assert_eq!((both.holds("k1"), both.holds("k3")), (Ok(true), Ok(false)));
    assert_eq!(key_id(&both.seal(SESSION, b"", b"m").unwrap()), Some("k2"));
    assert_eq!((key_id(b""), key_id(b"x")), (None, None));
    let sealed = Sealer::fixed(KeyRing::of_key("k2", &[2; 32]).unwrap()).seal(SESSION, b"", b"m").unwrap();
    assert_eq!(*both.open(SESSION, b"", &sealed).unwrap(), b"m");
    assert_eq!(KeyRing::of_key("k1", &[2; 31]).unwrap_err(), RingError::Key);
}

#[test]
fn a_ring_is_rotated_key_by_key() {
    let mut ring = KeyRing::parse(ring("k9", &[("k9", 1), ("old", 2)]).as_bytes()).unwrap();
    let old = sealer("k9", &[("k9", 1)]).seal(SESSION, b"", b"m").unwrap();
    assert_eq!(ring.add_key().unwrap(), "k10");
    assert_eq!(ring.ids().collect::<Vec<_>>(), ["k10", "k9", "old"]);
    assert_eq!(ring.use_key("k11"), Err(RingError::Current));
    ring.use_key("k10").unwrap();
    let both = Sealer::fixed(KeyRing::parse(ring.to_text().expose_secret().as_bytes()).unwrap());
    assert_eq!((both.current().unwrap().as_str(), &**both.open(SESSION, b"", &old).unwrap()), ("k10", &b"m"[..]));
    ring.retire_others();
    assert_eq!(ring.ids().collect::<Vec<_>>(), ["k10"]);
    assert_eq!(Sealer::fixed(ring).open(SESSION, b"", &old).unwrap_err(), SealError::UnknownKey);
}

#[test]
fn a_generated_ring_survives_as_text_and_is_never_shown() {
    let ring = KeyRing::generate().unwrap();
    let text = ring.to_text();
    let again = KeyRing::parse(text.expose_secret().as_bytes()).unwrap();
    let sealed = Sealer::fixed(ring).seal(SESSION, b"", b"m").unwrap();
    let shown = format!("{again:?} {:?} {text:?}", Sealer::ephemeral());
    assert_eq!(*Sealer::fixed(again).open(SESSION, b"", &sealed).unwrap(), b"m");
    let key = text.expose_secret().rsplit(':').next().unwrap().trim_matches(['"', '}']);
    assert!(key.len() > 40 && !shown.contains(key));
}

#[test]
fn what_is_no_ring_is_refused_without_being_quoted() {
    let short = STANDARD.encode([1; 31]);
    for (text, expected) in [
        (String::new(), RingError::Malformed),
        ("[]".to_owned(), RingError::Malformed),
        (r#"{"current":"k1"}"#.to_owned(), RingError::Malformed),
        (r#"{"current":"k1","keys":{},"more":1}"#.to_owned(), RingError::Malformed),
        (r#"{"current":"k1","keys":{}}"#.to_owned(), RingError::Current),
        (ring("k2", &[("k1", 1)]), RingError::Current),
        (ring("k 1", &[("k 1", 1)]), RingError::Id),
        (ring("", &[("", 1)]), RingError::Id),
        (format!(r#"{{"current":"k1","keys":{{"k1":"{short}"}}}}"#), RingError::Key),
        (r#"{"current":"k1","keys":{"k1":"???"}}"#.to_owned(), RingError::Key),
        (" ".repeat(70_000), RingError::TooLarge),
    ] {
        let error = KeyRing::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error, expected, "{text}");
        assert!(!error.to_string().contains(&short));
    }
}

#[test]
fn a_file_is_read_again_when_it_changes_and_a_bad_one_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let later = || std::thread::sleep(crate::bearer::file::LOOK_EVERY + std::time::Duration::from_millis(50));
    let sealer = Sealer::file(&path);
    assert!(!sealer.loaded());
    assert_eq!(sealer.seal(SESSION, b"", b"m").unwrap_err(), SealError::NoRing);
    std::fs::write(&path, ring("k1", &[("k1", 1)])).unwrap();
    later();
    let old = sealer.seal(SESSION, b"", b"old").unwrap();
    std::fs::write(&path, "not a ring").unwrap();
    later();
    assert_eq!(*sealer.open(SESSION, b"", &old).unwrap(), b"old");
    std::fs::write(&path, ring("k2", &[("k1", 1), ("k2", 2)])).unwrap();
    later();
    assert_eq!(*sealer.open(SESSION, b"", &old).unwrap(), b"old");
    assert_eq!(&sealer.seal(SESSION, b"", b"new").unwrap()[2..4], b"k2");
    std::fs::remove_file(&path).unwrap();
    later();
    assert_eq!(*sealer.open(SESSION, b"", &old).unwrap(), b"old", "a volume that is swapped is not there for a moment");
}
