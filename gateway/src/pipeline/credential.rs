//! What the gateway adds so that the upstream lets it in: inserted last, after everything that came from the caller
//! was left behind.

use aperium_platform::bearer::TokenSource;
use arc_swap::ArcSwapOption;
use http::{HeaderMap, HeaderValue, header};
use secrecy::ExposeSecret as _;
use std::sync::Arc;
use tokio::sync::Notify;

/// The service token is not there (yet).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the service token is not available")]
pub(crate) struct CredentialMissing;

/// The token of one service. Whoever watches the Secret puts it here; a rotation reaches the next request.
#[derive(Debug, Default)]
pub(crate) struct ServiceToken {
    source: ArcSwapOption<TokenSource>,
    refused: Notify,
}

impl ServiceToken {
    /// A token that is there from the start.
    pub(crate) fn of(source: TokenSource) -> Arc<Self> {
        let token = Self::default();
        token.replace(Some(source));
        Arc::new(token)
    }

    /// Puts another token in its place; `None` when there is none any more.
    pub(crate) fn replace(&self, source: Option<TokenSource>) {
        self.source.store(source.map(Arc::new));
    }

    /// The service has refused the token: whoever watches it should look again.
    pub(crate) fn refused(&self) {
        self.refused.notify_one();
    }

    /// Waits until the service has refused the token.
    pub(crate) async fn until_refused(&self) {
        self.refused.notified().await;
    }

    fn header(&self) -> Option<HeaderValue> {
        let token = self.source.load().as_ref()?.current()?;
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// What an upstream wants to see.
#[derive(Debug, Clone)]
pub(crate) enum Credential {
    /// Nothing: a remote server that lets anyone in.
    Nothing,
    /// The token of a managed service.
    Service(Arc<ServiceToken>),
}

impl Credential {
    /// Inserts it.
    ///
    /// # Errors
    /// [`CredentialMissing`]: the request must not be sent without.
    pub(crate) fn insert(&self, headers: &mut HeaderMap) -> Result<(), CredentialMissing> {
        match self {
            Self::Nothing => {}
            Self::Service(token) => {
                headers.insert(header::AUTHORIZATION, token.header().ok_or(CredentialMissing)?);
            }
        }
        Ok(())
    }

    /// The upstream has refused it.
    pub(crate) fn refused(&self) {
        if let Self::Service(token) = self {
            token.refused();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::SecretString;

    #[test]
    fn the_first_line_is_presented_and_never_shown() {
        let token = ServiceToken::of(TokenSource::fixed(SecretString::from("new-token\nold-token")));
        let credential = Credential::Service(Arc::clone(&token));
        let mut headers = HeaderMap::new();
        credential.insert(&mut headers).unwrap();
        assert_eq!(headers[header::AUTHORIZATION], "Bearer new-token");
        assert!(!format!("{headers:?}{credential:?}").contains("new-token"));
        token.replace(None);
        assert_eq!(credential.insert(&mut headers), Err(CredentialMissing));
    }
}
