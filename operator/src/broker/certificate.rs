//! A CA of the platform's own and the broker's certificate: names and the time come in, PEM goes out.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use secrecy::{ExposeSecret as _, SecretString};
use std::time::Duration;

const DAY: u64 = 24 * 60 * 60;
/// How long the CA lives. Only pods trust it, and for the broker alone.
const CA_DAYS: u64 = 3650;
/// How long a certificate lives.
const DAYS: u64 = 365;
/// When it is made anew.
const RENEW_DAYS: u64 = 240;

/// A certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the broker's certificate cannot be made")]
pub struct CertificateError(#[from] rcgen::Error);

/// All in PEM.
#[derive(Debug)]
pub(super) struct Certificate {
    /// The CA's certificate.
    pub(super) ca: String,
    /// Its key, for the next certificate.
    pub(super) ca_key: SecretString,
    /// The broker's certificate.
    pub(super) certificate: String,
    /// Its key.
    pub(super) key: SecretString,
    /// Seconds since 1970 from when on there should be another one.
    pub(super) renew_after: u64,
}

impl Certificate {
    /// A new CA, and a certificate of it for these names.
    pub(super) fn new(hosts: &[String], now: u64) -> Result<Self, CertificateError> {
        let key = KeyPair::generate()?;
        let ca_key = SecretString::from(key.serialize_pem());
        let ca = CertifiedIssuer::self_signed(authority(now), key)?.pem();
        Self::renewed(&ca, ca_key.expose_secret(), hosts, now)
    }

    /// Another certificate of the same CA.
    pub(super) fn renewed(ca: &str, ca_key: &str, hosts: &[String], now: u64) -> Result<Self, CertificateError> {
        // Of the CA's certificate the issuer needs the name and the key alone, and its name is always the same.
        let issuer = Issuer::new(authority(now), KeyPair::from_pem(ca_key)?);
        let mut params = CertificateParams::new(hosts.to_vec())?;
        params.distinguished_name.push(DnType::CommonName, "aperium-broker");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        lives(&mut params, now, DAYS);
        let key = KeyPair::generate()?;
        Ok(Self {
            ca: ca.to_owned(),
            ca_key: SecretString::from(ca_key.to_owned()),
            certificate: params.signed_by(&key, &issuer)?.pem(),
            key: SecretString::from(key.serialize_pem()),
            renew_after: now + RENEW_DAYS * DAY,
        })
    }
}

fn authority(now: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "aperium-broker-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    lives(&mut params, now, CA_DAYS);
    params
}

/// From a day ago, because clocks differ.
fn lives(params: &mut CertificateParams, now: u64, days: u64) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now.saturating_sub(DAY));
    params.not_after = epoch + Duration::from_secs(now + days * DAY);
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn a_renewed_certificate_is_of_the_same_ca_and_has_a_key_of_its_own() {
        let hosts = vec!["aperium-gateway".to_owned()];
        let first = Certificate::new(&hosts, NOW).unwrap();
        let next = Certificate::renewed(&first.ca, first.ca_key.expose_secret(), &hosts, NOW + DAY).unwrap();
        assert_eq!(next.ca, first.ca);
        assert_ne!(next.certificate, first.certificate);
        assert_ne!(next.key.expose_secret(), first.key.expose_secret());
        assert!(first.renew_after < NOW + DAYS * DAY);
        assert!(Certificate::renewed(&first.ca, "no key", &hosts, NOW).is_err());
    }
}
