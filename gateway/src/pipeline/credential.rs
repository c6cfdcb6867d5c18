//! What the gateway adds so that the upstream lets it in: inserted last, after everything that came from the caller
//! was left behind; and taken out of what comes back, should the upstream repeat it.
//!
//! ```text
//! Auth (Catalog), values (Secret) ──material──► Injection ─────────────► header or query of the request
//!                                 └──────────► Tokens ──token endpoint──► Injection
//! answer ──mask──► the same answer without the credential
//! ```

use crate::consent::{ConsentError, Latest, Personal};
use http::{HeaderMap, StatusCode, Uri};
use std::sync::Arc;

mod inject;
mod mask;
mod material;
mod remote;
mod service;
mod spellings;
mod token;

pub(crate) use mask::Masked;
pub(crate) use remote::{Condition, Remote};
pub(crate) use service::ServiceToken;
pub(crate) use token::TokenError;

use mask::Mask;

/// Why a request must not be sent: the credential that belongs to it is not there.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CredentialError {
    /// The token of a managed service is not there (yet).
    #[error("its service token is not available")]
    ServiceToken,
    /// The Secret of a remote connector cannot be used.
    #[error("its credential is not available: {0}")]
    Unresolved(#[from] crate::secrets::Unresolved),
    /// The token endpoint gave no token.
    #[error("it got no access token: {0}")]
    Token(#[from] Arc<TokenError>),
    /// A call cannot have the lease that it needs.
    #[error("its lease could not be made: {0}")]
    Lease(&'static str),
    /// The service is another tenant's.
    #[error("it serves another tenant")]
    OtherTenant,
    /// The caller has not authorised the gateway.
    #[error("{0}")]
    Consent(#[from] ConsentError),
    /// The credential does not fit into the request's URL.
    #[error("its URL cannot carry the credential")]
    Url,
}

impl CredentialError {
    /// The reason for conditions and metric labels.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::ServiceToken => "TokenMissing",
            Self::Unresolved(why) => why.reason,
            Self::Token(error) => error.reason(),
            Self::Lease(reason) => reason,
            Self::OtherTenant => "OtherTenant",
            Self::Consent(error) => error.reason(),
            Self::Url => "InvalidUrl",
        }
    }

    /// What a caller may read: neither the Secret's name nor the token endpoint.
    pub(crate) fn outside(&self) -> &'static str {
        match self {
            Self::ServiceToken => "its service token is not available",
            Self::Token(_) => "its credential could not be obtained",
            Self::Lease(_) => "its lease is not available",
            Self::OtherTenant => "it serves another tenant",
            Self::Consent(error) => error.outside(),
            Self::Unresolved(_) | Self::Url => "its credential is not available",
        }
    }
}

/// What an upstream wants to see.
#[derive(Debug, Clone)]
pub(crate) enum Credential {
    /// Nothing: a remote server that lets anyone in.
    Nothing,
    /// The token of a managed service.
    Service(Arc<ServiceToken>),
    /// The shared credential of a remote connector.
    Remote(Arc<Remote>),
    /// The token of one person, for the requests of that person.
    Personal(Arc<Personal>),
    /// The token of whoever consented last, to find out what there is.
    Latest(Arc<Latest>),
    /// Of a connector whose users have tokens of their own: nothing is sent in the name of nobody.
    Nobody,
}

/// What was inserted into one request, for its answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Inserted {
    mask: Option<Arc<Mask>>,
    token: Option<Arc<token::Token>>,
}

impl Credential {
    /// Inserts it into the headers or the query; whatever of that name was there is replaced. Client credentials may
    /// have to be fetched first: once for all who wait, within 10 s.
    ///
    /// # Errors
    /// [`CredentialError`]: the request must not be sent without.
    pub(crate) async fn insert(&self, headers: &mut HeaderMap, uri: &mut Uri) -> Result<Inserted, CredentialError> {
        match self {
            Self::Nothing => Ok(Inserted::default()),
            Self::Service(token) => token.insert(headers).map(|()| Inserted::default()),
            Self::Remote(remote) => remote.insert(headers, uri).await,
            Self::Personal(personal) => personal.insert(headers).await,
            Self::Latest(latest) => latest.insert(headers).await,
            Self::Nobody => Err(ConsentError::Needed.into()),
        }
    }

    /// The upstream has answered a request that carried it: 401 and 403 say that it was refused. The request is not
    /// repeated; a token is fetched anew, and a Secret read again, for the next one.
    pub(crate) fn answered(&self, inserted: &Inserted, status: StatusCode) {
        match (self, status) {
            (Self::Service(token), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => token.refused(),
            (Self::Remote(remote), StatusCode::UNAUTHORIZED) => remote.refused(inserted),
            (Self::Personal(personal), StatusCode::UNAUTHORIZED) => personal.refused(),
            (Self::Latest(latest), StatusCode::UNAUTHORIZED) => latest.refused(),
            _ => {}
        }
    }

    /// The upstream has answered 403 to a request with a person's token.
    ///
    /// # Errors
    /// [`ConsentError::MoreScope`]: the person has to be asked for more. [`ConsentError::AskedAlready`].
    pub(crate) async fn forbidden(&self, headers: &HeaderMap) -> Result<(), CredentialError> {
        match self {
            Self::Personal(personal) => Ok(personal.forbidden(headers).await?),
            _ => Ok(()),
        }
    }

    /// The shared credential of a remote connector, for its status.
    pub(crate) fn remote(&self) -> Option<&Arc<Remote>> {
        if let Self::Remote(remote) = self { Some(remote) } else { None }
    }
}

impl Inserted {
    /// For a token that is inserted as it is.
    pub(crate) fn masking(token: &str) -> Self {
        Self { mask: Mask::over(&[token]), token: None }
    }

    /// The answer without what was inserted: headers that repeat it are left out, in the body it is masked.
    pub(crate) fn clean<B>(&self, response: http::Response<B>) -> http::Response<Masked<B>> {
        let (mut parts, body) = response.into_parts();
        if let Some(mask) = &self.mask {
            mask.strip(&mut parts.headers);
        }
        http::Response::from_parts(parts, Masked::new(body, self.mask.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aperium_platform::bearer::TokenSource;
    use http::header;
    use secrecy::SecretString;

    #[tokio::test]
    async fn the_first_line_is_presented_and_never_shown() {
        let token = ServiceToken::of(TokenSource::fixed(SecretString::from("new-token\nold-token")));
        let credential = Credential::Service(Arc::clone(&token));
        let (mut headers, mut uri) = (HeaderMap::new(), Uri::from_static("/mcp"));
        credential.insert(&mut headers, &mut uri).await.unwrap();
        assert_eq!(headers[header::AUTHORIZATION], "Bearer new-token");
        assert!(!format!("{headers:?}{credential:?}").contains("new-token"));
        token.replace(None);
        let missing = credential.insert(&mut headers, &mut uri).await.unwrap_err();
        assert_eq!(missing.reason(), "TokenMissing");
    }
}
