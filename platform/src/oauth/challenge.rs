//! `WWW-Authenticate` of a 401 or 403 → what its Bearer challenge says (RFC 9110 §11.6.1, RFC 9728 §5.1). Pure.

use super::scope;
use http::{HeaderMap, header};

/// Bytes of one header value that are looked at.
const MAX_VALUE: usize = 8 * 1024;

/// The Bearer challenge of an upstream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Challenge {
    /// Where the resource metadata are.
    pub resource_metadata: Option<String>,
    /// The scopes that the request needs.
    pub scopes: Vec<String>,
    /// The error code.
    pub error: Option<String>,
}

impl Challenge {
    /// The first Bearer challenge of an answer.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(header::WWW_AUTHENTICATE).iter();
        values.filter_map(|value| value.to_str().ok()).filter(|text| text.len() <= MAX_VALUE).find_map(parse)
    }

    /// Whether a token was good and its scopes were not enough.
    #[must_use]
    pub fn wants_more_scope(&self) -> bool {
        self.error.as_deref() == Some("insufficient_scope")
    }
}

fn parse(text: &str) -> Option<Challenge> {
    let mut found: Option<Challenge> = None;
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = rest.split_at(rest.find([' ', '\t', ',', '=', '"']).unwrap_or(rest.len()));
        if word.is_empty() {
            // The end, or something that no challenge has: what was read so far counts.
            return found;
        }
        let Some(value) = after.trim_start().strip_prefix('=') else {
            if found.is_some() {
                // The next scheme.
                return found;
            }
            found = word.eq_ignore_ascii_case("bearer").then(Challenge::default);
            rest = after;
            continue;
        };
        let (value, after) = read_value(value.trim_start())?;
        if let Some(challenge) = &mut found {
            match word.to_ascii_lowercase().as_str() {
                "resource_metadata" => challenge.resource_metadata = Some(value),
                "scope" => challenge.scopes = scope::parse(&value),
                "error" => challenge.error = Some(value),
                _ => {}
            }
        }
        rest = after;
    }
}

/// A token or a quoted string, and what follows it.
fn read_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, after) = text.split_at(text.find([' ', '\t', ',']).unwrap_or(text.len()));
        return Some((value.to_owned(), after));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, quoted.get(at + 1..)?)),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn of(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        Challenge::of(&headers)
    }

    #[test]
    fn the_bearer_challenge_is_found_among_others_in_every_spelling() {
        let plain = r#"Bearer error="insufficient_scope", scope="a b", resource_metadata="https://a.example/x?y=1,2""#;
        let found = of(&[plain]).unwrap();
        assert_eq!(found.scopes, ["a", "b"]);
        assert_eq!(found.resource_metadata.as_deref(), Some("https://a.example/x?y=1,2"));
        assert!(found.wants_more_scope());
        let mixed = of(&[r#"Basic realm="x", bearer scope = a ,error=invalid_token, Digest scope="z""#]).unwrap();
        assert_eq!((mixed.scopes.as_slice(), mixed.error.as_deref()), (&["a".to_owned()][..], Some("invalid_token")));
        assert_eq!(of(&["Negotiate", r#"Bearer realm="a\"b""#]), Some(Challenge::default()));
        assert_eq!(of(&["Basic dG9rZW4=="]), None);
    }

    #[test]
    fn what_cannot_be_read_says_nothing() {
        assert_eq!(of(&[r#"Bearer scope="a"#]), None, "an open quotation");
        assert_eq!(of(&[&format!("Bearer scope=\"{}\"", "a".repeat(MAX_VALUE))]), None);
        assert_eq!(of(&[r#"Bearer scope="a" "" x"#]).unwrap().scopes, ["a"]);
        assert_eq!(of(&["Bearer scope=\"a\\\\b ok\""]).unwrap().scopes, ["ok"], "no scope has a backslash");
    }
}
