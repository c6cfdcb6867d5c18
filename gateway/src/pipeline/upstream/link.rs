//! Where an upstream is and how it is reached: a managed service by the cluster client, a remote server by the guarded
//! one. The credential goes in here, last.

use super::UpstreamError;
use crate::pipeline::credential::{Credential, Masked};
use aperium_platform::egress::{ClusterClient, ClusterEndpoint, EgressBody, EgressError, ExternalClient};
use axum::body::Body;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use url::Url;

/// The body of an answer, without the credential that its request carried.
pub(crate) type Cleaned = Masked<EgressBody>;

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

/// An address of the upstream's own origin: made by [`Link::resolve`] only.
#[derive(Debug, Clone)]
pub(crate) struct SameOrigin(Uri);

impl Link {
    /// Sends one request, once: to the upstream's own endpoint, or to another of its paths.
    ///
    /// # Errors
    /// [`UpstreamError::Absent`], [`UpstreamError::Credential`], [`UpstreamError::Egress`].
    pub(crate) async fn send(
        &self,
        method: Method,
        to: Option<&SameOrigin>,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Response<Cleaned>, UpstreamError> {
        let mut uri = match (self, to) {
            (_, Some(SameOrigin(uri))) => uri.clone(),
            (Self::Url { uri, .. }, None) => uri.clone(),
            _ => Uri::from_static("/mcp"),
        };
        let mut request = Request::new(Body::from(body));
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        let credential = self.credential()?;
        let inserted = credential.insert(request.headers_mut(), &mut uri).await?;
        *request.uri_mut() = uri;
        let response = match self {
            Self::Service { client, endpoint, .. } => client.send(endpoint, request).await?,
            Self::Url { client, .. } => client.as_ref().map_err(Clone::clone)?.send(request).await?,
            Self::Absent(why) => return Err(UpstreamError::Absent(why.clone())),
        };
        credential.answered(&inserted, response.status());
        if response.status() == StatusCode::FORBIDDEN {
            Box::pin(credential.forbidden(response.headers())).await?;
        }
        Ok(inserted.clean(response))
    }

    fn credential(&self) -> Result<&Credential, UpstreamError> {
        match self {
            Self::Service { credential, .. } | Self::Url { credential, .. } => Ok(credential),
            Self::Absent(why) => Err(UpstreamError::Absent(why.clone())),
        }
    }

    /// An address that the upstream has named, absolute or relative to its own.
    ///
    /// # Errors
    /// [`UpstreamError::Protocol`] where it leads to another origin: the credential goes to nobody else, and nobody
    /// else is reached on an upstream's word. A managed service has one path only.
    pub(crate) fn resolve(&self, named: &str) -> Result<SameOrigin, UpstreamError> {
        let Self::Url { uri, .. } = self else { return Err(UpstreamError::Protocol("it names another endpoint")) };
        let own = Url::parse(&uri.to_string()).map_err(|_| UpstreamError::Protocol("its address cannot be read"))?;
        let mut url = own.join(named).map_err(|_| UpstreamError::Protocol("it names an endpoint that is no URL"))?;
        let userinfo = !url.username().is_empty() || url.password().is_some();
        if url.origin() != own.origin() || !url.origin().is_tuple() || userinfo {
            return Err(UpstreamError::Protocol("it names an endpoint of another origin"));
        }
        url.set_fragment(None);
        let uri = url.as_str().parse().map_err(|_| UpstreamError::Protocol("it names an endpoint that is no URL"))?;
        Ok(SameOrigin(uri))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_endpoint_of_the_same_origin_is_taken() {
        let link = Link::Url {
            client: Err(EgressError::Url("none")),
            uri: "https://mcp.example.com/base/sse".parse().unwrap(),
            credential: Credential::Nothing,
        };
        let to = |named: &str| link.resolve(named).map(|SameOrigin(uri)| uri.to_string()).ok();
        assert_eq!(to("/messages?sessionId=1").unwrap(), "https://mcp.example.com/messages?sessionId=1");
        assert_eq!(to("messages#x").unwrap(), "https://mcp.example.com/base/messages");
        assert_eq!(to("https://MCP.example.com:443/m").unwrap(), "https://mcp.example.com/m");
        for other in [
            "http://mcp.example.com/m",
            "https://mcp.example.com:8443/m",
            "https://evil.example.com/m",
            "//evil.example.com/m",
            "\\\\evil.example.com/m",
            "https://mcp.example.com@evil.example.com/m",
            "https://user:secret@mcp.example.com/m",
            "https:///evil.example.com/m",
            "http://169.254.169.254/latest",
            "file:///etc/passwd",
            "data:text/plain,x",
            "javascript:1",
        ] {
            assert!(to(other).is_none(), "{other}: {:?}", to(other));
        }
    }
}
