//! A connector as a caller may see it: no address and no secret for anyone but admins, and a secret for nobody.

use super::tenants::{Known, Standing, Tenants};
use crate::catalog::Place;
use crate::consent::{self, ConsentError};
use crate::registry;
use crate::snapshot::{Entry, Health, Kind, Snapshot, View};
use aperium_core::capability::Category;
use aperium_core::grant::CallerGrants;
use aperium_crds::connector::Protocol;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// One connector.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Connector {
    /// Its id: prefix of its tools, segment of paths and grants.
    id: String,
    /// `mcp` or `http`.
    protocol: &'static str,
    /// Its name for people.
    display_name: Option<String>,
    /// The entry of the verified registry that it was made from, or `Custom`.
    provider: String,
    /// `system`, `custom` or `verified`.
    group: &'static str,
    /// What it is for.
    description: Option<String>,
    /// Guidance for models: a string or an object.
    context: Option<Value>,
    /// Labels that grants can name.
    labels: Vec<String>,
    /// How the gateway authenticates there; nothing for services and for servers that let anyone in.
    auth_type: Option<&'static str>,
    /// Whether each user authorises the gateway for themselves.
    per_user: bool,
    /// How it is for this caller.
    status: Status,
    /// What is wrong, where something is.
    error: Option<String>,
    /// What it offers.
    capabilities: Capabilities,
    /// When it was last asked; nothing for HTTP connectors, which are not.
    last_probe: Option<String>,
    /// How the credential of the caller's tenant is; nothing where tenants have none of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<Standing>,
    /// What only admins see.
    #[serde(skip_serializing_if = "Option::is_none")]
    admin: Option<ForAdmins>,
}

/// How a connector is for one caller. The first that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Status {
    /// No Grant of the caller is about it.
    NoAccess,
    /// Its credential is missing or refused; of a user's own: it ends without another one.
    Misconfigured,
    /// The caller has to authorise the gateway first, or for more.
    NeedsAuth,
    /// It does not answer as it should.
    Unreachable,
    /// It has not been asked yet.
    Pending,
    /// It can be used.
    Ready,
}

/// What a connector offers, and what of it the caller may use.
#[derive(Debug, Serialize, ToSchema)]
struct Capabilities {
    /// MCP tools.
    tools: Vec<Capability>,
    /// MCP prompts.
    prompts: Vec<Capability>,
    /// MCP resources; the name is the URI.
    resources: Vec<Capability>,
    /// MCP resource templates; the name is the URI template.
    templates: Vec<Capability>,
    /// The proxy path `/v1/connectors/<id>/`.
    proxy: Access,
}

/// One thing that a connector offers.
#[derive(Debug, Serialize, ToSchema)]
struct Capability {
    /// The upstream's own name, which grants speak of.
    name: String,
    /// The name in the aggregate.
    exposed: String,
    /// What the upstream says of it.
    description: Option<String>,
    /// Whether a Grant opens it to the caller.
    accessible: bool,
}

/// Whether something without a name may be used.
#[derive(Debug, Serialize, ToSchema)]
struct Access {
    /// Whether a Grant opens it to the caller.
    accessible: bool,
}

/// What only admins see.
#[derive(Debug, Serialize, ToSchema)]
struct ForAdmins {
    /// The namespace of its resource.
    namespace: String,
    /// The name of its resource.
    name: String,
    /// The version that a change must name; nothing in a folder.
    version: Option<String>,
    /// What the resource says. Credentials are named there, and never held.
    spec: Option<Value>,
    /// Where it is, for remote connectors.
    url: Option<String>,
    /// Why it is unreachable, with addresses.
    cause: Option<String>,
    /// What was offered with texts that carry hidden characters, with the hash that accepts them.
    quarantined: Vec<Quarantined>,
    /// How the stored credentials of tenants are; nothing where they have none of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenants: Option<Tenants>,
}

/// One thing in quarantine.
#[derive(Debug, Serialize, ToSchema)]
struct Quarantined {
    /// `tools`, `prompts`, `resources` or `templates`.
    kind: &'static str,
    /// Its name, without the characters that are not shown.
    name: String,
    /// What `spec.tools.acceptedHashes` must hold to list it.
    hash: String,
}

impl Connector {
    /// The connector at a position of the Snapshot, for the caller of the view.
    pub(super) async fn of(snapshot: &Snapshot, view: &View, known: &Known, position: usize) -> Option<Self> {
        let entry = snapshot.at(position)?;
        let config = &entry.config;
        let mut status = status(entry, view.concerns(position, entry));
        if let Some(people) = entry.people.as_ref().filter(|_| status != Status::NoAccess) {
            status = own_status(people.standing(&view.identity().caller).await, status);
        }
        Some(Self {
            id: config.id.to_string(),
            protocol: if config.protocol == Protocol::Http { "http" } else { "mcp" },
            display_name: config.display_name.clone(),
            provider: config.provider.clone().unwrap_or_else(|| "Custom".to_owned()),
            group: if entry.is_system() { "system" } else { group(config.provider.as_deref()) },
            description: config.description.clone(),
            context: config.context.clone(),
            labels: config.labels.clone(),
            auth_type: config.auth.as_ref().map(|auth| auth.scheme.as_str()),
            per_user: entry.people.is_some(),
            status,
            error: error(entry, status),
            capabilities: capabilities(entry, view),
            last_probe: entry.pulse.last().map(|at| format!("{at:.0}")),
            credential: known.own(config).filter(|_| status != Status::NoAccess),
            admin: view.is_admin().then(|| ForAdmins::of(snapshot, entry, known)),
        })
    }
}

/// A provider that the registry does not know is as good as none.
fn group(provider: Option<&str>) -> &'static str {
    let verified = provider.is_some_and(|name| registry::all().iter().any(|known| known.provider == name));
    if verified { "verified" } else { "custom" }
}

fn status(entry: &Entry, concerned: bool) -> Status {
    match &entry.health {
        _ if !concerned => Status::NoAccess,
        Health::Unavailable { reason: "TokenMissing" | "AuthFailed" | "CredentialMissing", .. } => {
            Status::Misconfigured
        }
        Health::Unavailable { .. } => Status::Unreachable,
        Health::Pending => Status::Pending,
        Health::Registered => Status::Ready,
    }
}

/// How a connector is for a user with or without a token of their own.
fn own_status(standing: Result<consent::Standing, ConsentError>, shared: Status) -> Status {
    match standing {
        Ok(consent::Standing::NeedsAuth | consent::Standing::NeedsScope) => Status::NeedsAuth,
        Ok(consent::Standing::WithoutRenewal) => Status::Misconfigured,
        Ok(consent::Standing::Authorised) => shared,
        Err(error) => {
            tracing::warn!(reason = error.reason(), %error, "the tokens of users cannot be read");
            Status::Misconfigured
        }
    }
}

fn error(entry: &Entry, status: Status) -> Option<String> {
    match (&entry.health, status) {
        (_, Status::NoAccess | Status::NeedsAuth) => None,
        (Health::Unavailable { outside, .. }, _) => Some(outside.clone()),
        _ => None,
    }
}

fn capabilities(entry: &Entry, view: &View) -> Capabilities {
    let granted = entry.granted();
    let grants = CallerGrants::of(&view.identity().caller, view.rules()).ok();
    let opens =
        |category, name: &str| grants.as_ref().is_some_and(|grants| grants.allowing(granted, category, name).is_some());
    let of = |kind: Kind| {
        let items = entry.offers.of(kind).iter();
        let shown = items.map(|item| Capability {
            name: item.name.to_string(),
            exposed: item.exposed.to_string(),
            description: description(&item.definition),
            accessible: opens(kind.category(), &item.name),
        });
        shown.collect()
    };
    Capabilities {
        tools: of(Kind::Tools),
        prompts: of(Kind::Prompts),
        resources: of(Kind::Resources),
        templates: of(Kind::Templates),
        proxy: Access { accessible: opens(Category::Proxy, "") },
    }
}

/// The description in a definition, as far as it is a text.
fn description(definition: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Described<'a> {
        #[serde(borrow)]
        description: Option<&'a RawValue>,
    }
    let described: Described<'_> = serde_json::from_str(definition).ok()?;
    serde_json::from_str(described.description?.get()).ok()
}

impl ForAdmins {
    fn of(snapshot: &Snapshot, entry: &Entry, known: &Known) -> Self {
        let config = &entry.config;
        let resource = snapshot.catalog.connector(&config.key);
        let quarantined = entry.offers.quarantined();
        Self {
            namespace: config.key.namespace.clone(),
            name: config.key.name.clone(),
            version: resource.and_then(|resource| resource.metadata.resource_version.clone()),
            spec: resource.and_then(|resource| serde_json::to_value(&resource.spec).ok()),
            url: match &config.place {
                Place::Url(uri) | Place::Registered(uri) => Some(uri.to_string()),
                Place::Service { .. } => None,
            },
            cause: match &entry.health {
                Health::Unavailable { inside, .. } => Some(inside.clone()),
                _ => None,
            },
            quarantined: quarantined
                .map(|(kind, name, hash)| Quarantined {
                    kind: kind.category().as_str(),
                    name: name.to_owned(),
                    hash: hash.to_owned(),
                })
                .collect(),
            tenants: known.all(config),
        }
    }
}

/// A Connector that is not served.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Refused {
    namespace: String,
    name: String,
    reason: &'static str,
    message: String,
}

impl Refused {
    /// All of them, in the order of their keys.
    pub(super) fn all(snapshot: &Snapshot) -> Vec<Self> {
        let refused = snapshot.catalog.refused.iter();
        refused
            .map(|(key, why)| Self {
                namespace: key.namespace.clone(),
                name: key.name.clone(),
                reason: why.reason,
                message: why.message.clone(),
            })
            .collect()
    }
}
