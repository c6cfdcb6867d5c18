//! The TLS set-up of outgoing connections: rustls, aws-lc-rs, TLS 1.2 and 1.3, certificates verified as the platform does.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use rustls_platform_verifier::Verifier;

use super::EgressError;

/// A client configuration that trusts the system's CA certificates and `extra_roots`.
///
/// `alpn` lists the application protocols to offer, most wanted first; empty offers none (PostgreSQL).
///
/// # Errors
/// [`EgressError::TlsSetup`] when there is no CA certificate at all or an extra root cannot be read.
pub fn client_config(
    alpn: &[&[u8]],
    extra_roots: Vec<CertificateDer<'static>>,
) -> Result<Arc<ClientConfig>, EgressError> {
    let failed = |error| EgressError::TlsSetup(Arc::new(error));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Verifier::new_with_extra_roots(extra_roots, Arc::clone(&provider)).map_err(failed)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}
