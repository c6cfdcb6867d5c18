//! A proxied request → its upstream, once, with the credential inserted last.

use super::link::{Cleaned, Link};
use super::{Upstream, UpstreamError};
use axum::body::Body;
use http::{Request, Response, StatusCode};

impl Upstream {
    /// Sends a request whose URL and headers are already those for the upstream.
    ///
    /// # Errors
    /// [`UpstreamError::Absent`], [`UpstreamError::Credential`], [`UpstreamError::Egress`].
    pub(crate) async fn forward(&self, mut request: Request<Body>) -> Result<Response<Cleaned>, UpstreamError> {
        match &self.link {
            Link::Url { client, credential, .. } => {
                let mut uri = request.uri().clone();
                let inserted = credential.insert(request.headers_mut(), &mut uri).await?;
                *request.uri_mut() = uri;
                let response = client.as_ref().map_err(Clone::clone)?.send(request).await?;
                credential.answered(&inserted, response.status());
                if response.status() == StatusCode::FORBIDDEN
                    && let Err(error) = Box::pin(credential.forbidden(response.headers())).await
                {
                    // The caller reads the upstream's own answer; the connector says that it needs more.
                    tracing::debug!(reason = error.reason(), "a user's token does not suffice");
                }
                Ok(inserted.clean(response))
            }
            Link::Service { .. } => Err(UpstreamError::Absent("a managed service has no proxy path".to_owned())),
            Link::Absent(why) => Err(UpstreamError::Absent(why.clone())),
        }
    }
}
