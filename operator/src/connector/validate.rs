//! What was found → a Connector that can be planned without any further refusal, or the one reason why not.

use super::dereference::{Referenced, SecretState};
use super::plan::pod_template::{self, PodTemplateError};
use crate::names::{Names, TOKEN_KEY};
use crate::stores::Key;
use aperium_core::id::{ConnectorId, ConnectorName, IdError, ModuleName, TenantId};
use aperium_core::module::default_port;
use aperium_core::name::effective_id;
use aperium_crds::condition::reasons;
use aperium_crds::connector::Service;
use aperium_crds::structural::{Fault, check_context};
use aperium_crds::{Connector, ConnectorSpec};
use serde_json::Value;

/// Why a Connector is not taken. All of these wait for an edit, of it or of its rival.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The resource name cannot name children.
    #[error("metadata.name: {0}")]
    Name(#[source] IdError),
    /// The id, given or derived, is malformed or reserved.
    #[error("spec.id: {0}")]
    Id(#[source] IdError),
    /// `context` is neither a string nor an object, or too large.
    #[error("{0}")]
    Context(Fault),
    /// The module's name is malformed.
    #[error("spec.service.module: {0}")]
    Module(#[source] IdError),
    /// The tenant's name is malformed.
    #[error("spec.service.tenant: {0}")]
    Tenant(#[source] IdError),
    /// The port is none.
    #[error("spec.service.port: {0} is no port from 1024 to 65535")]
    Port(i32),
    /// A range of `egressCIDRs` is none.
    #[error("spec.service.networkPolicy.egressCIDRs: \"{0}\" is no range of addresses")]
    Cidr(String),
    /// An older Connector has the id.
    #[error("id \"{id}\" belongs to the older Connector {rival}")]
    Conflicted {
        /// The id, as this Connector has it.
        id: ConnectorId,
        /// Who has it.
        rival: Key,
    },
    /// The pod template breaks a rule.
    #[error("spec.service.podTemplate: {0}")]
    PodTemplate(#[from] PodTemplateError),
}

impl Refusal {
    /// The reason of `Accepted=False`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Conflicted { .. } => reasons::CONFLICTED,
            Self::PodTemplate(_) => reasons::POD_TEMPLATE_INVALID,
            _ => reasons::INVALID,
        }
    }
}

/// Where the pods get the token that callers must present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The Secret.
    pub secret: String,
    /// The key in it.
    pub key: String,
    /// Whether the operator makes the Secret.
    pub generated: bool,
    /// Whether it may be mounted.
    pub mounted: bool,
}

/// A Connector with a service that passed every check. Only [`validate`] makes one.
#[derive(Debug)]
pub struct ValidatedConnector<'a> {
    pub(super) name: ConnectorName,
    pub(super) namespace: &'a str,
    pub(super) uid: &'a str,
    pub(super) id: ConnectorId,
    pub(super) port: u16,
    pub(super) token: Token,
    pub(super) spec: &'a ConnectorSpec,
    pub(super) service: &'a Service,
    pub(super) pod_template: Value,
}

impl ValidatedConnector<'_> {
    /// The pods that there shall be, or none where an autoscaler decides.
    #[must_use]
    pub fn replicas(&self) -> Option<i32> {
        match (self.spec.suspend, &self.service.autoscaling) {
            (true, _) => Some(0),
            (false, Some(_)) => None,
            (false, None) => Some(self.service.replicas),
        }
    }

    /// The effective id.
    #[must_use]
    pub fn id(&self) -> &ConnectorId {
        &self.id
    }
}

/// Checks everything that the API server could not.
///
/// # Errors
/// The first [`Refusal`].
pub fn validate<'a>(
    names: &Names,
    connector: &'a Connector,
    service: &'a Service,
    found: &Referenced,
) -> Result<ValidatedConnector<'a>, Refusal> {
    let spec = &connector.spec;
    let name = ConnectorName::parse(connector.metadata.name.as_deref().unwrap_or_default()).map_err(Refusal::Name)?;
    let id = effective_id(spec.id.as_deref(), &name).map_err(Refusal::Id)?;
    check_context(spec.context.as_ref()).map_err(Refusal::Context)?;
    let module = ModuleName::parse(&service.module).map_err(Refusal::Module)?;
    service.tenant.as_deref().map(TenantId::parse).transpose().map_err(Refusal::Tenant)?;
    let port = match service.port {
        None => default_port(&module),
        Some(port) => u16::try_from(port).ok().filter(|port| *port >= 1024).ok_or(Refusal::Port(port))?,
    };
    for cidr in &service.network_policy.egress_cidrs {
        // The host part must be empty: the API server warns about "10.0.0.1/8", and it rarely means what was meant.
        cidr.parse::<ipnet::IpNet>()
            .ok()
            .filter(|range| range.trunc() == *range)
            .ok_or_else(|| Refusal::Cidr(cidr.clone()))?;
    }
    if let Some(rival) = &found.rival {
        return Err(Refusal::Conflicted { id, rival: rival.clone() });
    }
    let token = token(&name, service, found);
    let namespace = connector.metadata.namespace.as_deref().unwrap_or_default();
    let base = pod_template::base(&pod_template::Input {
        names,
        name: &name,
        namespace,
        id: &id,
        module: &module,
        port,
        token: &token,
        credentials: found.credentials_secret().filter(|_| found.credentials == Some(SecretState::Usable)),
        spec,
        service,
    });
    let pod_template = match &service.pod_template {
        None => base,
        Some(overlay) => pod_template::overlaid(&base, overlay)?,
    };
    let uid = connector.metadata.uid.as_deref().unwrap_or_default();
    Ok(ValidatedConnector { name, namespace, uid, id, port, token, spec, service, pod_template })
}

fn token(name: &ConnectorName, service: &Service, found: &Referenced) -> Token {
    match &service.auth {
        Some(auth) => Token {
            secret: auth.existing_secret.clone(),
            key: auth.key.clone(),
            generated: false,
            mounted: found.token == Some(SecretState::Usable),
        },
        None => Token { secret: Names::token_secret(name), key: TOKEN_KEY.to_owned(), generated: true, mounted: true },
    }
}
