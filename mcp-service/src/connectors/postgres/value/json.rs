//! `json` and `jsonb`: text comes in; the same value goes out, or, where a JSON reader would change it, the text itself.

use aperium_platform::json::check_strict;
use serde_json::Value;

/// The most significant digits that every reader of floating point keeps.
const EXACT_DIGITS: usize = 15;

/// The document as a value when nothing is lost by that, else its text as a string.
pub(super) fn decode(raw: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(raw).ok()?;
    let exact = check_strict(raw).is_ok() && numbers_are_exact(text);
    match serde_json::from_str(text) {
        Ok(value) if exact => Some(value),
        _ => Some(Value::String(text.to_owned())),
    }
}

/// Whether no number outside of strings has more digits than a reader keeps.
fn numbers_are_exact(text: &str) -> bool {
    let (mut in_string, mut escaped, mut digits) = (false, false, 0_usize);
    for byte in text.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => {
                in_string = true;
                digits = 0;
            }
            b'0'..=b'9' => {
                digits += 1;
                if digits > EXACT_DIGITS {
                    return false;
                }
            }
            // Digits on both sides of the point count together.
            b'.' => {}
            // An exponent can put any number out of reach: keep its text.
            b'e' | b'E' if digits > 0 => return false,
            _ => digits = 0,
        }
    }
    true
}
