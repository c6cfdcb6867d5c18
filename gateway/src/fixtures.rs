//! Builders for tests.

use crate::catalog::{ConnectorConfig, Place, ResourceKey};
use aperium_core::id::ConnectorId;
use aperium_core::name::Prefixing;
use aperium_crds::connector::Protocol;
use std::collections::BTreeSet;
use std::time::Duration;

/// A remote connector in the system namespace.
pub(crate) fn remote(id: &str) -> ConnectorConfig {
    ConnectorConfig {
        key: ResourceKey { namespace: "aperium-system".into(), name: id.to_ascii_lowercase() },
        uid: None,
        id: ConnectorId::parse(id).unwrap(),
        display_name: None,
        description: None,
        context: None,
        provider: None,
        protocol: Protocol::Mcp,
        labels: Vec::new(),
        prefixing: Prefixing::Always,
        hide: BTreeSet::new(),
        retryable: BTreeSet::new(),
        accepted_hashes: BTreeSet::new(),
        call_timeout: Duration::from_secs(30),
        period: Duration::from_secs(5),
        poll_timeout: Duration::from_secs(4),
        place: Place::Url("http://127.0.0.1:1/mcp".parse().unwrap()),
        auth: None,
    }
}
