//! The bytes of one request head → how its body is framed, or why it is refused. Pure.
//!
//! Stricter than RFC 9112 wherever two programs on the way could disagree about where a message ends or who it is for:
//! what is legal but ambiguous is refused, and what passes has one reading.

use super::refusal::Refusal;

/// How the body of a request is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes; none for most requests.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// Where the head ends, looked for piece by piece: nothing is looked at twice.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scan {
    /// Where the current line begins.
    line: usize,
    /// Up to here no line end was left out.
    seen: usize,
}

impl Scan {
    /// The length of the head including its empty line, if it is complete.
    ///
    /// # Errors
    /// [`Refusal::LineEnd`].
    pub(super) fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        while let Some(at) = bytes.get(self.seen..).and_then(|rest| memchr::memchr(b'\n', rest)) {
            let lf = self.seen + at;
            if lf == 0 || bytes.get(lf - 1) != Some(&b'\r') {
                return Err(Refusal::LineEnd);
            }
            let empty = lf - 1 == self.line;
            self.seen = lf + 1;
            // RFC 9112 §2.2: an empty line before the request line is passed over. One, not many.
            if empty && self.line > 2 {
                return Ok(Some(self.seen));
            }
            if empty && self.line == 2 {
                return Err(Refusal::RequestLine);
            }
            self.line = self.seen;
        }
        self.seen = bytes.len();
        Ok(None)
    }
}

const TOKEN: u8 = 1;
const TARGET: u8 = 2;
const HOST: u8 = 4;

/// What each byte may be part of.
const CLASS: [u8; 256] = classes();

const fn bit(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at: usize = 0;
    while at < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "it counts to 255")]
        let byte = at as u8;
        let token = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        let target = byte > 0x20 && byte < 0x7f && byte != b'#';
        let host = byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
        table[at] = bit(token, TOKEN) | bit(target, TARGET) | bit(host, HOST);
        at += 1;
    }
    table
}

fn all(bytes: &[u8], class: u8) -> bool {
    bytes.iter().all(|byte| CLASS[usize::from(*byte)] & class != 0)
}

/// Whether a value of a header holds nothing but what may stand there (RFC 9110 §5.5). Values are long: without a table
/// and without a way out in the middle, the compiler looks at many bytes at once.
fn may_be_value(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |good, byte| good & ((*byte == b'\t') | ((*byte >= 0x20) & (*byte != 0x7f))))
}

/// What the head says that matters for its framing.
#[derive(Debug, Default)]
struct Facts {
    old: bool,
    host: u8,
    length: Option<u64>,
    chunked: bool,
}

/// Judges a complete head, its empty line included.
///
/// # Errors
/// [`Refusal`].
pub(super) fn judge(head: &[u8], max_headers: usize) -> Result<Framing, Refusal> {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let mut lines = Lines(head);
    let mut facts = Facts { old: request_line(lines.next().ok_or(Refusal::RequestLine)?)?, ..Facts::default() };
    let mut count = 0;
    for line in lines {
        if line.is_empty() {
            break;
        }
        count += 1;
        if count > max_headers {
            return Err(Refusal::HeadSize);
        }
        header(line, &mut facts)?;
    }
    match facts {
        Facts { host: 1, length: Some(_), chunked: true, .. } => Err(Refusal::TwoLengths),
        Facts { host: 1, chunked: true, old: true, .. } => Err(Refusal::Coding),
        Facts { host: 1, chunked: true, .. } => Ok(Framing::Chunked),
        Facts { host: 1, length, .. } => Ok(Framing::Length(length.unwrap_or(0))),
        _ => Err(Refusal::Host),
    }
}

/// Lines without their CR LF. Every LF has its CR: [`Scan`] has seen to it.
struct Lines<'h>(&'h [u8]);

impl<'h> Iterator for Lines<'h> {
    type Item = &'h [u8];

    fn next(&mut self) -> Option<&'h [u8]> {
        let lf = memchr::memchr(b'\n', self.0)?;
        let (line, rest) = self.0.split_at(lf + 1);
        self.0 = rest;
        line.strip_suffix(b"\r\n")
    }
}

/// Whether it is HTTP/1.0.
fn request_line(line: &[u8]) -> Result<bool, Refusal> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::RequestLine);
    };
    if method.is_empty() || !all(method, TOKEN) {
        return Err(Refusal::RequestLine);
    }
    let old = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ if version.starts_with(b"HTTP/") => return Err(Refusal::Version),
        _ => return Err(Refusal::RequestLine),
    };
    if !matches!(method, b"GET" | b"HEAD" | b"POST" | b"PUT" | b"PATCH" | b"DELETE" | b"OPTIONS") {
        return Err(Refusal::Method);
    }
    if target.first() != Some(&b'/') || !all(target, TARGET) {
        return Err(Refusal::Target);
    }
    Ok(old)
}

fn header(line: &[u8], facts: &mut Facts) -> Result<(), Refusal> {
    let colon = memchr::memchr(b':', line).ok_or(Refusal::Header)?;
    let (name, rest) = line.split_at(colon);
    let value = rest.get(1..).unwrap_or_default();
    if name.is_empty() || !all(name, TOKEN) || !may_be_value(value) {
        return Err(if value.contains(&b'\r') { Refusal::LineEnd } else { Refusal::Header });
    }
    if name.contains(&b'_') {
        return Err(Refusal::Underscore);
    }
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    match name.len() {
        4 if is(b"host") => {
            facts.host = facts.host.saturating_add(1);
            let value = value.trim_ascii();
            if value.is_empty() || !all(value, HOST) {
                return Err(Refusal::Host);
            }
        }
        6 if is(b"expect") && !value.trim_ascii().eq_ignore_ascii_case(b"100-continue") => return Err(Refusal::Expect),
        10 if is(b"connection") => connection(value)?,
        14 if is(b"content-length") => {
            let length = length(value.trim_ascii())?;
            if facts.length.replace(length).is_some() {
                return Err(Refusal::Length);
            }
        }
        17 if is(b"transfer-encoding") => {
            if facts.chunked || !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::Coding);
            }
            facts.chunked = true;
        }
        _ => {}
    }
    Ok(())
}

/// A decimal number in its only spelling.
fn length(value: &[u8]) -> Result<u64, Refusal> {
    let plain = !value.is_empty() && value.iter().all(u8::is_ascii_digit) && (value.len() == 1 || value[0] != b'0');
    let text = std::str::from_utf8(value).ok().filter(|_| plain);
    text.and_then(|text| text.parse().ok()).ok_or(Refusal::Length)
}

/// Besides `close` and `keep-alive` only headers may be named that belong to the connection anyway (some clients offer
/// HTTP/2 that way): naming another would take it out of the message for some readers and not for others.
fn connection(value: &[u8]) -> Result<(), Refusal> {
    const KNOWN: [&[u8]; 5] = [b"close", b"keep-alive", b"te", b"upgrade", b"http2-settings"];
    let good = |token: &[u8]| {
        let token = token.trim_ascii();
        token.is_empty() || KNOWN.iter().any(|known| token.eq_ignore_ascii_case(known))
    };
    if value.split(|byte| *byte == b',').all(good) { Ok(()) } else { Err(Refusal::Connection) }
}
