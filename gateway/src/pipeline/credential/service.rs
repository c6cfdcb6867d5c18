//! The token of a managed service.

use super::CredentialError;
use aperium_platform::bearer::TokenSource;
use arc_swap::ArcSwapOption;
use http::{HeaderMap, HeaderValue, header};
use secrecy::ExposeSecret as _;
use std::sync::Arc;
use tokio::sync::Notify;

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
    pub(super) fn refused(&self) {
        self.refused.notify_one();
    }

    /// Waits until the service has refused the token.
    pub(crate) async fn until_refused(&self) {
        self.refused.notified().await;
    }

    /// Inserts it.
    ///
    /// # Errors
    /// [`CredentialError::ServiceToken`].
    pub(super) fn insert(&self, headers: &mut HeaderMap) -> Result<(), CredentialError> {
        headers.insert(header::AUTHORIZATION, self.header().ok_or(CredentialError::ServiceToken)?);
        Ok(())
    }

    fn header(&self) -> Option<HeaderValue> {
        let token = self.source.load().as_ref()?.current()?;
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}
