//! Per-user OAuth: each user authorises the gateway for a connector, and their calls carry their own token.
//!
//! ```text
//! connect ──flow──► authorization server ──► callback ──flow──► token, sealed in the database
//! call ──people──► the caller's own upstream session ──personal──► the caller's token, renewed where it is due
//! ```

use crate::catalog::PerUser;
use aperium_core::caller::{Caller, Principal};
use aperium_core::id::TenantId;
use aperium_platform::oauth::{Client, Denied, OauthError, Server};
use aperium_store::{Store, StoreError};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

mod desk;
pub(crate) mod document;
mod flow;
mod people;
mod personal;
mod scopes;

pub(crate) use desk::Desk;
pub(crate) use people::People;
pub(crate) use personal::{Latest, Personal};

/// The tenant of those who have none: there is no tenancy then.
const NO_TENANT: &str = "default";

/// A person, as tokens know them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Person {
    /// Whose data it is.
    pub(crate) tenant: TenantId,
    /// Who, within it.
    pub(crate) name: String,
}

impl Person {
    /// The person behind a caller; none where nobody could open a browser and be known there as the same. Whom a delegate
    /// names has shown nothing of their own here.
    pub(crate) fn of(caller: &Caller) -> Option<Self> {
        match &caller.principal {
            Principal::Loopback | Principal::User { .. } | Principal::Local(_) => {
                let tenant = caller.tenant.clone().or_else(|| TenantId::parse(NO_TENANT).ok())?;
                Some(Self { tenant, name: caller.principal.to_string() })
            }
            Principal::ServiceAccount { .. } | Principal::Client(_) | Principal::Named(_) => None,
        }
    }
}

/// Why somebody has no token, or cannot get one.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ConsentError {
    /// The caller cannot sign in.
    #[error("this caller cannot sign in")]
    NoPerson,
    /// The person has not consented, or not any more.
    #[error("the user has not authorised it")]
    Needed,
    /// The upstream wants scopes that the person has not consented to.
    #[error("the user has not authorised enough of it")]
    MoreScope,
    /// The upstream wants scopes that the person was asked for already, or wants others again and again.
    #[error("it wants what its user was asked for already")]
    AskedAlready,
    /// There is no database.
    #[error("there is no platform database")]
    NoStore,
    /// The database.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The client id and secret of an admin are not there.
    #[error("its client id and secret are not available: {0}")]
    Client(#[from] crate::secrets::Unresolved),
    /// A step of the flow.
    #[error("{0}")]
    Oauth(#[from] Arc<OauthError>),
    /// The answer of the authorization server does not count.
    #[error("{0}")]
    Denied(#[from] Denied),
    /// What was stored cannot be read.
    #[error("what was stored cannot be read")]
    Stored,
    /// The gateway is stopping, or another replica does not come to an end.
    #[error("the token could not be renewed in time")]
    Interrupted,
}

impl From<OauthError> for ConsentError {
    fn from(error: OauthError) -> Self {
        Self::Oauth(Arc::new(error))
    }
}

impl ConsentError {
    /// The reason for conditions and metric labels.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NoPerson => "NoPerson",
            Self::Needed => "NeedsAuth",
            Self::MoreScope => "NeedsScope",
            Self::AskedAlready => "ScopeNotGranted",
            Self::NoStore => "DatabaseMissing",
            Self::Store(error) => error.reason(),
            Self::Client(why) => why.reason,
            Self::Oauth(error) => error.reason(),
            Self::Denied(_) => "ConsentDenied",
            Self::Stored => "RowMalformed",
            Self::Interrupted => "Interrupted",
        }
    }

    /// What a caller may read.
    pub(crate) fn outside(&self) -> &'static str {
        match self {
            Self::NoPerson => "it needs a user of its own, and this caller is none",
            Self::Needed => "the user has not authorised it",
            Self::MoreScope => "the user has not authorised enough of it",
            Self::AskedAlready => {
                "it wants more than the user has granted, who was asked for it already; \
                 they may disconnect and connect again"
            }
            Self::NoStore => "there is no database for the tokens of users",
            Self::Store(_) | Self::Stored => "the tokens of users cannot be read",
            Self::Client(_) => "its OAuth client is not available",
            Self::Oauth(_) | Self::Denied(_) | Self::Interrupted => "its authorization server gave no token",
        }
    }
}

/// How a connector is for one person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// There is a token that renews itself.
    Authorised,
    /// There is a token that ends without another one.
    WithoutRenewal,
    /// There is one, and the upstream has asked for scopes that it does not have.
    NeedsScope,
    /// There is none.
    NeedsAuth,
}

/// A token with all that renews and revokes it. Stored sealed, never otherwise.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    #[serde(serialize_with = "exposed")]
    access: SecretString,
    #[serde(serialize_with = "exposed_option")]
    refresh: Option<SecretString>,
    server: Server,
    client: Client,
    resource: String,
    #[serde(flatten)]
    scopes: scopes::Scopes,
    /// Milliseconds since 1970; nothing: no end is known.
    ends_ms: Option<i64>,
}

fn exposed<S: serde::Serializer>(secret: &SecretString, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(secret.expose_secret())
}

fn exposed_option<S: serde::Serializer>(secret: &Option<SecretString>, to: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(|secret| secret.expose_secret()).serialize(to)
}

/// A new desk for a connector and its people.
pub(crate) fn open(
    id: &str,
    url: &http::Uri,
    how: &PerUser,
    secret: &str,
    store: Option<Store>,
    policy: Result<aperium_platform::egress::EgressPolicy, aperium_platform::egress::EgressError>,
) -> Arc<Desk> {
    Desk::new(id, url, how.clone(), secret, store, policy)
}
