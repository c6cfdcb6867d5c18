//! A credential's place in a request: one header, or one query parameter. Whatever else has that name goes.

use super::CredentialError;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};

/// RFC 3986 §2.3: everything but unreserved characters is encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Name and value, ready to be inserted.
#[derive(Debug)]
pub(super) enum Injection {
    /// A header; its value is marked as sensitive.
    Header(HeaderName, HeaderValue),
    /// A query parameter: its name as configured, and `name=value` in encoded form.
    Parameter(String, SecretString),
}

impl Injection {
    /// A header with a value that was checked before; `None` for one that no header can carry.
    pub(super) fn header(name: HeaderName, value: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        Some(Self::Header(name, value))
    }

    /// A query parameter.
    pub(super) fn parameter(name: &str, value: &str) -> Self {
        let pair = format!("{}={}", encode(name), encode(value));
        Self::Parameter(name.to_owned(), SecretString::from(pair))
    }

    /// Inserts it.
    ///
    /// # Errors
    /// [`CredentialError::Url`] when the URL becomes too long.
    pub(super) fn write_into(&self, headers: &mut HeaderMap, uri: &mut Uri) -> Result<(), CredentialError> {
        match self {
            Self::Header(name, value) => {
                headers.insert(name, value.clone());
                Ok(())
            }
            Self::Parameter(name, pair) => {
                *uri = with_parameter(uri, name, pair.expose_secret()).ok_or(CredentialError::Url)?;
                Ok(())
            }
        }
    }
}

/// A text as it stands in a query.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

fn with_parameter(uri: &Uri, name: &str, pair: &str) -> Option<Uri> {
    let mut query = String::new();
    for other in uri.query().unwrap_or_default().split('&') {
        if !other.is_empty() && !is_named(other, name) {
            query.push_str(other);
            query.push('&');
        }
    }
    query.push_str(pair);
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{}?{query}", uri.path()).parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// Whether a pair has this name, in whatever encoding: a server that decodes `%6Bey` or `k+y` must not find two.
fn is_named(pair: &str, name: &str) -> bool {
    let written = pair.split_once('=').map_or(pair, |(name, _)| name).replace('+', " ");
    let decoded = percent_decode_str(&written).decode_utf8_lossy();
    // Servers differ in whether names have a case and whether blanks around them count.
    decoded.trim().eq_ignore_ascii_case(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inserted(injection: &Injection, uri: &str) -> (HeaderMap, String) {
        let mut headers = HeaderMap::new();
        headers.append("x-key", HeaderValue::from_static("callers"));
        headers.append("x-key", HeaderValue::from_static("callers-second"));
        let mut uri: Uri = uri.parse().unwrap();
        injection.write_into(&mut headers, &mut uri).unwrap();
        (headers, uri.to_string())
    }

    #[test]
    fn a_header_takes_the_place_of_all_of_its_name() {
        let injection = Injection::header(HeaderName::from_static("x-key"), "ours").unwrap();
        let (headers, _) = inserted(&injection, "https://a.example/x");
        assert_eq!(headers.get_all("x-key").iter().collect::<Vec<_>>(), ["ours"]);
        assert!(headers["x-key"].is_sensitive() && !format!("{headers:?}{injection:?}").contains("ours"));
        assert!(Injection::header(HeaderName::from_static("x-key"), "a\r\nb").is_none());
    }

    #[test]
    fn a_parameter_takes_the_place_of_all_of_its_name_in_any_encoding() {
        let injection = Injection::parameter("key", "a b&c=ü/+");
        let ours = "key=a%20b%26c%3D%C3%BC%2F%2B";
        for (query, rest) in [
            ("", ""),
            ("?x=1", "x=1&"),
            ("?key=theirs", ""),
            ("?x=1&key=theirs&y=2&KEY=x&%6Bey=x&k%65y&+key=x&&", "x=1&y=2&"),
            ("?keys=1&key[]=2", "keys=1&key[]=2&"),
        ] {
            let (_, uri) = inserted(&injection, &format!("https://a.example/base/p%2Fq{query}"));
            assert_eq!(uri, format!("https://a.example/base/p%2Fq?{rest}{ours}"));
        }
        assert!(!format!("{injection:?}").contains("a%20b"));
        let (_, relative) = inserted(&injection, "/mcp?key=theirs");
        assert_eq!(relative, format!("/mcp?{ours}"));
    }
}
