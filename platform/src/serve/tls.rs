//! The certificate of a listener: two PEM files in, a TLS configuration out, another one when they change.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use zeroize::Zeroizing;

/// The files are read again once in this time at most.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Why there is no certificate to serve with. Never quotes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TlsFilesError {
    /// A file is missing or cannot be read.
    #[error("the certificate or its key cannot be read")]
    Unreadable,
    /// A file holds something else.
    #[error("the certificate or its key is no PEM, or they do not belong together")]
    Malformed,
}

/// Certificate and key of a listener. Cheap to clone.
#[derive(Clone)]
pub struct ServerTls(Arc<Files>);

struct Files {
    certificate: PathBuf,
    key: PathBuf,
    seen: RwLock<Seen>,
}

struct Seen {
    at: Option<Instant>,
    text: Zeroizing<Vec<u8>>,
    problem: Option<TlsFilesError>,
    config: Option<Arc<ServerConfig>>,
}

impl ServerTls {
    /// A chain and its key in PEM. They need not exist yet: until they do, every connection is closed.
    #[must_use]
    pub fn files(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        let seen = Seen { at: None, text: Zeroizing::default(), problem: None, config: None };
        Self(Arc::new(Files { certificate: certificate.into(), key: key.into(), seen: RwLock::new(seen) }))
    }

    /// The configuration as of ten seconds ago at most; bad new files leave the old one in place.
    #[must_use]
    pub fn config(&self) -> Option<Arc<ServerConfig>> {
        let seen = self.0.seen.read().unwrap_or_else(PoisonError::into_inner);
        if seen.fresh() {
            return seen.config.clone();
        }
        drop(seen);
        let mut seen = self.0.seen.write().unwrap_or_else(PoisonError::into_inner);
        if !seen.fresh() {
            seen.look(&self.0.certificate, &self.0.key);
        }
        seen.config.clone()
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServerTls").field(&self.0.certificate).finish()
    }
}

impl Seen {
    fn fresh(&self) -> bool {
        self.at.is_some_and(|at| at.elapsed() < LOOK_EVERY)
    }

    fn look(&mut self, certificate: &Path, key: &Path) {
        // What is missing at the start is looked for at once again.
        self.at = self.config.is_some().then(Instant::now);
        let text = match both(certificate, key) {
            Ok(text) => text,
            Err(_) => return self.failed(certificate, TlsFilesError::Unreadable),
        };
        if text == self.text {
            return;
        }
        match parse(&text) {
            Ok(config) => {
                tracing::info!(path = %certificate.display(), "certificate loaded");
                *self = Self { at: Some(Instant::now()), text, problem: None, config: Some(config) };
            }
            Err(problem) => self.failed(certificate, problem),
        }
    }

    /// The same problem is told once.
    fn failed(&mut self, path: &Path, problem: TlsFilesError) {
        if self.problem != Some(problem) {
            tracing::error!(path = %path.display(), %problem, kept = self.config.is_some(), "no new certificate");
            self.problem = Some(problem);
        }
    }
}

fn both(certificate: &Path, key: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(std::fs::read(certificate)?);
    text.push(b'\n');
    text.extend_from_slice(&Zeroizing::new(std::fs::read(key)?));
    Ok(text)
}

/// Certificates and key out of one text. TLS 1.3 alone: both ends are ours.
fn parse(pem: &[u8]) -> Result<Arc<ServerConfig>, TlsFilesError> {
    let malformed = |_| TlsFilesError::Malformed;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(malformed)?;
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(malformed)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|_| TlsFilesError::Malformed)?;
    Ok(Arc::new(config))
}
