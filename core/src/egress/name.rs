//! The name layer: which host names never leave this host, network or cluster. A second line behind the address check.

/// What kind of local name it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NameClass {
    /// A cloud's metadata service. Nothing opens it.
    Metadata,
    /// The Kubernetes API server. Nothing opens it.
    ApiServer,
    /// `localhost` and everything under it (RFC 6761 §6.3).
    Localhost,
    /// `*.svc`, `*.cluster.local` and the like: a Service or pod of the cluster.
    Cluster,
    /// `*.internal`, `*.localdomain`, `*.arpa`: private-use names (ICANN SSAC-113, RFC 9476).
    Internal,
    /// One label: its meaning depends on a search list.
    SingleLabel,
}

impl NameClass {
    pub(super) const fn describe(self) -> &'static str {
        match self {
            Self::Metadata => "name of a metadata service",
            Self::ApiServer => "name of the API server",
            Self::Localhost => "name of this host",
            Self::Cluster => "name inside the cluster",
            Self::Internal => "private-use name",
            Self::SingleLabel => "single-label name",
        }
    }
}

const METADATA_NAMES: [&str; 9] = [
    "metadata",
    "metadata.google.internal",
    "metadata.goog",
    "metadata.internal",
    "metadata.tencentyun.com",
    "metadata.azure.internal",
    "instance-data",
    "instance-data.ec2.internal",
    "instance-data.internal",
];

const LOCALHOST_NAMES: [&str; 5] =
    ["localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback", "localhost6.localdomain6"];

/// The class of a normalised name (lower case, no trailing dot), or `None` for a name of the public DNS.
pub(super) fn classify(name: &str) -> Option<NameClass> {
    let under = |zone: &str| name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    if METADATA_NAMES.contains(&name) {
        Some(NameClass::Metadata)
    } else if is_api_server(name) {
        Some(NameClass::ApiServer)
    } else if LOCALHOST_NAMES.contains(&name) || under("localhost") {
        Some(NameClass::Localhost)
    } else if under("svc") || under("cluster.local") {
        Some(NameClass::Cluster)
    } else if under("internal") || under("localdomain") || under("arpa") {
        Some(NameClass::Internal)
    } else if !name.contains('.') {
        Some(NameClass::SingleLabel)
    } else {
        None
    }
}

/// `kubernetes`, `kubernetes.default`, `kubernetes.default.svc` and that under any cluster domain.
fn is_api_server(name: &str) -> bool {
    matches!(name, "kubernetes" | "kubernetes.default" | "kubernetes.default.svc")
        || name.starts_with("kubernetes.default.svc.")
}
