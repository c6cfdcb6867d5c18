//! JSON as it is written for each record, spelled as `serde_json` spells it: by hand, because a serializer looks at each
//! byte of each text on its own, and that was a tenth of what a record costs.

/// Writes a number.
pub(super) fn number(out: &mut String, number: impl itoa::Integer) {
    out.push_str(itoa::Buffer::new().format(number));
}

/// Writes `"text"`.
pub(super) fn text(out: &mut String, text: &str) {
    out.push('"');
    if is_plain(text.as_bytes()) {
        out.push_str(text);
    } else {
        text.chars().for_each(|character| escaped(out, character));
    }
    out.push('"');
}

/// Whether a text stands in JSON as it is (RFC 8259 §7). Without a way out in the middle, the compiler looks at many bytes
/// at once.
fn is_plain(text: &[u8]) -> bool {
    text.iter().fold(true, |plain, byte| plain & (*byte >= 0x20) & (*byte != b'"') & (*byte != b'\\'))
}

fn escaped(out: &mut String, character: char) {
    match character {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04x}", u32::from(character))),
        _ => out.push(character),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spelled(value: &str) -> String {
        let mut out = String::new();
        text(&mut out, value);
        out
    }

    #[test]
    fn every_character_that_may_need_it_is_escaped_as_everywhere_else() {
        let all: String = ('\0'..'\u{100}').chain(['\u{2028}', '\u{1f600}']).collect();
        assert_eq!(spelled(&all), serde_json::to_string(&all).unwrap());
    }

    proptest! {
        #[test]
        fn a_text_is_spelled_as_everywhere_else(value: String, number in any::<i64>()) {
            prop_assert_eq!(spelled(&value), serde_json::to_string(&value).unwrap());
            let mut out = String::new();
            super::number(&mut out, number);
            prop_assert_eq!(out, number.to_string());
        }
    }
}
