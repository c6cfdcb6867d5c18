//! `numeric`: base-10000 digits come in, the exact decimal text goes out.

/// Sign words of the binary form (PostgreSQL source, `numeric.c`).
const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const POSITIVE_INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// The decimal text, with as many decimals as the value was stored with.
pub(super) fn decode(raw: &[u8]) -> Option<String> {
    let mut words = raw.chunks_exact(2).map(|pair| match pair {
        [high, low] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    });
    let (count, weight, sign, scale) = (words.next()?, words.next()?.cast_signed(), words.next()?, words.next()?);
    match sign {
        NAN => return Some("NaN".to_owned()),
        POSITIVE_INFINITY => return Some("Infinity".to_owned()),
        NEGATIVE_INFINITY => return Some("-Infinity".to_owned()),
        _ => {}
    }
    let digits: Vec<u16> = words.take(usize::from(count)).collect();
    if digits.len() != usize::from(count) {
        return None;
    }
    let group = |index: i32| usize::try_from(index).ok().and_then(|i| digits.get(i)).copied().unwrap_or(0);
    let mut text = String::new();
    if sign == NEGATIVE {
        text.push('-');
    }
    if weight < 0 {
        text.push('0');
    } else {
        text.push_str(&group(0).to_string());
        for index in 1..=i32::from(weight) {
            text.push_str(&format!("{:04}", group(index)));
        }
    }
    if scale > 0 {
        let mut decimals = String::new();
        let mut index = i32::from(weight) + 1;
        while decimals.len() < usize::from(scale) {
            decimals.push_str(&format!("{:04}", group(index)));
            index += 1;
        }
        decimals.truncate(usize::from(scale));
        text.push('.');
        text.push_str(&decimals);
    }
    Some(text)
}
