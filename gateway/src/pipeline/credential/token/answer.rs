//! The body of a token endpoint's answer → the token and its life (RFC 6749 §5.1). Pure.

use super::exchange::TokenError;
use aperium_core::auth;
use aperium_platform::oauth::life;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;

/// Where the answer names no life. RFC 6749 leaves it to the server's documentation; short is the safe guess.
const DEFAULT_LIFE: Duration = Duration::from_secs(300);

/// A token and how long it lives.
#[derive(Debug)]
pub(super) struct Granted {
    pub(super) access_token: SecretString,
    pub(super) life: Duration,
}

#[derive(Deserialize)]
struct Answer {
    access_token: Option<SecretString>,
    token_type: Option<String>,
    expires_in: Option<Value>,
}

/// Reads the answer of a 200.
///
/// # Errors
/// [`TokenError::Malformed`]; it never quotes the answer.
pub(super) fn granted(body: &[u8]) -> Result<Granted, TokenError> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| TokenError::Malformed("it is no token response"))?;
    let access_token = answer.access_token.ok_or(TokenError::Malformed("it holds no access_token"))?;
    let token = access_token.expose_secret();
    if auth::check_key(token).is_err() || token.contains(' ') {
        return Err(TokenError::Malformed("its access_token is empty, too long, or holds unusable characters"));
    }
    if answer.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(TokenError::Malformed("its token_type is not Bearer"));
    }
    let life = match answer.expires_in {
        None | Some(Value::Null) => DEFAULT_LIFE,
        Some(seconds) => {
            life(&seconds).ok_or(TokenError::Malformed("its expires_in is no number of seconds above 0"))?
        }
    };
    Ok(Granted { access_token, life })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_response_is_read_and_its_life_is_bounded() {
        let life = |text: &str| granted(text.as_bytes()).unwrap().life.as_secs();
        // RFC 6749 §4.4.3.
        let text = r#"{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"example","expires_in":3600}"#;
        assert!(granted(text.as_bytes()).is_err(), "an unknown type of token must not be used (§7.1)");
        assert_eq!(life(&text.replace("example", "bearer")), 3600);
        assert_eq!(life(r#"{"access_token":"a","token_type":"Bearer","expires_in":"7200","x":1}"#), 7200);
        assert_eq!(life(r#"{"access_token":"a"}"#), 300);
        assert_eq!(life(r#"{"access_token":"a","expires_in":null}"#), 300);
        assert_eq!(life(r#"{"access_token":"a","expires_in":1e300}"#), 86_400);
        assert_eq!(life(r#"{"access_token":"a","expires_in":99999999999999999999}"#), 86_400);
    }

    #[test]
    fn anything_else_is_malformed_and_not_quoted() {
        for text in [
            "",
            "<html>hunter2</html>",
            "[]",
            r#"{"access_token":1}"#,
            r#"{"access_token":""}"#,
            r#"{"access_token":"hunter2 x"}"#,
            r#"{"access_token":"hunter2\r\nX: y"}"#,
            r#"{"access_token":"a","access_token":"hunter2"}"#,
            r#"{"access_token":"hunter2","expires_in":0}"#,
            r#"{"access_token":"hunter2","expires_in":-5}"#,
            r#"{"access_token":"hunter2","expires_in":"soon"}"#,
            r#"{"access_token":"hunter2","expires_in":"NaN"}"#,
            r#"{"access_token":"hunter2","expires_in":[1]}"#,
            r#"{"access_token":"hunter2","token_type":"mac"}"#,
            r#"{"token":"hunter2"}"#,
        ] {
            let error = granted(text.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}
