//! The system connector `aperture`: the gateway's own tools, an [`Entry`] like any other, so that grants, lists and
//! names treat it as they treat all connectors. It is always there; what it offers depends on what is configured.

use super::{Entry, Health, Offers};
use crate::catalog::{ConnectorConfig, Place, ResourceKey};
use crate::discovery::list::Listing;
use crate::discovery::pulse::Pulse;
use crate::metrics::Meter;
use crate::pipeline::upstream::link::Link;
use crate::pipeline::upstream::{Limits, Upstream};
use crate::snapshot::Kind;
use aperium_core::id::ConnectorId;
use aperium_core::name::Prefixing;
use aperium_crds::connector::Protocol;
use http::Uri;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Its id, which no Connector can have.
const ID: &str = "aperture";

/// The label that only system connectors carry.
const LABEL: &str = "system";

/// Its one tool, listed while there is an HTTP connector to speak of.
pub(crate) const LIST_CONNECTORS: &str = "list_connectors";

const LIST_CONNECTORS_DEFINITION: &str = r#"{"name":"list_connectors","title":"List HTTP connectors","description":"The HTTP APIs that you may call through this gateway: the base path below which each is reached, what it is, and how it is meant to be used. Append the API's own path to the base path and send the request to this gateway with the credentials that you use for it.","inputSchema":{"type":"object","properties":{},"additionalProperties":false},"outputSchema":{"type":"object","properties":{"connectors":{"type":"array","items":{"type":"object","properties":{"id":{"type":"string"},"display_name":{"type":"string"},"description":{"type":"string"},"context":{"description":"A text or an object, as the administrator wrote it."},"base_path":{"type":"string"}},"required":["id","base_path"]}}},"required":["connectors"]},"annotations":{"readOnlyHint":true,"destructiveHint":false,"idempotentHint":true,"openWorldHint":false}}"#;

/// Its entry. `http`: whether an HTTP connector is served.
pub(crate) fn entry(http: bool, meter: Meter) -> Option<Entry> {
    let config = ConnectorConfig {
        // No namespace: only Grants of the system namespace, which count everywhere, reach it.
        key: ResourceKey { namespace: String::new(), name: ID.to_owned() },
        uid: None,
        id: ConnectorId::any(ID).ok()?,
        display_name: None,
        description: None,
        context: None,
        provider: None,
        protocol: Protocol::Mcp,
        labels: vec![LABEL.to_owned()],
        prefixing: Prefixing::Always,
        hide: BTreeSet::new(),
        retryable: BTreeSet::new(),
        accepted_hashes: BTreeSet::new(),
        call_timeout: Duration::ZERO,
        period: Duration::ZERO,
        poll_timeout: Duration::ZERO,
        place: Place::Url(Uri::from_static("/")),
        auth: None,
    };
    let mut listing = Listing::default();
    if http {
        listing.lists.of_mut(Kind::Tools).extend(serde_json::from_str(LIST_CONNECTORS_DEFINITION).ok());
    }
    Some(Entry {
        credential: crate::pipeline::credential::Credential::Nothing,
        people: None,
        offers: Arc::new(Offers::build(&config, &listing)),
        upstream: Upstream::new(Link::Absent("it is built in".to_owned()), Limits { max_answer: 0, max_tools: 0 }),
        health: Health::Registered,
        meter,
        pulse: Pulse::new(),
        config,
    })
}

/// Whether the entry is the system connector's.
pub(super) fn is_system(entry: &Entry) -> bool {
    entry.config.id.as_str() == ID
}
