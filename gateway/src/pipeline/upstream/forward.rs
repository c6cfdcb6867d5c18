//! A proxied request → its upstream, once, with the credential inserted last.

use super::link::Link;
use super::{Upstream, UpstreamError};
use axum::body::Body;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

impl Upstream {
    /// Sends a request whose URL and headers are already those for the upstream.
    ///
    /// # Errors
    /// [`UpstreamError::Absent`], [`UpstreamError::Credential`], [`UpstreamError::Egress`].
    pub(crate) async fn forward(&self, mut request: Request<Body>) -> Result<Response<Incoming>, UpstreamError> {
        match &self.link {
            Link::Url { client, credential, .. } => {
                credential.insert(request.headers_mut()).map_err(|_| UpstreamError::Credential)?;
                let response = client.as_ref().map_err(Clone::clone)?.send(request).await?;
                if response.status() == StatusCode::UNAUTHORIZED {
                    self.link.refused();
                }
                Ok(response)
            }
            Link::Service { .. } => Err(UpstreamError::Absent("a managed service has no proxy path".to_owned())),
            Link::Absent(why) => Err(UpstreamError::Absent(why.clone())),
        }
    }
}
