//! What is sent to a token or revocation endpoint, and what a token endpoint's answer holds (RFC 6749 §4.1.3, §5, §6;
//! RFC 7009). Pure.

use super::{Client, ClientAuth, OauthError, scope};
use crate::json::check_strict;
use aperium_core::auth::check_key;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use url::form_urlencoded;
use zeroize::Zeroizing;

pub(super) const WHAT: &str = "the token endpoint";
/// No token is believed to live longer than a day.
const MAX_LIFE: Duration = Duration::from_secs(24 * 60 * 60);
/// What stands for a code that the specification does not know.
pub const UNKNOWN_CODE: &str = "no known error code";
const CODES: [&str; 8] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
    "unsupported_token_type",
];

/// What a token endpoint gave.
#[derive(Debug)]
pub struct Granted {
    /// Goes into requests.
    pub access: SecretString,
    /// Renews it; without one the user has to consent again when it ends.
    pub refresh: Option<SecretString>,
    /// How long it lives; nothing: as long as the upstream takes it.
    pub life: Option<Duration>,
    /// The scopes that it has; nothing: those that were asked for.
    pub scopes: Option<Vec<String>>,
}

/// A form and the header that authenticates it.
pub struct Form {
    /// The body.
    pub body: Zeroizing<String>,
    /// The header, where the client authenticates with one.
    pub authorization: Option<HeaderValue>,
}

/// Puts a request together, authenticated in one way.
#[must_use]
pub fn form(client: &Client, auth: ClientAuth, fields: &[(&str, &str)]) -> Form {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    let secret = client.secret.as_ref().map_or("", |secret| secret.expose_secret());
    let mut authorization = None;
    match auth {
        ClientAuth::Public => {
            form.append_pair("client_id", &client.id);
        }
        ClientAuth::Post => {
            form.append_pair("client_id", &client.id).append_pair("client_secret", secret);
        }
        ClientAuth::Basic | ClientAuth::Either => authorization = basic(&client.id, secret),
    }
    Form { body: Zeroizing::new(form.finish()), authorization }
}

/// Both parts in form encoding first (RFC 6749 §2.3.1).
fn basic(id: &str, secret: &str) -> Option<HeaderValue> {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = Zeroizing::new(format!("{}:{}", encode(id), encode(secret)));
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair.as_bytes()))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Reads the answer of a 200.
pub(super) fn granted(body: &[u8]) -> Result<Granted, OauthError> {
    #[derive(Deserialize)]
    struct Answer {
        access_token: SecretString,
        token_type: String,
        refresh_token: Option<SecretString>,
        expires_in: Option<Value>,
        scope: Option<String>,
    }
    let malformed = |problem| OauthError::Malformed { what: WHAT, problem };
    check_strict(body).map_err(|_| malformed("its answer is no JSON object with unique keys"))?;
    let answer: Answer = serde_json::from_slice(body).map_err(|_| malformed("its answer is no token response"))?;
    if !answer.token_type.eq_ignore_ascii_case("bearer") {
        return Err(malformed("its token_type is not Bearer"));
    }
    let refresh = answer.refresh_token.filter(|token| !token.expose_secret().is_empty());
    for token in std::iter::once(&answer.access_token).chain(&refresh) {
        if check_key(token.expose_secret()).is_err() || token.expose_secret().contains(' ') {
            return Err(malformed("a token is empty, too long, or holds unusable characters"));
        }
    }
    let life = match answer.expires_in {
        None | Some(Value::Null) => None,
        Some(seconds) => Some(life(&seconds).ok_or(malformed("its expires_in is no number of seconds above 0"))?),
    };
    let scopes = answer.scope.map(|text| scope::parse(&text)).filter(|scopes| !scopes.is_empty());
    Ok(Granted { access: answer.access_token, refresh, life, scopes })
}

/// How long a token lives, at most a day; `None` where `expires_in` is no number of seconds above 0. Some servers write
/// the number as a text.
#[must_use]
pub fn life(seconds: &Value) -> Option<Duration> {
    let seconds = match seconds {
        Value::String(text) => text.parse().ok()?,
        Value::Number(number) => number.as_f64()?,
        _ => return None,
    };
    (seconds >= 1.0).then(|| Duration::from_secs_f64(seconds.min(MAX_LIFE.as_secs_f64())))
}

/// The code of an error answer (RFC 6749 §5.2), or [`UNKNOWN_CODE`]: the server's own text may hold anything.
#[must_use]
pub fn error_code(body: &[u8]) -> &'static str {
    #[derive(Deserialize)]
    struct Error {
        error: String,
    }
    let told = serde_json::from_slice::<Error>(body).map(|answer| answer.error).unwrap_or_default();
    CODES.into_iter().find(|code| *code == told).unwrap_or(UNKNOWN_CODE)
}

/// Whether a refusal may be about the way of authentication, so that the other way is worth a try.
pub(super) fn about_authentication(error: &OauthError) -> bool {
    match error {
        OauthError::Refused { status, code, .. } => *status == 401 || *code == "invalid_client",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> Client {
        Client { id: "s6Bh:d".into(), secret: Some("gX1fBat3bV+/".into()), auth: ClientAuth::Either }
    }

    #[test]
    fn a_client_authenticates_in_each_of_the_three_ways() {
        let basic = form(&client(), ClientAuth::Basic, &[("grant_type", "refresh_token")]);
        assert_eq!(basic.body.as_str(), "grant_type=refresh_token");
        let expected = format!("Basic {}", STANDARD.encode("s6Bh%3Ad:gX1fBat3bV%2B%2F"));
        let header = basic.authorization.unwrap();
        assert!(header == expected && header.is_sensitive());
        let post = form(&client(), ClientAuth::Post, &[("a", "b")]);
        assert_eq!(post.body.as_str(), "a=b&client_id=s6Bh%3Ad&client_secret=gX1fBat3bV%2B%2F");
        let public = form(&client(), ClientAuth::Public, &[("a", "b")]);
        assert!(public.body.as_str() == "a=b&client_id=s6Bh%3Ad" && public.authorization.is_none());
    }

    #[test]
    fn a_token_response_is_read_and_its_life_is_bounded() {
        let read = |rest: &str| granted(format!(r#"{{"access_token":"a","token_type":"bearer"{rest}}}"#).as_bytes());
        let all = read(r#","expires_in":3600,"refresh_token":"r","scope":"x y","id_token":"z""#).unwrap();
        assert_eq!((all.life, all.refresh.unwrap().expose_secret()), (Some(Duration::from_secs(3600)), "r"));
        assert_eq!(all.scopes.unwrap(), ["x", "y"]);
        let bare = read("").unwrap();
        assert!(bare.life.is_none() && bare.refresh.is_none() && bare.scopes.is_none());
        assert!(read(r#","refresh_token":"""#).unwrap().refresh.is_none());
        assert_eq!(read(r#","expires_in":1e300"#).unwrap().life, Some(MAX_LIFE));
        assert_eq!(read(r#","expires_in":"7200""#).unwrap().life, Some(Duration::from_secs(7200)));
    }

    #[test]
    fn anything_else_is_malformed_and_not_quoted() {
        for text in [
            "",
            "<html>hunter2</html>",
            "[]",
            r#"{"access_token":"hunter2"}"#,
            r#"{"access_token":"hunter2","token_type":"mac"}"#,
            r#"{"access_token":"hunter2","token_type":"DPoP"}"#,
            r#"{"access_token":"","token_type":"Bearer"}"#,
            r#"{"access_token":"hunter2 x","token_type":"Bearer"}"#,
            r#"{"access_token":"hunter2\r\nX: y","token_type":"Bearer"}"#,
            r#"{"access_token":"a","access_token":"hunter2","token_type":"Bearer"}"#,
            r#"{"access_token":"hunter2","token_type":"Bearer","refresh_token":"hunter2\n"}"#,
            r#"{"access_token":"hunter2","token_type":"Bearer","expires_in":0}"#,
            r#"{"access_token":"hunter2","token_type":"Bearer","expires_in":-5}"#,
            r#"{"access_token":"hunter2","token_type":"Bearer","expires_in":"soon"}"#,
            r#"{"access_token":"hunter2","token_type":"Bearer","expires_in":[1]}"#,
        ] {
            let error = granted(text.as_bytes()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        assert_eq!(error_code(br#"{"error":"invalid_grant","error_description":"hunter2"}"#), "invalid_grant");
        assert_eq!(error_code(br#"{"error":"hunter2"}"#), UNKNOWN_CODE);
    }

    #[test]
    fn an_error_is_named_by_its_code_alone() {
        assert_eq!(error_code(br#"{"error":"invalid_client","error_description":"hunter2"}"#), "invalid_client");
        for text in [&b"<html>"[..], br#"{"error":"hunter2"}"#, br#"{"error":{}}"#, b""] {
            assert_eq!(error_code(text), UNKNOWN_CODE);
        }
    }
}
