//! How Prefect is told who asks: the credential fields come in, headers marked as sensitive go out.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use crate::connector::{ToolError, Upstream};

/// How many headers of their own a proxy in front of Prefect may want.
const MAX_CUSTOM_HEADERS: usize = 16;

/// Headers that are ours to set, and those that belong to one connection alone (RFC 9110 §7.6.1).
const RESERVED: [HeaderName; 13] = [
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::AUTHORIZATION,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::EXPECT,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
];

/// The headers of every request.
pub(super) fn headers(up: &Upstream) -> Result<HeaderMap, ToolError> {
    let mut headers = custom(up)?;
    if let Some(authorization) = authorization(up)? {
        headers.insert(header::AUTHORIZATION, authorization);
    }
    Ok(headers)
}

/// `Bearer` for a key of Prefect Cloud, `Basic` for the auth string of a server, nothing for an open server.
fn authorization(up: &Upstream) -> Result<Option<HeaderValue>, ToolError> {
    let text = match (up.optional_text("api_key"), up.optional_text("auth_string")) {
        (Some(_), Some(_)) => {
            return Err(ToolError::invalid("give either \"api_key\" or \"auth_string\", not both"));
        }
        (Some(key), None) => Zeroizing::new(format!("Bearer {key}")),
        (None, Some(auth)) => Zeroizing::new(format!("Basic {}", STANDARD.encode(auth))),
        (None, None) => return Ok(None),
    };
    sensitive(&text)
        .map(Some)
        .ok_or_else(|| ToolError::invalid("the credential field \"api_key\" is no key of Prefect"))
}

/// `custom_headers`: one JSON object of names and values.
fn custom(up: &Upstream) -> Result<HeaderMap, ToolError> {
    let Some(json) = up.optional_secret("custom_headers") else { return Ok(HeaderMap::new()) };
    let wrong = |what: &str| ToolError::invalid(format!("the credential field \"custom_headers\" {what}"));
    let given: BTreeMap<String, SecretString> =
        serde_json::from_str(json.expose_secret()).map_err(|_| wrong("is no JSON object of names and texts"))?;
    if given.len() > MAX_CUSTOM_HEADERS {
        return Err(wrong("holds too many headers"));
    }
    let mut headers = HeaderMap::with_capacity(given.len());
    for (name, value) in &given {
        let name = HeaderName::try_from(name).map_err(|_| wrong("holds a name that no header can have"))?;
        if RESERVED.contains(&name) || name.as_str().starts_with("prefect-csrf-") {
            return Err(wrong(&format!("must not set {name}")));
        }
        let value =
            sensitive(value.expose_secret()).ok_or_else(|| wrong(&format!("holds a value that {name} cannot have")))?;
        headers.insert(name, value);
    }
    Ok(headers)
}

/// A header value that no log prints and no compression table keeps.
pub(super) fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::super::tests::upstream;
    use super::*;
    use crate::connector::ErrorCode;

    #[test]
    fn a_key_is_a_bearer_an_auth_string_is_basic_and_neither_is_fine() {
        let of = |fields: &[(&str, &str)]| headers(&upstream(fields)).unwrap().remove(header::AUTHORIZATION);
        let key = of(&[("api_key", " pnu_abc\n")]).unwrap();
        assert_eq!(key.to_str().unwrap(), "Bearer pnu_abc");
        assert!(key.is_sensitive() && !format!("{key:?}").contains("pnu_abc"));
        assert_eq!(of(&[("auth_string", "admin:s3cret")]).unwrap(), "Basic YWRtaW46czNjcmV0");
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn two_credentials_or_one_that_no_header_can_hold_are_refused_without_being_shown() {
        for fields in [&[("api_key", "geheim"), ("auth_string", "a:geheim")][..], &[("api_key", "geh\neim")][..]] {
            let error = headers(&upstream(fields)).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidArgument);
            assert!(!error.message.contains("geh"), "{}", error.message);
        }
    }

    #[test]
    fn custom_headers_are_added_but_never_replace_ours() {
        let good = headers(&upstream(&[("custom_headers", r#"{"CF-Access-Client-Secret":"geheim"}"#)])).unwrap();
        assert_eq!(good["cf-access-client-secret"], "geheim");
        assert!(!format!("{good:?}").contains("geheim"));
        for wrong in [
            "geheim",
            "[]",
            r#"{"a":1}"#,
            r#"{"a b":"geheim"}"#,
            r#"{"Authorization":"geheim"}"#,
            r#"{"host":"geheim"}"#,
            r#"{"Prefect-Csrf-Token":"geheim"}"#,
            r#"{"a":"gehe\nim"}"#,
        ] {
            let error = headers(&upstream(&[("custom_headers", wrong)])).unwrap_err();
            assert!(!error.message.contains("gehe"), "{}", error.message);
        }
    }
}
