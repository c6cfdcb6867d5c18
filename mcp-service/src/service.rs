//! One running service: its connector, the rules of its Connector, what it is bound to, and its counters.
//!
//! [`call`] runs one tool once, [`readiness`] keeps the binding and the checks up to date; both share [`Service`].

pub(crate) mod call;
pub(crate) mod readiness;

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use aperium_core::id::RequestId;
use aperium_platform::bearer::TokenSource;
use aperium_platform::egress::{ExternalClient, GuardedDialer};
use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use crate::calls::CallRules;
use crate::catalog::{Binding, Catalog};
use crate::connector::{Connector, Fields, Upstream, UpstreamParts};
use crate::metrics::Metrics;
use readiness::Readiness;

/// What all requests of one service share.
pub(crate) struct Service {
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) rules: CallRules,
    pub(crate) metrics: Metrics,
    pub(crate) readiness: Readiness,
    binding: ArcSwap<Binding>,
    permits: Semaphore,
    hide: Vec<String>,
    clients: Clients,
}

/// What every binding has in common: all but the credentials.
pub(crate) struct Clients {
    pub(crate) settings: Arc<dyn Any + Send + Sync>,
    pub(crate) http: ExternalClient,
    pub(crate) dialer: GuardedDialer,
    pub(crate) local: bool,
}

impl Service {
    /// A service without credentials: not ready until readiness has bound and probed some.
    pub(crate) fn new(
        connector: Arc<dyn Connector>,
        rules: CallRules,
        hide: Vec<String>,
        clients: Clients,
        token: TokenSource,
    ) -> Self {
        let binding = bind(&*connector, &rules, &hide, &clients, Fields::default());
        let service = Self {
            permits: Semaphore::new(rules.max_concurrent()),
            binding: ArcSwap::from_pointee(binding),
            metrics: Metrics::new(),
            readiness: Readiness::new(token),
            connector,
            rules,
            hide,
            clients,
        };
        service.refresh_state();
        service
    }

    /// The upstream and the tools as they are now.
    pub(crate) fn binding(&self) -> Arc<Binding> {
        self.binding.load_full()
    }

    /// Replaces the credentials. Running calls keep the old ones until they end; then those are zeroized.
    pub(crate) fn rebind(&self, fields: Fields) {
        let binding = bind(&*self.connector, &self.rules, &self.hide, &self.clients, fields);
        self.binding.store(Arc::new(binding));
    }

    /// Brings the gauges in line with the checks.
    pub(crate) fn refresh_state(&self) {
        let catalog = &self.binding().catalog;
        let ready = self.readiness.report(catalog).ready();
        self.metrics.state(ready, readiness::discovery(catalog).ok, catalog.len());
    }
}

fn bind(connector: &dyn Connector, rules: &CallRules, hide: &[String], clients: &Clients, fields: Fields) -> Binding {
    let parts = UpstreamParts {
        fields,
        settings: Arc::clone(&clients.settings),
        http: clients.http.clone(),
        dialer: clients.dialer.clone(),
        local: clients.local,
    };
    let upstream = Upstream::new(parts, RequestId::accept(None), Instant::now() + rules.timeout());
    let catalog = Arc::new(Catalog::new(connector, &upstream, rules, hide));
    Binding { upstream, catalog }
}
