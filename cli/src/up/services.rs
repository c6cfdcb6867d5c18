//! Connectors with a module → MCP services of this process, each on a loopback port with a token made at start.

use super::{NAMESPACE, local, secrets};
use crate::token;
use anyhow::{Context, anyhow};
use aperium_core::id::{ConnectorName, ModuleName, TenantId};
use aperium_core::name::effective_id;
use aperium_crds::Connector;
use aperium_crds::connector::{CredentialSource, Service, Writes};
use aperium_gateway::folder::Folder;
use aperium_gateway::{BrokerConfig, GivenService};
use aperium_mcp_service::connector::Connector as Module;
use aperium_mcp_service::{CallRules, CredentialsSource, ServiceConfig, serve};
use aperium_platform::bearer::TokenSource;
use aperium_platform::egress::{ClusterEndpoint, EgressPolicy};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Services with their ports, not yet started.
pub(crate) struct Services(Vec<Prepared>);

struct Prepared {
    connector: Arc<Connector>,
    module: Arc<dyn Module>,
    listener: TcpListener,
    port: u16,
}

impl Services {
    /// Finds each module and takes a port for it.
    pub(crate) async fn prepare(folder: &Folder) -> anyhow::Result<Self> {
        let mut prepared = Vec::new();
        for connector in folder.resources.connectors.iter().filter(|connector| !connector.spec.suspend) {
            let Some(service) = &connector.spec.service else { continue };
            let module = module(&name(connector), service)?;
            let listener = TcpListener::bind("127.0.0.1:0").await.context("no free loopback port")?;
            let port = listener.local_addr().context("a listener has no address")?.port();
            prepared.push(Prepared { connector: Arc::clone(connector), module, listener, port });
        }
        Ok(Self(prepared))
    }

    /// The ports that egress must never open.
    pub(crate) fn ports(&self) -> impl Iterator<Item = u16> {
        self.0.iter().map(|prepared| prepared.port)
    }

    /// Starts them all; each runs until `stop`. Returns where they are, by the Connector's name.
    pub(crate) fn start(
        self,
        folder: &Folder,
        egress: &EgressPolicy,
        broker: &BrokerConfig,
        stop: &CancellationToken,
    ) -> anyhow::Result<HashMap<String, GivenService>> {
        self.0.into_iter().map(|prepared| prepared.start(folder, egress, broker, stop)).collect()
    }
}

impl Prepared {
    fn start(
        self,
        folder: &Folder,
        egress: &EgressPolicy,
        broker: &BrokerConfig,
        stop: &CancellationToken,
    ) -> anyhow::Result<(String, GivenService)> {
        let connector = name(&self.connector);
        let token = TokenSource::fixed(token::random()?.into());
        let config =
            self.config(folder, egress, broker, token.clone()).with_context(|| format!("Connector \"{connector}\""))?;
        let address = self.listener.local_addr().context("a listener has no address")?;
        let endpoint = ClusterEndpoint::local(address).context("a service is not on loopback")?;
        let (listener, stop, named) = (self.listener, stop.clone(), connector.clone());
        tokio::spawn(async move {
            if let Err(error) = serve(config, listener, stop).await {
                tracing::error!(connector = %named, %error, "the service ended");
            }
        });
        Ok((connector, GivenService { endpoint, token }))
    }

    fn config(
        &self,
        folder: &Folder,
        egress: &EgressPolicy,
        broker: &BrokerConfig,
        token: TokenSource,
    ) -> anyhow::Result<ServiceConfig> {
        let spec = &self.connector.spec;
        let service = spec.service.as_ref().ok_or_else(|| anyhow!("spec.service is missing"))?;
        let calls = serde_json::json!({"timeoutSeconds": spec.calls.timeout_seconds, "maxConcurrent": spec.calls.max_concurrent});
        let writes = match spec.calls.writes {
            Some(Writes::Enabled) => aperium_mcp_service::Writes::Enabled,
            Some(Writes::Disabled) | None => aperium_mcp_service::Writes::Disabled,
        };
        let credentials = self.credentials(folder, broker, service)?;
        Ok(ServiceConfig {
            tenant: service.tenant.as_deref().map(TenantId::parse).transpose().context("spec.service.tenant")?,
            settings: service.settings.clone().unwrap_or_else(|| serde_json::json!({})),
            calls: CallRules::parse(&calls.to_string()).context("calls")?.with_writes(writes),
            hide: spec.tools.hide.clone(),
            local: true,
            ..ServiceConfig::new(Arc::clone(&self.module), token, credentials, egress.clone())
        })
    }

    fn credentials(
        &self,
        folder: &Folder,
        broker: &BrokerConfig,
        service: &Service,
    ) -> anyhow::Result<CredentialsSource> {
        if let (CredentialSource::Secret, Some(secret)) = (&service.credentials.source, &service.credentials.secret_ref)
        {
            return Ok(CredentialsSource::fixed(secrets::fields(folder, &name(&self.connector), &secret.name)?));
        }
        let connector = ConnectorName::parse(&name(&self.connector)).context("metadata.name")?;
        let id = effective_id(self.connector.spec.id.as_deref(), &connector).context("spec.id")?;
        Ok(CredentialsSource::Platform(local::platform(broker, NAMESPACE, &connector, id)))
    }
}

fn module(connector: &str, service: &Service) -> anyhow::Result<Arc<dyn Module>> {
    let module = ModuleName::parse(&service.module).with_context(|| format!("Connector \"{connector}\""))?;
    let known = || {
        aperium_mcp_service::connectors::all().iter().map(|known| known.info().module).collect::<Vec<_>>().join(", ")
    };
    aperium_mcp_service::connectors::find(&module).ok_or_else(|| {
        anyhow!("Connector \"{connector}\": this version has no module \"{module}\"; it has: {}", known())
    })
}

fn name(connector: &Connector) -> String {
    connector.metadata.name.clone().unwrap_or_default()
}
