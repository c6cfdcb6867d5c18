//! Characters that hide or reorder text: a model reads what a reviewer does not see (security M1). Pure.

/// Whether a text carries such characters.
///
/// Joiners and variation selectors belong to scripts and emoji, one at a time. Two of a kind in a row join nothing and
/// select nothing: that is how bytes are hidden behind one visible character.
pub(super) fn hides_text(text: &str) -> bool {
    if text.is_ascii() {
        return text.bytes().any(|b| is_hidden(b.into()));
    }
    let mut before = Use::Plain;
    text.chars().any(|c| {
        let now = Use::of(c);
        let doubled = now != Use::Plain && now == before;
        before = now;
        doubled || is_hidden(c)
    })
}

/// How a character is used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Plain,
    Joins,
    Selects,
}

impl Use {
    const fn of(c: char) -> Self {
        match c {
            '\u{200c}' | '\u{200d}' => Self::Joins,
            '\u{fe00}'..='\u{fe0f}' => Self::Selects,
            _ => Self::Plain,
        }
    }
}

/// Control characters, and all that Unicode calls `Default_Ignorable_Code_Point`, but for joiners and the variation
/// selectors of scripts and emoji: they are not shown, or reorder what is. Line ends and tabs are ordinary in
/// descriptions.
pub(super) fn is_hidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
        || matches!(
            c,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m1_text_that_nobody_sees_is_found_however_it_is_hidden() {
        for hidden in [
            "a\u{0}b",
            "\u{1b}[31m",
            "a\u{7f}",
            "a\u{9b}31m",
            "soft\u{ad}hyphen",
            "a\u{34f}b",
            "a\u{61c}b",
            "a\u{115f}b",
            "a\u{180e}b",
            "a\u{200b}b",
            "a\u{202e}b",
            "a\u{2066}b",
            "a\u{3164}b",
            "a\u{feff}",
            "a\u{ffa0}b",
            "a\u{fff9}b\u{fffb}",
            "a\u{1d173}b",
            "a\u{e0041}",
            "a\u{e0100}",
            // Bytes behind one character.
            "\u{1f600}\u{fe00}\u{fe0f}\u{fe03}",
            "a\u{200c}\u{200d}\u{200c}b",
        ] {
            assert!(hides_text(hidden), "{hidden:?}");
        }
    }

    #[test]
    fn what_scripts_and_emoji_need_is_fine() {
        for fine in [
            "",
            "two\nlines\tand\r\na half",
            "\u{fc}n\u{ef}code",
            "\u{1f469}\u{200d}\u{1f4bb}",
            "\u{2764}\u{fe0f}\u{200d}\u{1f525}",
            "\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
            "\u{915}\u{94d}\u{200d}\u{937}",
        ] {
            assert!(!hides_text(fine), "{fine:?}");
        }
    }
}
