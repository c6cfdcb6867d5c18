//! The service token: a file or a fixed value in, "does this request carry it" out.
//!
//! The file may hold two lines (old and new) while a token is being rotated; it is read again when it changed.

use std::{fmt, path::PathBuf, sync::Arc};

use axum::{
    Json,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

pub(crate) mod file;
mod tokens;

use file::TokenFile;
pub use tokens::TokenProblem;
use tokens::Tokens;

/// Where a service's token comes from. Cheap to clone and to ask.
#[derive(Clone)]
pub struct TokenSource(Arc<Kind>);

enum Kind {
    Fixed(Result<Tokens, TokenProblem>),
    File(TokenFile),
}

// === impl TokenSource ===

impl TokenSource {
    /// A token file. It need not exist yet. It is looked at again at most every 500 ms, and read again when its inode,
    /// size or time of change differ (a Kubernetes volume swaps a symbolic link).
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Arc::new(Kind::File(TokenFile::new(path.into()))))
    }

    /// A token that stays what it is, in the same form as a token file. An empty one counts as not loaded.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "the caller hands the secret over; its copy is wiped here")]
    pub fn fixed(token: SecretString) -> Self {
        Self(Arc::new(Kind::Fixed(Tokens::parse(token.expose_secret().as_bytes()))))
    }

    /// Is `presented` one of the accepted tokens? Takes the same time whichever it is, or if it is none.
    #[must_use]
    pub fn accepts(&self, presented: &str) -> bool {
        self.with(|tokens| tokens.is_ok_and(|tokens| tokens.accept(presented.as_bytes())))
    }

    /// Is there a token at all? Without one nothing is accepted.
    #[must_use]
    pub fn loaded(&self) -> bool {
        self.problem().is_none()
    }

    /// Why there is no token.
    #[must_use]
    pub fn problem(&self) -> Option<TokenProblem> {
        self.with(|tokens| tokens.err())
    }

    /// The first line: what a client presents.
    #[must_use]
    pub fn current(&self) -> Option<SecretString> {
        self.with(|tokens| tokens.ok().map(Tokens::first))
    }

    /// Does the request carry exactly one `Authorization: Bearer <token>` that is accepted?
    #[must_use]
    pub fn accepts_headers(&self, headers: &HeaderMap) -> bool {
        presented(headers).is_some_and(|token| self.accepts(token))
    }

    fn with<T>(&self, ask: impl FnOnce(Result<&Tokens, TokenProblem>) -> T) -> T {
        match &*self.0 {
            Kind::Fixed(tokens) => ask(tokens.as_ref().map_err(|problem| *problem)),
            Kind::File(file) => {
                let tokens = file.tokens();
                ask(tokens.as_ref().as_ref().map_err(|problem| *problem))
            }
        }
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::Fixed(_) => f.write_str("TokenSource::fixed(..)"),
            Kind::File(file) => f.debug_tuple("TokenSource::file").field(&file.path()).finish(),
        }
    }
}

/// The token of the one `Authorization: Bearer` header (RFC 6750 §2.1), or `None`: no header, two headers, another scheme.
#[must_use]
pub fn presented(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Middleware: 401 with a challenge for every request that does not carry the token (RFC 6750 §3).
pub async fn require_bearer(State(tokens): State<TokenSource>, request: Request, next: Next) -> Response {
    if tokens.accepts_headers(request.headers()) { next.run(request).await } else { unauthorized(request.headers()) }
}

/// The 401 of [`require_bearer`]: a challenge, and an error code only when a token was presented.
fn unauthorized(headers: &HeaderMap) -> Response {
    let challenge =
        if headers.contains_key(header::AUTHORIZATION) { "Bearer error=\"invalid_token\"" } else { "Bearer" };
    let mut response = (StatusCode::UNAUTHORIZED, Json(json!({"error": "unauthorized"}))).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

#[cfg(test)]
mod tests;
