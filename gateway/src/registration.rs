//! Dynamic registration: (who, which URL) → a [`Ticket`] for as long as the registrant holds its connection.
//!
//! ```text
//! POST /v1/mcp/register ──admit──► Ticket (autoN) ──Register──► Manager: a connector like any other
//!                                     └─ dropped ──Unregister──► Manager
//! ```
//! With a platform database all replicas serve what is registered with one of them (`shared.rs`). Without one
//! registrations live in the replica that holds the connection, and nothing but the last number outlives it.

use crate::catalog::{ConnectorConfig, Place, ResourceKey, connectors};
use crate::discovery::{Event, Events};
use crate::snapshot::View;
use aperium_core::egress::HostPort;
use aperium_core::id::ConnectorId;
use aperium_core::name::Prefixing;
use aperium_crds::connector::Protocol;
use aperium_crds::settings::Registration as Rules;
use aperium_store::{Quotas, Store, StoreError};
use http::Uri;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

mod numbers;
mod shared;

pub(crate) use numbers::Numbers;
use shared::Shared;

/// Why a server is not registered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Denied {
    /// The settings take no registrations.
    #[error("dynamic registration is not accepted here: registration.accept is not set")]
    NotAccepted,
    /// Neither an admin nor named by a Grant with `register: true`.
    #[error("access denied: registering needs the role admin, or a Grant with register: true")]
    NotAllowed,
    /// No usable URL.
    #[error("{0}")]
    Url(String),
    /// The settings do not list its host.
    #[error("registration.allowHosts does not list {0}")]
    Host(HostPort),
    /// The caller has as many as one may have.
    #[error("this caller has {0} servers registered, which is the most that one may have")]
    CallerQuota(usize),
    /// There are as many as there may be.
    #[error("{0} servers are registered, which is the most that there may be")]
    Quota(usize),
    /// The number cannot be written down, and must not be given twice.
    #[error("no number can be given at the moment")]
    Numbers(#[source] std::io::Error),
    /// The replicas cannot be told.
    #[error("the database of registrations is not available")]
    Store(#[source] StoreError),
}

/// All servers that are registered.
#[derive(Debug)]
pub(crate) struct Registrations {
    numbers: Numbers,
    events: Events,
    namespace: String,
    /// Number → the caller who registered it, where there is no database.
    active: Mutex<BTreeMap<u64, String>>,
    /// Where there is one.
    shared: Option<Arc<Shared>>,
}

/// The same limits as a Connector's defaults.
const PERIOD: Duration = Duration::from_secs(5);
const POLL_TIMEOUT: Duration = Duration::from_secs(4);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

impl Registrations {
    /// Nothing is registered. `namespace` is the system namespace: grants there cover `auto<N>`. `stopping` is cancelled
    /// when this replica stops.
    pub(crate) fn new(
        numbers: Numbers,
        events: Events,
        namespace: &str,
        database: Option<Store>,
        stopping: CancellationToken,
    ) -> Arc<Self> {
        let shared = database.map(|store| Shared::new(store, events.clone(), namespace, stopping));
        Arc::new(Self { numbers, events, namespace: namespace.to_owned(), active: Mutex::default(), shared })
    }

    /// Follows the other replicas until this one stops. Without a database there are none.
    pub(crate) async fn run(self: Arc<Self>) {
        if let Some(shared) = &self.shared {
            Arc::clone(shared).run().await;
        }
    }

    /// Registers a server: from now on it is polled, and its tools are listed as `auto<N>_<tool>`.
    ///
    /// # Errors
    /// [`Denied`].
    pub(crate) async fn admit(self: &Arc<Self>, view: &View, url: &str, rules: &Rules) -> Result<Ticket, Denied> {
        let (uri, host) = target(url)?;
        check(view, &host, rules)?;
        let caller = view.identity().caller.principal.to_string();
        if let Some(shared) = &self.shared {
            let quotas = Quotas { per_caller: rules.max_per_caller, all: rules.max_servers };
            let (holder, number) = shared.admit(&caller, &uri, quotas, self.numbers.last()).await?;
            let hold = Hold::Shared(holder, Arc::clone(shared));
            return Ok(Ticket { id: id_of(number)?, host, hold });
        }
        let number = self.number(&caller, rules)?;
        let config = config(&self.namespace, id_of(number)?, uri);
        let ticket = Ticket { id: config.id.clone(), host, hold: Hold::Here(number, Arc::clone(self)) };
        // A Manager that has ended serves nobody; the connection ends with it.
        let _ = self.events.send(Event::Register(Box::new(config))).await;
        Ok(ticket)
    }

    /// A number that counts against the caller's share from now on.
    fn number(&self, caller: &str, rules: &Rules) -> Result<u64, Denied> {
        let mut active = self.active();
        if active.values().filter(|owner| *owner == caller).count() >= rules.max_per_caller {
            return Err(Denied::CallerQuota(rules.max_per_caller));
        }
        if active.len() >= rules.max_servers {
            return Err(Denied::Quota(rules.max_servers));
        }
        let number = self.numbers.next().map_err(Denied::Numbers)?;
        active.insert(number, caller.to_owned());
        Ok(number)
    }

    fn active(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, String>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the caller may have a server of this host registered; asked again for as long as it is.
fn check(view: &View, host: &HostPort, rules: &Rules) -> Result<(), Denied> {
    if !rules.accept {
        return Err(Denied::NotAccepted);
    }
    if !view.may_register() {
        return Err(Denied::NotAllowed);
    }
    if rules.allow_hosts.contains(host) { Ok(()) } else { Err(Denied::Host(host.clone())) }
}

/// The endpoint, and the host that the settings must list.
fn target(url: &str) -> Result<(Uri, HostPort), Denied> {
    let uri = connectors::parse_url("url", url).map_err(Denied::Url)?;
    let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
    let host = uri.host().and_then(|host| HostPort::new(host.trim_matches(['[', ']']), port).ok());
    let host = host.ok_or_else(|| Denied::Url("url: the host is neither a DNS name nor an address".to_owned()))?;
    Ok((uri, host))
}

fn id_of(number: u64) -> Result<ConnectorId, Denied> {
    ConnectorId::any(&format!("auto{number}")).map_err(|error| Denied::Url(error.to_string()))
}

fn key_of(namespace: &str, id: &ConnectorId) -> ResourceKey {
    ResourceKey { namespace: namespace.to_owned(), name: id.to_string() }
}

fn config(namespace: &str, id: ConnectorId, uri: Uri) -> ConnectorConfig {
    ConnectorConfig {
        key: key_of(namespace, &id),
        uid: None,
        id,
        protocol: Protocol::Mcp,
        display_name: None,
        description: None,
        context: None,
        provider: None,
        labels: Vec::new(),
        prefixing: Prefixing::Always,
        hide: BTreeSet::new(),
        retryable: BTreeSet::new(),
        accepted_hashes: BTreeSet::new(),
        call_timeout: CALL_TIMEOUT,
        period: PERIOD,
        poll_timeout: POLL_TIMEOUT,
        place: Place::Registered(uri),
        auth: None,
    }
}

/// A server that is registered until this is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// `auto<N>`.
    pub(crate) id: ConnectorId,
    host: HostPort,
    hold: Hold,
}

/// Where a registration is remembered.
#[derive(Debug)]
enum Hold {
    /// In this process alone, by its number.
    Here(u64, Arc<Registrations>),
    /// In the database, by the connection.
    Shared(String, Arc<Shared>),
}

impl Ticket {
    /// Whether it may still be registered: settings and grants may have changed since.
    ///
    /// # Errors
    /// [`Denied`].
    pub(crate) fn check(&self, view: &View, rules: &Rules) -> Result<(), Denied> {
        check(view, &self.host, rules)
    }

    /// Its host, for the log.
    pub(crate) fn host(&self) -> &HostPort {
        &self.host
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        tracing::info!(connector = self.id.as_str(), "registered server has left");
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        match &self.hold {
            Hold::Here(number, registrations) => {
                registrations.active().remove(number);
                let (events, key) = (registrations.events.clone(), key_of(&registrations.namespace, &self.id));
                runtime.spawn(async move {
                    let _ = events.send(Event::Unregister(key)).await;
                });
            }
            Hold::Shared(holder, shared) => {
                let (holder, shared) = (holder.clone(), Arc::clone(shared));
                runtime.spawn(async move { shared.leave(&holder).await });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_url_is_the_one_that_the_settings_must_list() {
        for (url, host) in [
            ("http://my-mcp-server:8080/v1/mcp", "my-mcp-server:8080"),
            ("https://MCP.example.com/x", "mcp.example.com:443"),
            ("http://[::1]:9/", "[::1]:9"),
            ("http://0x7f.1/", "127.0.0.1:80"),
        ] {
            assert_eq!(target(url).unwrap().1.to_string(), host, "{url}");
        }
        for bad in ["ftp://a/", "http://u:p@a/", "a:80", "http://a/#x", ""] {
            assert!(matches!(target(bad), Err(Denied::Url(_))), "{bad}");
        }
    }
}
