//! What pods were given or refused → the audit log.

use super::BrokerError;
use crate::audit::{Draft, record};
use aperium_core::id::{ConnectorId, TenantId};
use aperium_platform::lease::{Audience, Claims};
use aperium_store::audit::{Decision, Record, bounded};

/// A lease that a pod came with, where it could be read at all. What it says of the caller is what the gateway has
/// signed; the pod acts for that caller.
pub(super) fn redeemed<'r>(pod: &Audience, claims: Option<&'r Claims>, refused: Option<&BrokerError>) -> Draft<'r> {
    let record = Record {
        principal: claims.map(|claims| bounded(&claims.user)),
        connector: claims.map(|claims| claims.connector.as_str().into()),
        tool: claims.map(|claims| bounded(&claims.tool)),
        ..told("redeem", claims.map_or("", |claims| &claims.request), pod, refused)
    };
    // A refused lease is still one that the gateway has signed: it is about that tenant.
    Draft { tenant: claims.map(|claims| claims.tenant.clone()), record, arguments: None }
}

/// What the service of one tenant asked for without a lease.
pub(super) fn own<'r>(
    pod: &Audience,
    served: Option<&'r (ConnectorId, TenantId)>,
    refused: Option<&BrokerError>,
) -> Draft<'r> {
    let record =
        Record { connector: served.map(|(connector, _)| connector.as_str().into()), ..told("own", "", pod, refused) };
    Draft { tenant: served.map(|(_, tenant)| tenant.clone()), record, arguments: None }
}

fn told<'r>(method: &'static str, request: &'r str, pod: &Audience, refused: Option<&BrokerError>) -> Record<'r> {
    Record {
        delegate: Some(bounded(format!("pod:{pod}"))),
        decision: if refused.is_some() { Decision::Denied } else { Decision::Allowed },
        outcome: refused.map_or("ok", |error| error.reason()).into(),
        ..record("broker", method, request)
    }
}
