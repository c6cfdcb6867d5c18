//! How a secret may look where somebody has written it down: as it is, as base64, as hexadecimal digits, percent-encoded.

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// A secret that is cut is found as well: each half of one that is at least twice as long counts by itself.
const HALF: usize = 16;

/// Every form of a secret and of its halves.
pub(super) fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let parts = match secret.len() {
        length if length >= 2 * HALF => secret.chunks(length.div_ceil(2)).collect(),
        _ => vec![secret],
    };
    let mut forms: Vec<Vec<u8>> = parts.into_iter().flat_map(forms_of).collect();
    forms.sort();
    forms.dedup();
    forms
}

fn forms_of(part: &[u8]) -> Vec<Vec<u8>> {
    let each = |form: fn(&u8) -> String| part.iter().map(form).collect::<String>().into_bytes();
    let mut forms = vec![
        part.to_vec(),
        each(|byte| format!("{byte:02x}")),
        each(|byte| format!("{byte:02X}")),
        each(|byte| format!("%{byte:02x}")),
        each(|byte| format!("%{byte:02X}")),
    ];
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        forms.extend((0..3).map(|shift| within(&engine, part, shift)));
    }
    forms
}

/// What base64 makes of it behind so many other bytes: the characters that depend on nothing but the secret.
fn within(engine: &GeneralPurpose, part: &[u8], shift: usize) -> Vec<u8> {
    let bytes = [&[0; 2][..shift], part].concat();
    let text = engine.encode(&bytes).into_bytes();
    text[(shift * 8).div_ceil(6)..bytes.len() * 8 / 6].to_vec()
}
