//! The client of the Kubernetes API server: kube's own layers over a connector whose writes leave at once.
//!
//! kube's default connector leaves Nagle's algorithm on. A request larger than one segment on a connection that has been
//! used before then waits for the delayed acknowledgement of the server, 40 ms on Linux; the operator's first writes of a
//! Connector are such requests.

use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::client::{Body, ConfigExt as _};
use tower::{BoxError, ServiceBuilder};

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ApiServerError {
    /// The configuration names a proxy. The way to the API server is direct.
    #[error("a proxy in the client configuration is not supported")]
    Proxy,
    /// TLS or credentials of the configuration cannot be used.
    #[error(transparent)]
    Config(#[from] kube::Error),
}

/// A client for the API server that the configuration names. Its requests are sent once.
///
/// The waits of a reconcile and of a Lease have limits of their own, from which retries inside the client would hide a
/// failure.
///
/// # Errors
/// [`ApiServerError`].
#[expect(
    clippy::disallowed_methods,
    reason = "the API server is named by the pod's own configuration, never by a resource or a caller"
)]
pub fn client(config: kube::Config) -> Result<kube::Client, ApiServerError> {
    if config.proxy_url.is_some() {
        return Err(ApiServerError::Proxy);
    }
    // The TLS set-up of kube takes the process's provider; an error says that there is one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(http)?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    connector.set_reset_reader_on_write(config.reset_reader_on_write);
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(client);
    Ok(kube::Client::new(service, config.default_namespace))
}
