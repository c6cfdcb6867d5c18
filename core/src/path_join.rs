//! Base path of an upstream and what a caller wants below it → the path to ask for, or why not. Never leaves the base.
//!
//! The caller's path is checked segment by segment and then appended as it was sent, still encoded. Nothing is resolved
//! and nothing is "cleaned": a path that two programs could read in two ways is refused (security: a lenient upstream
//! would climb out of the base with our credential in its hands).

/// The most bytes of a path that a caller may ask for.
pub const MAX_PATH: usize = 8 * 1024;

/// Why a path is not joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Longer than [`MAX_PATH`].
    #[error("the path holds more than 8192 bytes")]
    TooLong,
    /// It does not begin with `/`, so it would continue the last segment of the base.
    #[error("the path must begin with '/'")]
    Relative,
    /// `//`: some upstreams read the rest as a host.
    #[error("the path holds an empty segment")]
    EmptySegment,
    /// `.`, `..` or something that an upstream could take for one.
    #[error("the path holds a dot segment")]
    DotSegment,
    /// A slash, a backslash or a control character, encoded however often.
    #[error("the path holds an encoded separator or control character")]
    Separator,
    /// A character that a path cannot hold unencoded, a backslash among them.
    #[error("the path holds a character that must be percent-encoded")]
    Character,
    /// `%` without two hexadecimal digits, or bytes that are no UTF-8.
    #[error("the path holds a malformed percent-encoding")]
    Encoding,
}

impl PathError {
    /// `PascalCase` reason for logs and metric labels.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooLong => "PathTooLong",
            Self::Relative => "PathRelative",
            Self::EmptySegment => "EmptySegment",
            Self::DotSegment => "DotSegment",
            Self::Separator => "EncodedSeparator",
            Self::Character => "BadCharacter",
            Self::Encoding => "BadEncoding",
        }
    }
}

/// Appends a caller's path to the base path of an upstream.
///
/// `base` is the path of the admin's own URL and is trusted; `rest` is what follows `/v1/connectors/<id>` in the
/// request, without its query: empty (the base itself), `/` (the base with a slash at its end), or `/a/b`.
///
/// # Errors
/// [`PathError`].
pub fn join(base: &str, rest: &str) -> Result<String, PathError> {
    let base = if base.is_empty() { "/" } else { base };
    if rest.is_empty() {
        return Ok(base.to_owned());
    }
    if rest.len() > MAX_PATH {
        return Err(PathError::TooLong);
    }
    let mut segments = rest.strip_prefix('/').ok_or(PathError::Relative)?.split('/').peekable();
    while let Some(segment) = segments.next() {
        if segment.is_empty() {
            // A slash at the end is how many APIs name a collection.
            if segments.peek().is_some() {
                return Err(PathError::EmptySegment);
            }
        } else {
            check(segment)?;
        }
    }
    let base = base.trim_end_matches('/');
    let mut path = String::with_capacity(base.len() + rest.len());
    path.push_str(base);
    path.push_str(rest);
    Ok(path)
}

/// The caller's path of an address that the upstream names, if it lies below the base: the reverse of [`join`].
///
/// `path` begins with `/`. What `join` would not accept back is not given out.
#[must_use]
pub fn below<'p>(base: &str, path: &'p str) -> Option<&'p str> {
    let base = base.trim_end_matches('/');
    let rest = path.strip_prefix(base)?;
    (rest.starts_with('/') && join(base, rest).is_ok()).then_some(rest)
}

/// One segment, not empty.
fn check(segment: &str) -> Result<(), PathError> {
    if !segment.bytes().all(is_plain) {
        return Err(PathError::Character);
    }
    if !segment.contains('%') {
        return if is_dots(segment) { Err(PathError::DotSegment) } else { Ok(()) };
    }
    let mut text = decode(segment)?.ok_or(PathError::Encoding)?;
    loop {
        // What an upstream that decodes twice would see counts as well, to the end of it.
        if text.contains(is_separator) {
            return Err(PathError::Separator);
        }
        if is_dots(&text) {
            return Err(PathError::DotSegment);
        }
        // An encoded per cent sign (`100%25`) may stand alone once the outermost encoding is good; it hides nothing
        // behind it, because there are programs that leave it and decode the rest.
        let again = String::from_utf8_lossy(&decode_leniently(text.as_bytes())).into_owned();
        if again == text {
            return Ok(());
        }
        text = again;
    }
}

/// What a path may hold unencoded: RFC 3986 §3.3 `pchar`, and the three characters that browsers leave as they are.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.'
                | b'_'
                | b'~'
                | b'!'
                | b'$'
                | b'&'
                | b'\''
                | b'('
                | b')'
                | b'*'
                | b'+'
                | b','
                | b';'
                | b'='
                | b':'
                | b'@'
                | b'%'
                | b'['
                | b']'
                | b'|'
        )
}

/// A slash or backslash (or what compatibility normalisation makes of one), or a control character.
fn is_separator(c: char) -> bool {
    c.is_control() || matches!(c, '/' | '\\' | '\u{FF0F}' | '\u{FF3C}' | '\u{FE68}')
}

/// Whether an upstream could take the segment for `.` or `..`: dots and blanks alone, with or without the parameters
/// (`..;x`) that servlet containers cut off; dots may be other characters that normalise to dots.
fn is_dots(segment: &str) -> bool {
    let name = segment.split(';').next().unwrap_or_default();
    let is_dot = |c: char| matches!(c, '.' | '\u{2024}' | '\u{2025}' | '\u{2026}' | '\u{FE52}' | '\u{FF0E}');
    name.contains(is_dot) && name.chars().all(|c| is_dot(c) || c.is_whitespace())
}

/// Decodes once; `None` if the bytes are no UTF-8 (overlong forms are none).
fn decode(text: &str) -> Result<Option<String>, PathError> {
    let bytes = decode_bytes(text.as_bytes()).ok_or(PathError::Encoding)?;
    Ok(String::from_utf8(bytes).ok())
}

/// Decodes every `%XX` once; `None` for a `%` without two hexadecimal digits.
fn decode_bytes(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: Option<&u8>| byte.and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        out.push(if *byte == b'%' { digit(rest.next())? << 4 | digit(rest.next())? } else { *byte });
    }
    Some(out)
}

/// Decodes every `%XX` once and leaves every other `%` where it is, as many programs do.
fn decode_leniently(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        let escaped = behind.get(..2).filter(|_| *byte == b'%').and_then(|_| decode_bytes(rest.get(..3)?));
        rest = if escaped.is_some() { behind.get(2..).unwrap_or_default() } else { behind };
        out.extend_from_slice(&escaped.unwrap_or_else(|| vec![*byte]));
    }
    out
}

/// The query to ask for: the base's own first, then the caller's without the parameter that carries our credential.
///
/// The parameter is found however it is spelled (any encoding, any case, `name[]`, `;` as a separator), because it is
/// the upstream's reading that counts. Everything else stays byte for byte. Neither holds the leading `?`.
#[must_use]
pub fn query(base: Option<&str>, caller: Option<&str>, own_parameter: Option<&str>) -> Option<String> {
    let mut query = base.unwrap_or_default().to_owned();
    let caller = caller.unwrap_or_default();
    let own = own_parameter.map(parameter_key);
    let mut append = |piece: &str, separator: char| {
        if !query.is_empty() {
            query.push(separator);
        }
        query.push_str(piece);
    };
    match own {
        None if caller.is_empty() => {}
        None => append(caller, '&'),
        Some(own) => {
            for pair in caller.split('&') {
                let mut separator = '&';
                for piece in pair.split(';') {
                    let name = piece.split_once('=').map_or(piece, |(name, _)| name);
                    if !piece.is_empty() && parameter_key(name) != own {
                        append(piece, separator);
                        separator = ';';
                    }
                }
            }
        }
    }
    (!query.is_empty()).then_some(query)
}

/// The name of a parameter as the most lenient upstream reads it.
fn parameter_key(name: &str) -> String {
    let mut bytes = name.as_bytes().to_vec();
    loop {
        let decoded = decode_leniently(&bytes);
        if decoded == bytes {
            break;
        }
        bytes = decoded;
    }
    let text = String::from_utf8_lossy(&bytes);
    let name = text.split(['[', '\0']).next().unwrap_or_default();
    // PHP reads blanks and dots of a name as underscores.
    name.trim_matches(|c: char| c == '+' || c.is_whitespace() || c.is_control())
        .to_lowercase()
        .replace(['.', ' ', '+'], "_")
}

#[cfg(test)]
mod tests;
