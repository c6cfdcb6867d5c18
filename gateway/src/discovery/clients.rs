//! Settings → the guarded clients for remote connectors.

use aperium_core::egress::{EgressRules, Reach};
use aperium_crds::Settings;
use aperium_platform::egress::{EgressError, EgressPolicy, ExternalClient};

/// The way to an admin's own URLs.
pub(super) fn external(settings: &Settings) -> Result<ExternalClient, EgressError> {
    client(settings.egress.clone(), Reach::Admin)
}

/// The way to servers that registered themselves: nobody's word counts but that of `registration.allowHosts`.
pub(super) fn registrants(settings: &Settings) -> Result<ExternalClient, EgressError> {
    let allow_hosts = settings.registration.allow_hosts.clone();
    client(EgressRules { allow_hosts, ..settings.egress.clone() }, Reach::Untrusted)
}

fn client(rules: EgressRules, reach: Reach) -> Result<ExternalClient, EgressError> {
    let policy = EgressPolicy::new(rules).map_err(|error| {
        tracing::error!(%error, "egress settings cannot be used: remote connectors are closed");
        EgressError::Url("egress settings cannot be used")
    })?;
    ExternalClient::new(policy, reach)
}
