//! One running service: its connector, the rules of its Connector, what it is bound to, and its counters.
//!
//! [`call`] runs one tool once, [`readiness`] keeps the binding and the checks up to date; both share [`Service`].

pub(crate) mod admission;
pub(crate) mod call;
pub(crate) mod readiness;
pub(crate) mod tenants;

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use aperium_core::id::{RequestId, TenantId};
use aperium_platform::bearer::TokenSource;
use aperium_platform::egress::{ExternalClient, GuardedDialer};
use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use crate::broker::Platform;
use crate::calls::CallRules;
use crate::catalog::{Binding, Catalog};
use crate::connector::{Connector, Fields, ToolError, Upstream, UpstreamParts};
use crate::metrics::Metrics;
use admission::Leased;
use readiness::Readiness;
use tenants::Tenants;

/// What all requests of one service share.
pub(crate) struct Service {
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) rules: CallRules,
    pub(crate) metrics: Metrics,
    pub(crate) readiness: Readiness,
    /// Where the credentials come from the platform.
    pub(crate) tenants: Option<Tenants>,
    /// The one tenant of a single-tenant service.
    pub(crate) tenant: Option<TenantId>,
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
        of: Of,
    ) -> Self {
        let binding = bind(&*connector, &rules, &hide, &clients, Fields::default());
        let needed = needs_credentials(&*connector);
        let service = Self {
            permits: Semaphore::new(rules.max_concurrent()),
            binding: ArcSwap::from_pointee(binding),
            metrics: Metrics::new(),
            readiness: Readiness::new(token, of.platform.is_some() && of.tenant.is_none() && needed),
            tenants: of.platform.map(|platform| Tenants::new(platform, needed)),
            tenant: of.tenant,
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

    /// The upstream of one call: that of the lease, that of the one tenant, or the one that all share.
    ///
    /// # Errors
    /// What the broker says; without a lease nothing is asked for.
    pub(crate) async fn upstream(&self, leased: Option<&Leased>) -> Result<Upstream, ToolError> {
        let Some(tenants) = &self.tenants else { return Ok(self.binding().upstream.clone()) };
        let bind = |fields| self.bound(fields);
        match (leased, &self.tenant) {
            (Some(leased), _) => tenants.upstream(&leased.claims, &leased.text, bind).await,
            (None, Some(tenant)) => tenants.own(tenant, bind).await,
            (None, None) => Err(ToolError::forbidden("the call carries no lease")),
        }
    }

    /// An upstream over fields that an admin has not saved yet.
    ///
    /// # Errors
    /// What the broker says.
    async fn trial(&self, leased: &Leased, sealed: &str) -> Result<Upstream, ToolError> {
        let tenants =
            self.tenants.as_ref().ok_or_else(|| ToolError::forbidden("the service has no stored credentials"))?;
        tenants.trial(&leased.text, sealed, |fields| self.bound(fields)).await
    }

    fn bound(&self, fields: Fields) -> Upstream {
        upstream(&self.rules, &self.clients, fields)
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

/// Whether the connector can do nothing without credentials.
pub(crate) fn needs_credentials(connector: &dyn Connector) -> bool {
    connector.info().credentials.iter().any(|field| field.required)
}

/// Whose credentials a service uses.
#[derive(Debug, Default)]
pub(crate) struct Of {
    /// Those of the tenants that the platform holds; without it, the mounted ones.
    pub(crate) platform: Option<Platform>,
    /// The one tenant, where there is only one.
    pub(crate) tenant: Option<TenantId>,
}

fn bind(connector: &dyn Connector, rules: &CallRules, hide: &[String], clients: &Clients, fields: Fields) -> Binding {
    let upstream = upstream(rules, clients, fields);
    let catalog = Arc::new(Catalog::new(connector, &upstream, rules, hide));
    Binding { upstream, catalog }
}

fn upstream(rules: &CallRules, clients: &Clients, fields: Fields) -> Upstream {
    let parts = UpstreamParts {
        fields,
        settings: Arc::clone(&clients.settings),
        http: clients.http.clone(),
        dialer: clients.dialer.clone(),
        local: clients.local,
    };
    Upstream::new(parts, RequestId::accept(None), Instant::now() + rules.timeout())
}
