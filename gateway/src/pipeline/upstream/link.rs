//! Where an upstream is and how it is reached: a managed service by the cluster client, a remote server by the guarded
//! one. The credential goes in here, last.

use super::UpstreamError;
use crate::pipeline::credential::Credential;
use aperium_platform::egress::{ClusterClient, ClusterEndpoint, EgressError, ExternalClient};
use axum::body::Body;
use http::{HeaderMap, Method, Request, Response, Uri};
use hyper::body::Incoming;

/// Where an upstream is.
#[derive(Debug, Clone)]
pub(crate) enum Link {
    /// A service that the operator (or `aperium up`) runs.
    Service {
        /// The client for these.
        client: ClusterClient,
        /// Where it listens.
        endpoint: ClusterEndpoint,
        /// Its token.
        credential: Credential,
    },
    /// A remote MCP server.
    Url {
        /// The guarded client, or why there is none (an image without CA certificates).
        client: Result<ExternalClient, EgressError>,
        /// Its endpoint.
        uri: Uri,
        /// What it wants to see.
        credential: Credential,
    },
    /// Nothing is deployed yet.
    Absent(String),
}

impl Link {
    /// Sends one POST, once.
    ///
    /// # Errors
    /// [`UpstreamError::Absent`], [`UpstreamError::Credential`], [`UpstreamError::Egress`].
    pub(crate) async fn post(&self, headers: HeaderMap, body: Vec<u8>) -> Result<Response<Incoming>, UpstreamError> {
        let uri = match self {
            Self::Url { uri, .. } => uri.clone(),
            _ => Uri::from_static("/mcp"),
        };
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        match self {
            Self::Service { client, endpoint, credential } => {
                credential.insert(request.headers_mut()).map_err(|_| UpstreamError::Credential)?;
                Ok(client.send(endpoint, request).await?)
            }
            Self::Url { client, credential, .. } => {
                credential.insert(request.headers_mut()).map_err(|_| UpstreamError::Credential)?;
                Ok(client.as_ref().map_err(Clone::clone)?.send(request).await?)
            }
            Self::Absent(why) => Err(UpstreamError::Absent(why.clone())),
        }
    }

    /// The upstream has refused the credential.
    pub(crate) fn refused(&self) {
        if let Self::Service { credential, .. } | Self::Url { credential, .. } = self {
            credential.refused();
        }
    }
}
