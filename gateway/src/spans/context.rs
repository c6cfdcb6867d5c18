//! `traceparent` (W3C Trace Context, level 1): text in, ids out, and back. Pure.

/// Where a request is in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceContext {
    /// The trace.
    pub(crate) trace: [u8; 16],
    /// The span of whoever asks.
    pub(crate) parent: [u8; 8],
    /// Whether it is recorded there.
    pub(crate) sampled: bool,
}

impl TraceContext {
    /// Reads it; `None` for anything malformed, which is as if nothing had come (§3.2.2.3).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version_00 = version == "00";
        if !lower_hex(version, 2) || version == "ff" || (version_00 && parts.next().is_some()) {
            return None;
        }
        if !lower_hex(trace, 32) || !lower_hex(parent, 16) || !lower_hex(flags, 2) {
            return None;
        }
        let mut context = Self { trace: [0; 16], parent: [0; 8], sampled: false };
        hex::decode_to_slice(trace, &mut context.trace).ok()?;
        hex::decode_to_slice(parent, &mut context.parent).ok()?;
        let mut flag = [0; 1];
        hex::decode_to_slice(flags, &mut flag).ok()?;
        context.sampled = flag[0] & 1 == 1;
        (context.trace != [0; 16] && context.parent != [0; 8]).then_some(context)
    }

    /// Writes it.
    pub(crate) fn header(&self) -> String {
        format!("00-{}-{}-0{}", hex::encode(self.trace), hex::encode(self.parent), u8::from(self.sampled))
    }
}

fn lower_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_read_is_written_again() {
        let context = TraceContext::parse(GOOD).unwrap();
        assert!(context.sampled);
        assert_eq!(context.header(), GOOD);
        let off = GOOD.replace("-01", "-00");
        assert_eq!(TraceContext::parse(&off).unwrap().header(), off);
        assert!(TraceContext::parse(&GOOD.replace("00-0af", "cc-0af").replace("-01", "-01-later")).is_some());
    }

    #[test]
    fn what_is_malformed_is_as_if_nothing_had_come() {
        for bad in [
            "",
            "00",
            &GOOD.to_uppercase(),
            &GOOD.replace("00-0af", "ff-0af"),
            &format!("{GOOD}-x"),
            &GOOD.replace("-01", ""),
            &GOOD.replace("-01", "-1"),
            &GOOD.replace("0af7651916cd43dd8448eb211c80319c", "00000000000000000000000000000000"),
            &GOOD.replace("b7ad6b7169203331", "0000000000000000"),
            &GOOD.replace("b7ad6b7169203331", "b7ad6b716920333"),
            &GOOD.replace("b7ad", "b7\u{e9}"),
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
    }
}
