//! One question to a token endpoint (RFC 6749 §4.4.2), asked in the one or the other way of client authentication
//! (§2.3.1): HTTP basic first, in the body where the server does not take that.

use super::Client;
use super::answer::{self, Granted};
use aperium_platform::egress::{EgressError, ExternalClient};
use aperium_platform::oauth;
use axum::body::Body;
use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use secrecy::ExposeSecret as _;
use std::time::Duration;
use url::form_urlencoded;

/// From the connection to the last byte of the answer.
const LIMIT: Duration = Duration::from_secs(10);
/// Bytes of an answer. A token is a few kilobytes at most.
const MAX_ANSWER: usize = 64 * 1024;

/// Why there is no token. Holds nothing that the token endpoint wrote but a code of RFC 6749 §5.2.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum TokenError {
    /// The token endpoint cannot be reached.
    #[error("token endpoint: {0}")]
    Egress(#[from] EgressError),
    /// It refused: 400, 401 or 403.
    #[error("the token endpoint refused with HTTP {status} ({code})")]
    Refused {
        /// The status.
        status: u16,
        /// A code of the specification, or "no known error code".
        code: &'static str,
    },
    /// It answered with another status.
    #[error("the token endpoint answered with HTTP {0}")]
    Status(u16),
    /// Its answer is no token response.
    #[error("the token endpoint's answer cannot be used: {0}")]
    Malformed(&'static str),
    /// Its answer broke off or is larger than 64 KiB.
    #[error("the token endpoint's answer broke off or is too large")]
    Broken,
    /// No whole answer within 10 s.
    #[error("the token endpoint did not answer in time")]
    Timeout,
    /// The gateway is stopping.
    #[error("the token request was interrupted")]
    Interrupted,
}

impl TokenError {
    /// The reason for conditions and metric labels.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Egress(error) => error.reason(),
            Self::Refused { .. } => "TokenRefused",
            Self::Status(_) | Self::Broken | Self::Interrupted => "TokenRequestFailed",
            Self::Malformed(_) => "TokenMalformed",
            Self::Timeout => "TokenRequestTimeout",
        }
    }
}

/// How a client says who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// `client_secret_basic`.
    Basic,
    /// `client_secret_post`.
    Post,
}

/// Asks for a token. `style`: what worked last time; found out and remembered where nothing did.
///
/// # Errors
/// [`TokenError`].
pub(super) async fn grant(
    external: &ExternalClient,
    client: &Client,
    style: &mut Option<Style>,
) -> Result<Granted, TokenError> {
    let asked = async {
        if let Some(known) = *style {
            let outcome = once(external, client, known).await;
            if outcome.as_ref().is_err_and(about_authentication) {
                *style = None;
            }
            return outcome;
        }
        let first = once(external, client, Style::Basic).await;
        let (used, outcome) = match first {
            Err(error) if about_authentication(&error) => (Style::Post, once(external, client, Style::Post).await),
            other => (Style::Basic, other),
        };
        *style = outcome.is_ok().then_some(used);
        outcome
    };
    tokio::time::timeout(LIMIT, asked).await.unwrap_or(Err(TokenError::Timeout))
}

/// Whether the answer may be about the way of authentication, so that the other way is worth a try.
fn about_authentication(error: &TokenError) -> bool {
    match error {
        TokenError::Refused { status, code } => {
            *status == 401 || matches!(*code, "invalid_client" | "invalid_request" | oauth::UNKNOWN_CODE)
        }
        _ => false,
    }
}

async fn once(external: &ExternalClient, client: &Client, style: Style) -> Result<Granted, TokenError> {
    let response = external.send(request(client, style)).await?;
    let status = response.status();
    let body = collect(Limited::new(response.into_body(), MAX_ANSWER)).await;
    match status {
        StatusCode::OK => answer::granted(&body?),
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let code = oauth::error_code(&body.unwrap_or_default());
            Err(TokenError::Refused { status: status.as_u16(), code })
        }
        other => Err(TokenError::Status(other.as_u16())),
    }
}

async fn collect<B: http_body::Body<Data = Bytes> + Unpin>(body: B) -> Result<Bytes, TokenError> {
    body.collect().await.map(http_body_util::Collected::to_bytes).map_err(|_| TokenError::Broken)
}

fn request(client: &Client, style: Style) -> Request<Body> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if !client.scope.is_empty() {
        form.append_pair("scope", &client.scope);
    }
    if style == Style::Post {
        form.append_pair("client_id", &client.id).append_pair("client_secret", client.secret.expose_secret());
    }
    let mut request = Request::new(Body::from(form.finish()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = client.token_url.clone();
    let headers = request.headers_mut();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    if style == Style::Basic
        && let Some(value) = basic(client)
    {
        headers.insert(header::AUTHORIZATION, value);
    }
    request
}

/// Both parts in form encoding first (RFC 6749 §2.3.1).
fn basic(client: &Client) -> Option<HeaderValue> {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encode(&client.id), encode(client.secret.expose_secret()));
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
    let mut value = HeaderValue::from_str(&format!("Basic {encoded}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Uri;

    fn client(scope: &str) -> Client {
        Client {
            token_url: Uri::from_static("https://auth.example.com/token?tenant=1"),
            scope: scope.to_owned(),
            id: "s6BhdRkqt3".to_owned(),
            secret: "gX1fBat3bV+/ :".to_owned().into(),
        }
    }

    async fn body(request: Request<Body>) -> String {
        String::from_utf8(request.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_request_is_what_rfc_6749_says() {
        let basic = request(&client("read:data write"), Style::Basic);
        assert_eq!(
            (basic.method(), basic.uri().to_string().as_str()),
            (&Method::POST, "https://auth.example.com/token?tenant=1")
        );
        let expected = base64::engine::general_purpose::STANDARD.encode("s6BhdRkqt3:gX1fBat3bV%2B%2F+%3A");
        assert_eq!(basic.headers()[header::AUTHORIZATION], format!("Basic {expected}"));
        assert!(basic.headers()[header::AUTHORIZATION].is_sensitive());
        assert_eq!(body(basic).await, "grant_type=client_credentials&scope=read%3Adata+write");
        let post = request(&client(""), Style::Post);
        assert!(!post.headers().contains_key(header::AUTHORIZATION));
        assert_eq!(
            body(post).await,
            "grant_type=client_credentials&client_id=s6BhdRkqt3&client_secret=gX1fBat3bV%2B%2F+%3A"
        );
    }

    #[test]
    fn only_an_answer_about_the_client_makes_us_try_the_other_way() {
        let refused = |status, code| about_authentication(&TokenError::Refused { status, code });
        assert!(refused(401, "invalid_grant") && refused(400, "invalid_client") && refused(400, "invalid_request"));
        assert!(!refused(400, "invalid_scope") && !refused(403, "unauthorized_client"));
        assert!(!about_authentication(&TokenError::Status(500)) && !about_authentication(&TokenError::Timeout));
    }
}
