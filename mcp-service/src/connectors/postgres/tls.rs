//! The TLS modes of libpq (PostgreSQL manual, "SSL Support"): mode and certificates come in, a rustls configuration
//! goes out. tokio-postgres itself only knows whether there is TLS; what is verified is decided here.

use std::sync::Arc;

use aperium_platform::egress::tls::client_config;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use secrecy::{ExposeSecret, SecretString};

/// What is asked of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TlsMode {
    /// A trusted certificate for this host name.
    VerifyFull,
    /// A certificate of the given CA, for whatever name.
    VerifyCa,
    /// Any certificate: protects against listeners, not against impostors.
    Require,
    /// No TLS.
    Disable,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    #[error("ssl_mode must be verify-full, verify-ca, require or disable")]
    Mode,
    #[error("ssl_mode verify-ca needs ca_certificate")]
    CaMissing,
    #[error("ca_certificate is not a PEM certificate")]
    Ca,
    #[error("client_certificate is not a PEM certificate chain")]
    ClientCertificate,
    #[error("client_key is not a PEM private key")]
    ClientKey,
    #[error("client_certificate and client_key must be given together")]
    ClientPair,
    #[error("client_certificate and client_key do not belong together")]
    ClientMismatch,
    #[error("TLS cannot be set up: {0}")]
    Setup(&'static str),
}

impl TlsMode {
    /// Reads `ssl_mode`; nothing given means the strictest.
    pub(super) fn parse(text: Option<&str>) -> Result<Self, TlsError> {
        match text {
            None | Some("verify-full") => Ok(Self::VerifyFull),
            Some("verify-ca") => Ok(Self::VerifyCa),
            Some("require") => Ok(Self::Require),
            Some("disable") => Ok(Self::Disable),
            Some(_) => Err(TlsError::Mode),
        }
    }
}

/// The certificates that an admin gave.
#[derive(Debug, Default)]
pub(super) struct Certificates<'a> {
    pub(super) ca: Option<&'a str>,
    pub(super) client: Option<&'a str>,
    pub(super) client_key: Option<&'a SecretString>,
}

/// The configuration for a mode other than `disable`.
pub(super) fn config(mode: TlsMode, given: &Certificates<'_>) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match (mode, given.ca) {
        (TlsMode::Require | TlsMode::Disable, _) => Arc::new(AnyCertificate { provider: Arc::clone(&provider) }),
        (TlsMode::VerifyCa, None) => return Err(TlsError::CaMissing),
        (TlsMode::VerifyCa, Some(ca)) => Arc::new(AnyName { chain: of_ca(ca, &provider)? }),
        (TlsMode::VerifyFull, Some(ca)) => of_ca(ca, &provider)?,
        (TlsMode::VerifyFull, None) => return trusted_by_system(given),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| TlsError::Setup("no protocol version"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match client(given)? {
        None => Ok(builder.with_no_client_auth()),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|_| TlsError::ClientMismatch),
    }
}

/// The system's own CAs, as the platform trusts them for every other connection.
fn trusted_by_system(given: &Certificates<'_>) -> Result<ClientConfig, TlsError> {
    let shared = client_config(&[], Vec::new()).map_err(|_| TlsError::Setup("no CA certificates in this system"))?;
    let mut config = ClientConfig::clone(&shared);
    if let Some((chain, key)) = client(given)? {
        let provider = Arc::clone(config.crypto_provider());
        let signing =
            rustls::sign::CertifiedKey::from_der(chain, key, &provider).map_err(|_| TlsError::ClientMismatch)?;
        config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(signing));
    }
    Ok(config)
}

/// Trusts the given CA and nothing else.
fn of_ca(pem: &str, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(|_| TlsError::Ca)?).map_err(|_| TlsError::Ca)?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build().map_err(|_| TlsError::Ca)
}

type ClientAuth = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn client(given: &Certificates<'_>) -> Result<Option<ClientAuth>, TlsError> {
    let (chain, key) = match (given.client, given.client_key) {
        (None, None) => return Ok(None),
        (Some(chain), Some(key)) => (chain, key),
        _ => return Err(TlsError::ClientPair),
    };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError::ClientCertificate)?;
    if chain.is_empty() {
        return Err(TlsError::ClientCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes()).map_err(|_| TlsError::ClientKey)?;
    Ok(Some((chain, key)))
}

/// `verify-ca`: the chain counts, the name does not.
#[derive(Debug)]
struct AnyName {
    chain: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp, now) {
            // The name is checked last: whoever fails only here has a good chain.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, signature)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, signature)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// `require`: whoever holds the key of the certificate it shows, whatever certificate that is.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_given_is_the_strictest_mode_and_anything_else_is_refused() {
        assert_eq!(TlsMode::parse(None).unwrap(), TlsMode::VerifyFull);
        for wrong in ["prefer", "allow", "Verify-Full", ""] {
            assert!(matches!(TlsMode::parse(Some(wrong)), Err(TlsError::Mode)), "{wrong}");
        }
    }

    #[test]
    fn half_a_client_certificate_and_a_broken_ca_are_refused() {
        let key = SecretString::from("x");
        let half = Certificates { client_key: Some(&key), ..Certificates::default() };
        assert!(matches!(config(TlsMode::Require, &half), Err(TlsError::ClientPair)));
        let broken = Certificates { ca: Some("no pem"), ..Certificates::default() };
        assert!(matches!(config(TlsMode::VerifyFull, &broken), Err(TlsError::Ca)));
        assert!(matches!(config(TlsMode::VerifyCa, &Certificates::default()), Err(TlsError::CaMissing)));
    }
}
