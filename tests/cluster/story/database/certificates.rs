//! An authority of the test's own, and the certificate that it signed for the server.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// Writes `server.crt` and `server.key` for this address where PostgreSQL looks for them; returns the authority's PEM.
pub(crate) fn write(folder: &Path, address: IpAddr) -> String {
    let authority = authority();
    let key = KeyPair::generate().expect("a key");
    let server = CertificateParams::new(vec![address.to_string()]).expect("parameters");
    let server = server.signed_by(&key, &authority).expect("a certificate");
    private(folder, "server.crt", &server.pem());
    private(folder, "server.key", &key.serialize_pem());
    authority.pem()
}

/// A new authority.
pub(crate) fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut authority = CertificateParams::new(Vec::new()).expect("parameters");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(authority, KeyPair::generate().expect("a key")).expect("an authority")
}

/// PostgreSQL takes a key only that is its own and nobody else can read.
fn private(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file is written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its mode is set");
    let owner = std::fs::metadata(folder).expect("the folder is there");
    std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid())).expect("its owner is set");
}
