//! A text and what should stand elsewhere in it → the new text; everything else, comments too, stays as it is.

use std::ops::Range;

/// Exchanges places of a text. They must not overlap.
pub(crate) fn splice(text: &str, mut changes: Vec<(Range<usize>, String)>) -> String {
    changes.sort_by_key(|(place, _)| place.start);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (place, with) in changes {
        out.push_str(text.get(at..place.start).unwrap_or_default());
        out.push_str(&with);
        at = place.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_exchanged_in_any_order_and_the_rest_stays() {
        let changes = vec![(4..5, "yy".to_owned()), (0..1, String::new()), (2..2, "x".to_owned())];
        assert_eq!(splice("abcdef", changes), "bxcdyyf");
    }
}
