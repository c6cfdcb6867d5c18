//! A whole service, configured: parsed values come in, a serving future goes out. Used by `aperium-mcp` and by
//! `aperium up` alike.

use std::sync::Arc;

use aperium_core::id::TenantId;
use aperium_platform::bearer::TokenSource;
use aperium_platform::egress::{EgressError, EgressPolicy, ExternalClient, FactsFile, GuardedDialer, Reach};
use aperium_platform::serve::{ServerLimits, serve as serve_router};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::calls::CallRules;
use crate::connector::Connector;
use crate::credentials::CredentialsSource;
use crate::server::{Face, router};
use crate::service::readiness::watch;
use crate::service::{Clients, Of, Service};

/// The largest request body, in bytes, unless configured otherwise.
pub(crate) const DEFAULT_MAX_BODY: usize = 4 * 1024 * 1024;

/// Everything one service needs.
pub struct ServiceConfig {
    /// Which connector.
    pub connector: Arc<dyn Connector>,
    /// The token that callers must present.
    pub token: TokenSource,
    /// Where the credentials of the upstream come from.
    pub credentials: CredentialsSource,
    /// The one tenant of a single-tenant service (`spec.service.tenant`).
    pub tenant: Option<TenantId>,
    /// `spec.service.settings`.
    pub settings: Value,
    /// `spec.calls`.
    pub calls: CallRules,
    /// `spec.tools.hide`: names of tools that do not exist for callers.
    pub hide: Vec<String>,
    /// What may be reached.
    pub egress: EgressPolicy,
    /// The file that completes the egress rules with the facts of the cluster.
    pub facts: Option<FactsFile>,
    /// Host headers that are accepted on `/mcp` beside those of loopback.
    pub allowed_hosts: Vec<String>,
    /// Whether `/metrics` needs no token.
    pub metrics_open: bool,
    /// Whether the service runs inside `aperium up`, where a connector may read local files.
    pub local: bool,
    /// The largest request body, in bytes.
    pub max_body: usize,
    /// The limits of the listener.
    pub limits: ServerLimits,
}

impl ServiceConfig {
    /// A service of which nobody has said more than this: no tenant of its own, no settings, every tool, the default
    /// limits, and nothing of the machine that it runs on.
    #[must_use]
    pub fn new(
        connector: Arc<dyn Connector>,
        token: TokenSource,
        credentials: CredentialsSource,
        egress: EgressPolicy,
    ) -> Self {
        Self {
            connector,
            token,
            credentials,
            tenant: None,
            settings: Value::Object(serde_json::Map::new()),
            calls: CallRules::default(),
            hide: Vec::new(),
            egress,
            facts: None,
            allowed_hosts: Vec::new(),
            metrics_open: false,
            local: false,
            max_body: DEFAULT_MAX_BODY,
            limits: ServerLimits::default(),
        }
    }
}

/// Why a service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The settings do not fit the connector.
    #[error("the settings of {module}: {message}")]
    Settings {
        /// Which connector.
        module: &'static str,
        /// What is wrong, with the field's name.
        message: String,
    },
    /// A tool is to be hidden that does not exist.
    #[error("tools.hide names {0:?}, which is no tool of this connector")]
    Hide(String),
    /// The HTTP client cannot be built.
    #[error("the guarded HTTP client could not be built")]
    Client(#[source] EgressError),
    /// The listener failed.
    #[error("the listener failed")]
    Listen(#[source] std::io::Error),
}

impl ServeError {
    /// The variant as a word for logs and conditions.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Settings { .. } => "SettingsInvalid",
            Self::Hide(_) => "HideInvalid",
            Self::Client(_) => "ClientUnavailable",
            Self::Listen(_) => "ListenFailed",
        }
    }
}

/// Serves until `stop`, then lets running requests finish.
///
/// # Errors
/// When the configuration does not fit the connector, or the listener fails.
pub async fn serve(config: ServiceConfig, listener: TcpListener, stop: CancellationToken) -> Result<(), ServeError> {
    let service = Arc::new(build(&config)?);
    let face = Face {
        token: config.token,
        allowed_hosts: config.allowed_hosts,
        metrics_open: config.metrics_open,
        max_body: config.max_body,
    };
    let app = router(&service, face);
    // Once before the first probe, which would otherwise find every private address closed.
    let facts = config.facts.map(|mut facts| {
        facts.look(&config.egress);
        tokio::spawn(facts.follow(config.egress.clone(), stop.clone()))
    });
    let watching = tokio::spawn(watch(Arc::clone(&service), config.credentials, stop.clone()));
    tracing::info!(
        module = service.connector.info().module,
        tools = service.binding().catalog.len(),
        address = listener.local_addr().ok().map(tracing::field::display),
        "serving"
    );
    let served = serve_router(listener, app, config.limits, stop).await.map_err(ServeError::Listen);
    watching.abort();
    if let Some(facts) = facts {
        facts.abort();
    }
    served
}

/// The pure half: checks the configuration and puts the parts together.
fn build(config: &ServiceConfig) -> Result<Service, ServeError> {
    let info = config.connector.info();
    let settings = info
        .settings
        .parse(config.settings.clone())
        .map_err(|message| ServeError::Settings { module: info.module, message })?;
    if let Some(unknown) = config.hide.iter().find(|name| !config.connector.tools().iter().any(|t| t.name() == *name)) {
        return Err(ServeError::Hide(unknown.clone()));
    }
    let clients = Clients {
        settings,
        http: ExternalClient::new(config.egress.clone(), Reach::Admin).map_err(ServeError::Client)?,
        dialer: GuardedDialer::new(config.egress.clone(), Reach::Admin),
        local: config.local,
    };
    let platform = match &config.credentials {
        CredentialsSource::Platform(platform) => Some(platform.clone()),
        CredentialsSource::Dir(_) | CredentialsSource::Memory(_) => None,
    };
    Ok(Service::new(
        Arc::clone(&config.connector),
        config.calls.clone(),
        config.hide.clone(),
        clients,
        config.token.clone(),
        Of { platform, tenant: config.tenant.clone() },
    ))
}
