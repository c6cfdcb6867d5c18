//! What the Manager is told.

use super::poll;
use crate::catalog::{ConnectorConfig, ResourceKey, Resources};
use crate::pipeline::authn::static_tokens::TokenFiles;
use crate::pipeline::credential::ServiceToken;
use crate::secrets::Found;
use aperium_crds::Settings;
use aperium_platform::egress::ClusterEndpoint;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, oneshot};

/// Where a managed service listens, and its token.
#[derive(Debug, Clone)]
pub(crate) struct Placement {
    /// Its address.
    pub(crate) endpoint: ClusterEndpoint,
    /// Its token.
    pub(crate) token: Arc<ServiceToken>,
}

impl PartialEq for Placement {
    fn eq(&self, other: &Self) -> bool {
        self.endpoint == other.endpoint && Arc::ptr_eq(&self.token, &other.token)
    }
}

/// The Secret of a remote connector's credential, as it is at the moment.
#[derive(Debug, Clone)]
pub(crate) struct SecretSeen {
    /// Its name.
    pub(crate) secret: String,
    /// What it says.
    pub(crate) found: Found,
    /// Whoever reads it: notified when the upstream does not accept the credential.
    pub(crate) reader: Arc<Notify>,
}

/// What the Manager is told.
#[derive(Debug)]
pub(crate) enum Event {
    /// All resources as they are now.
    Resources(Resources),
    /// The settings file and the token files as they are now.
    Settings(Arc<Settings>, TokenFiles),
    /// All managed services as they are now.
    Placements(HashMap<ResourceKey, Placement>),
    /// A service has another token, or may have one now: ask it at once.
    Wake(ResourceKey),
    /// The Secret that this remote connector refers to; `None` when it refers to none any more.
    Secret(ResourceKey, Option<SecretSeen>),
    /// A remote connector has got an access token, or none any more.
    Credential(ResourceKey),
    /// A poll said something new.
    Polled(poll::Polled),
    /// A server has registered itself.
    Register(Box<ConnectorConfig>),
    /// It has left.
    Unregister(ResourceKey),
    /// Somebody wants to hear when the Snapshot shows all that was told before.
    Settled(oneshot::Sender<()>),
}

/// The way to tell it.
pub(crate) type Events = mpsc::Sender<Event>;
