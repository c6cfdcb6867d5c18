//! Where the operator's own services listen: a Service or EndpointSlice that is checked to be operator-owned in, an
//! endpoint out. There is no other way to make one, apart from loopback services that this process started.

use std::net::{IpAddr, SocketAddr};

use aperium_core::{
    address::{self, Class},
    egress::HostPort,
    id::ConnectorName,
    name::child_name,
};
use http::{HeaderValue, uri::Authority};
use k8s_openapi::{
    api::{core::v1::Service, discovery::v1::EndpointSlice},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};

const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "aperium-operator");
const SERVICE_NAME: &str = "kubernetes.io/service-name";
const SLICE_MANAGED_BY: (&str, &str) = ("endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io");
const PORT_NAME: &str = "http";

/// An address that belongs to a service of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterEndpoint {
    target: HostPort,
    authority: Authority,
    host: HeaderValue,
}

/// One pod address of an EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// Where the pod listens.
    pub endpoint: ClusterEndpoint,
    /// The slice's `ready` condition (unknown counts as ready, as the API says).
    pub ready: bool,
    /// The pod's name, where the slice tells it.
    pub pod: Option<String>,
}

/// Why an object yields no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The controlling owner is not the Connector (or Service) asked for.
    #[error("{0} is not controlled by the expected owner")]
    Owner(String),
    /// A label that the operator or the EndpointSlice controller sets is missing or different.
    #[error("{0} lacks the label {1}")]
    Label(String, &'static str),
    /// The name is not the one derived from the Connector.
    #[error("{0} does not have the name of a connector's service")]
    Name(String),
    /// Not of type `ClusterIP`, headless, external, or an `EndpointSlice` of names.
    #[error("{0} is not of a type that is dialled")]
    Type(String),
    /// No port named `http`.
    #[error("{0} has no port named http")]
    Port(String),
    /// The address is not one that a Service or pod can have.
    #[error("{0} has an address that no service or pod has")]
    Address(String),
    /// A loopback service must listen on loopback.
    #[error("{0} is not a loopback address")]
    NotLoopback(SocketAddr),
}

impl EndpointError {
    /// `PascalCase` reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Owner(_) => "NotOwned",
            Self::Label(..) => "LabelMissing",
            Self::Name(_) => "WrongName",
            Self::Type(_) => "WrongType",
            Self::Port(_) => "PortMissing",
            Self::Address(_) => "WrongAddress",
            Self::NotLoopback(_) => "NotLoopback",
        }
    }
}

// === impl ClusterEndpoint ===

impl ClusterEndpoint {
    /// The cluster IP of a Service that the operator made for the Connector with this uid.
    ///
    /// Checked: controlling owner is a `Connector` with that uid, the name is derived from that owner's, the
    /// managed-by label, type `ClusterIP` with an address, a port named `http`.
    ///
    /// # Errors
    /// [`EndpointError`] with the first check that failed.
    pub fn from_service(service: &Service, connector_uid: &str) -> Result<Self, EndpointError> {
        let name = name_of(&service.metadata);
        let owner = controller(&service.metadata, "Connector", connector_uid)
            .filter(|owner| owner.api_version.starts_with("aperium.dev/"))
            .ok_or_else(|| EndpointError::Owner(name.clone()))?;
        let derived = ConnectorName::parse(&owner.name).map(|connector| child_name(&connector));
        if derived.ok().as_deref() != service.metadata.name.as_deref() {
            return Err(EndpointError::Name(name));
        }
        label(&service.metadata, MANAGED_BY)?;
        let spec = service.spec.as_ref().ok_or_else(|| EndpointError::Type(name.clone()))?;
        let plain = spec.type_.as_deref().is_none_or(|kind| kind == "ClusterIP") && spec.external_name.is_none();
        let ip = spec.cluster_ip.as_deref().filter(|ip| plain && !ip.is_empty() && *ip != "None");
        let ip = ip.ok_or_else(|| EndpointError::Type(name.clone()))?;
        let port =
            spec.ports.iter().flatten().find(|port| port.name.as_deref() == Some(PORT_NAME)).map(|port| port.port);
        let port = port.and_then(|port| u16::try_from(port).ok()).ok_or_else(|| EndpointError::Port(name.clone()))?;
        Self::in_cluster(ip, port, &name, &service_host(&service.metadata))
    }

    /// The pod addresses of an EndpointSlice that the cluster's controller made for the operator's Service with this
    /// uid. Pods that are not ready are listed too.
    ///
    /// Checked: controlling owner is the `Service` with that uid and the Connector's derived name, the service-name
    /// label, the labels of the EndpointSlice controller and of the operator (which the controller copies from the
    /// Service), an address type that is no name, a port named `http`.
    ///
    /// # Errors
    /// [`EndpointError`] with the first check that failed.
    pub fn from_endpoint_slice(
        slice: &EndpointSlice,
        connector: &ConnectorName,
        service_uid: &str,
    ) -> Result<Vec<SliceEndpoint>, EndpointError> {
        let name = name_of(&slice.metadata);
        let service = child_name(connector);
        controller(&slice.metadata, "Service", service_uid)
            .filter(|owner| owner.name == service)
            .ok_or_else(|| EndpointError::Owner(name.clone()))?;
        label(&slice.metadata, SLICE_MANAGED_BY)?;
        label(&slice.metadata, MANAGED_BY)?;
        label(&slice.metadata, (SERVICE_NAME, &service))?;
        if !matches!(slice.address_type.as_str(), "IPv4" | "IPv6") {
            return Err(EndpointError::Type(name));
        }
        let port = slice
            .ports
            .iter()
            .flatten()
            .find(|port| port.name.as_deref() == Some(PORT_NAME))
            .and_then(|port| port.port);
        let port = port.and_then(|port| u16::try_from(port).ok()).ok_or_else(|| EndpointError::Port(name.clone()))?;
        let host = format!("{service}.{}.svc", slice.metadata.namespace.as_deref().unwrap_or_default());
        let mut found = Vec::new();
        for pod in slice.endpoints.iter().flatten() {
            // Consumers use the first address alone (API reference of Endpoint.addresses).
            let Some(ip) = pod.addresses.first() else { continue };
            found.push(SliceEndpoint {
                endpoint: Self::in_cluster(ip, port, &name, &host)?,
                ready: pod.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true),
                pod: pod.target_ref.as_ref().and_then(|target| target.name.clone()),
            });
        }
        Ok(found)
    }

    /// A service that this process started on loopback (`aperium up`, tests).
    ///
    /// # Errors
    /// [`EndpointError::NotLoopback`].
    pub fn local(started: SocketAddr) -> Result<Self, EndpointError> {
        if !started.ip().is_loopback() || started.port() == 0 {
            return Err(EndpointError::NotLoopback(started));
        }
        let host = started.to_string();
        Self::build(HostPort::ip(started.ip(), started.port()), &host).ok_or(EndpointError::NotLoopback(started))
    }

    fn in_cluster(ip: &str, port: u16, object: &str, host: &str) -> Result<Self, EndpointError> {
        let wrong = || EndpointError::Address(object.to_owned());
        let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
        // Pod and service ranges may be public; what no pod can have is refused.
        let odd = address::is_metadata(ip) || !matches!(address::classify(ip), None | Some(Class::Private));
        if odd || port == 0 {
            return Err(wrong());
        }
        Self::build(HostPort::ip(ip, port), &format!("{host}:{port}")).ok_or_else(wrong)
    }

    fn build(target: HostPort, host: &str) -> Option<Self> {
        let authority = Authority::try_from(target.to_string()).ok()?;
        let host = HeaderValue::from_str(host).ok()?;
        Some(Self { target, authority, host })
    }

    /// Address and port.
    #[must_use]
    pub const fn target(&self) -> &HostPort {
        &self.target
    }

    pub(super) const fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(super) const fn host_header(&self) -> &HeaderValue {
        &self.host
    }
}

impl std::fmt::Display for ClusterEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.target.fmt(f)
    }
}

fn controller<'a>(metadata: &'a ObjectMeta, kind: &str, uid: &str) -> Option<&'a OwnerReference> {
    let owner = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))?;
    (owner.kind == kind && !uid.is_empty() && owner.uid == uid).then_some(owner)
}

fn label(metadata: &ObjectMeta, (key, value): (&'static str, &str)) -> Result<(), EndpointError> {
    let found = metadata.labels.as_ref().and_then(|labels| labels.get(key));
    if found.map(String::as_str) == Some(value) { Ok(()) } else { Err(EndpointError::Label(name_of(metadata), key)) }
}

fn name_of(metadata: &ObjectMeta) -> String {
    format!("{}/{}", metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

fn service_host(metadata: &ObjectMeta) -> String {
    format!(
        "{}.{}.svc",
        metadata.name.as_deref().unwrap_or_default(),
        metadata.namespace.as_deref().unwrap_or_default()
    )
}
