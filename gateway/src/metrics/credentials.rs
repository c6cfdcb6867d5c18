//! Stored credentials of tenants by connector and state; tenants are no labels, for there is no end to them.

use aperium_store::credentials::Counts;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stored {
    connector: String,
    /// One of [`STATES`].
    state: &'static str,
}

/// The states of stored credentials.
const STATES: [&str; 5] = ["works", "fails", "unchecked", "expired", "revoked"];

/// How many are in which state.
#[derive(Debug)]
pub(crate) struct Credentials(Family<Stored, Gauge>);

impl Credentials {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let family = Family::default();
        registry.register("credentials", "Stored credentials of tenants by state", family.clone());
        Self(family)
    }

    /// Those for a connector are in these states.
    pub(crate) fn set(&self, connector: &str, counts: Counts) {
        let Counts { works, fails, unchecked, expired, revoked } = counts;
        for (state, count) in STATES.into_iter().zip([works, fails, unchecked, expired, revoked]) {
            self.0.get_or_create(&Stored { connector: connector.to_owned(), state }).set(count);
        }
    }

    /// The connector is gone.
    pub(super) fn forget(&self, connector: &str) {
        for state in STATES {
            self.0.remove(&Stored { connector: connector.to_owned(), state });
        }
    }
}
