//! What the credential of a remote connector may look like: names and values in, a fault that names the field out.
//!
//! The rules are the same for a Secret in a cluster, in a folder and for the JSON document. No fault quotes a value.

/// Bytes of one secret value; more is no credential.
pub const MAX_SECRET: usize = 16 * 1024;

/// Header that carries an API key where none is named.
pub const DEFAULT_KEY_HEADER: &str = "X-API-Key";

/// Why a name or value cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthFault {
    /// No field name of RFC 9110 §5.1.
    #[error("must be the name of a header: letters, digits and !#$%&'*+-.^_`|~")]
    HeaderName,
    /// A header that HTTP, MCP or the gateway itself needs.
    #[error("must not be a header that HTTP or MCP itself uses")]
    ReservedHeader,
    /// No usable name of a query parameter.
    #[error("must be the name of a query parameter: 1 to 128 visible ASCII characters without & = # + %")]
    QueryName,
    /// Empty.
    #[error("must not be empty")]
    Empty,
    /// Longer than [`MAX_SECRET`].
    #[error("must hold at most 16384 bytes")]
    TooLong,
    /// CR, LF, NUL, another control character, or one beyond ASCII, which no header can carry.
    #[error("must hold visible ASCII characters only: no line end, no control character, no blank at either end")]
    Characters,
    /// RFC 7617 §2: a user name ends at the first colon.
    #[error("must not contain ':'")]
    Colon,
    /// RFC 6749 §3.3.
    #[error("must be a scope: visible ASCII characters without blank, quotation mark and backslash")]
    Scope,
}

/// Headers that an API key may not take the place of: framing and routing of HTTP (RFC 9110 §7.6.1, §7.2), what MCP
/// repeats of a message, and what the proxy decides on its own.
const RESERVED_HEADERS: [&str; 15] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-id",
];
const RESERVED_PREFIXES: [&str; 4] = ["mcp-", "proxy-", "x-aperium-", "x-forwarded-"];

/// Checks the name of a header that carries a key.
///
/// # Errors
/// [`AuthFault::HeaderName`], [`AuthFault::ReservedHeader`].
pub fn check_key_header(name: &str) -> Result<(), AuthFault> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > 128 || !name.bytes().all(token) {
        return Err(AuthFault::HeaderName);
    }
    let name = name.to_ascii_lowercase();
    let reserved =
        RESERVED_HEADERS.contains(&name.as_str()) || RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
    if reserved { Err(AuthFault::ReservedHeader) } else { Ok(()) }
}

/// Checks the name of a query parameter that carries a key.
///
/// # Errors
/// [`AuthFault::QueryName`].
pub fn check_key_parameter(name: &str) -> Result<(), AuthFault> {
    let usable = |b: u8| b.is_ascii_graphic() && !b"&=#+%".contains(&b);
    if (1..=128).contains(&name.len()) && name.bytes().all(usable) { Ok(()) } else { Err(AuthFault::QueryName) }
}

/// A secret as a file or Secret holds it, without the line end that editors and `kubectl` leave behind.
#[must_use]
pub fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// Checks a value that goes into a header or a query: bearer token or API key.
///
/// # Errors
/// [`AuthFault::Empty`], [`AuthFault::TooLong`], [`AuthFault::Characters`].
pub fn check_key(value: &str) -> Result<(), AuthFault> {
    check_length(value)?;
    let visible = value.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if visible && !value.starts_with(' ') && !value.ends_with(' ') { Ok(()) } else { Err(AuthFault::Characters) }
}

/// Checks user name and password of HTTP basic (RFC 7617; UTF-8, no control characters).
///
/// # Errors
/// [`AuthFault::Colon`] for the user name, [`AuthFault::Empty`], [`AuthFault::TooLong`], [`AuthFault::Characters`].
pub fn check_basic_user(name: &str) -> Result<(), AuthFault> {
    check_basic_password(name)?;
    if name.contains(':') { Err(AuthFault::Colon) } else { Ok(()) }
}

/// Checks the password of HTTP basic.
///
/// # Errors
/// As [`check_basic_user`], but for the colon.
pub fn check_basic_password(text: &str) -> Result<(), AuthFault> {
    check_length(text)?;
    if text.contains(char::is_control) { Err(AuthFault::Characters) } else { Ok(()) }
}

/// Checks a client id or client secret (RFC 6749 appendix A: VSCHAR).
///
/// # Errors
/// [`AuthFault::Empty`], [`AuthFault::TooLong`], [`AuthFault::Characters`].
pub fn check_client(text: &str) -> Result<(), AuthFault> {
    check_length(text)?;
    if text.bytes().all(|b| (0x20..0x7f).contains(&b)) { Ok(()) } else { Err(AuthFault::Characters) }
}

/// Checks one scope (RFC 6749 §3.3).
///
/// # Errors
/// [`AuthFault::Scope`].
pub fn check_scope(text: &str) -> Result<(), AuthFault> {
    let usable = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    if !text.is_empty() && text.len() <= 256 && text.bytes().all(usable) { Ok(()) } else { Err(AuthFault::Scope) }
}

fn check_length(text: &str) -> Result<(), AuthFault> {
    match text.len() {
        0 => Err(AuthFault::Empty),
        1..=MAX_SECRET => Ok(()),
        _ => Err(AuthFault::TooLong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_into_any_header_that_nobody_else_needs() {
        for good in ["X-API-Key", "Authorization", "apikey", "X_Key", "PRIVATE-TOKEN"] {
            assert_eq!(check_key_header(good), Ok(()), "{good}");
        }
        for bad in ["", "X Key", "X:Key", "X-Key\r\n", "Ключ", &"x".repeat(129)] {
            assert_eq!(check_key_header(bad), Err(AuthFault::HeaderName), "{bad:?}");
        }
        for reserved in [
            "Host",
            "content-LENGTH",
            "Transfer-Encoding",
            "connection",
            "Cookie",
            "Mcp-Session-Id",
            "X-Forwarded-For",
            "X-Aperium-User",
        ] {
            assert_eq!(check_key_header(reserved), Err(AuthFault::ReservedHeader), "{reserved}");
        }
    }

    #[test]
    fn a_query_parameter_has_a_plain_name() {
        for good in ["key", "api_key", "X-Key", "a[b]"] {
            assert_eq!(check_key_parameter(good), Ok(()), "{good}");
        }
        for bad in ["", "a b", "a&b", "a=b", "a#b", "a+b", "%61", "ä", "a\n", &"x".repeat(129)] {
            assert_eq!(check_key_parameter(bad), Err(AuthFault::QueryName), "{bad:?}");
        }
    }

    #[test]
    fn a_value_that_could_end_its_header_is_refused() {
        assert_eq!(check_key("sk-live_A1+/=."), Ok(()));
        assert_eq!(check_key("Token token=abc"), Ok(()));
        for bad in ["a\r\nX: y", "a\nb", "a\0", "a\t", "ключ", " a", "a ", "a\u{7f}"] {
            assert_eq!(check_key(bad), Err(AuthFault::Characters), "{bad:?}");
        }
        assert_eq!(check_key(""), Err(AuthFault::Empty));
        assert_eq!(check_key(&"x".repeat(MAX_SECRET + 1)), Err(AuthFault::TooLong));
        assert_eq!(check_key(without_line_end("abc\r\n")), Ok(()));
        assert_eq!(without_line_end("abc\n\n"), "abc\n", "one line end, not more");
    }

    #[test]
    fn a_user_name_has_no_colon_and_a_password_may() {
        assert_eq!(check_basic_user("api-user@example.com"), Ok(()));
        assert_eq!(check_basic_user("a:b"), Err(AuthFault::Colon));
        assert_eq!(check_basic_password("a:b ü"), Ok(()));
        assert_eq!(check_basic_password("a\nb"), Err(AuthFault::Characters));
    }

    #[test]
    fn scopes_and_clients_are_what_the_rfc_says() {
        assert_eq!(check_scope("https://www.googleapis.com/auth/drive.readonly"), Ok(()));
        for bad in ["", "a b", "a\"", "a\\b", "ä"] {
            assert_eq!(check_scope(bad), Err(AuthFault::Scope), "{bad:?}");
        }
        assert_eq!(check_client("id with blank"), Ok(()));
        assert_eq!(check_client("id\n"), Err(AuthFault::Characters));
    }
}
