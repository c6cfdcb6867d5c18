//! Changes of Connectors and Grants through the API, wherever they are kept.
//!
//! ```text
//! PUT, DELETE ──check (schema, Catalog, who stays admin)──► Writer ──► API server │ file of the folder │ document
//! ```
//! Whoever changes something names the version that they have read; what somebody else manages is not touched.

use crate::catalog::ResourceKey;
use crate::document::DocumentStore;
use crate::folder::FolderStore;
use aperium_core::id::is_object_name;
use aperium_crds::{Connector, Grant};
use std::sync::Arc;

pub(crate) mod check;
mod cluster;

pub(crate) use cluster::ClusterWriter;

/// A Connector or a Grant.
#[derive(Debug, Clone)]
pub(crate) enum Object {
    /// A Connector.
    Connector(Box<Connector>),
    /// A Grant.
    Grant(Box<Grant>),
}

/// Which kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A Connector.
    Connector,
    /// A Grant.
    Grant,
}

impl Kind {
    /// As in a manifest.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Connector => "Connector",
            Self::Grant => "Grant",
        }
    }
}

/// What is changed.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// Of which kind.
    pub(crate) kind: Kind,
    /// Which one.
    pub(crate) key: ResourceKey,
    /// The version that was read; `None` for one that is new.
    pub(crate) version: Option<String>,
    /// What it shall be; `None` to delete it.
    pub(crate) object: Option<Object>,
}

/// Why a change is not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// Somebody else manages it.
    #[error("it is managed by {0}: change it there")]
    ReadOnly(String),
    /// It is another one by now.
    #[error("it has changed since it was read: read it again and repeat the change")]
    Stale,
    /// It is there, and whoever wants to change it has not read it.
    #[error("it exists: name the version that you have read")]
    Exists,
    /// It is not there.
    #[error("it does not exist")]
    Missing,
    /// What keeps it does not accept it.
    #[error("{0}")]
    Invalid(String),
    /// It cannot be changed here at all.
    #[error("{0}")]
    Fixed(&'static str),
    /// What keeps it cannot be reached or written.
    #[error("what keeps the configuration cannot be changed at the moment")]
    Unavailable(String),
}

impl WriteError {
    /// The reason for logs.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::ReadOnly(_) => "ReadOnly",
            Self::Stale => "Stale",
            Self::Exists => "Exists",
            Self::Missing => "Missing",
            Self::Invalid(_) => "Invalid",
            Self::Fixed(_) => "Fixed",
            Self::Unavailable(_) => "Unavailable",
        }
    }
}

/// Where Connectors and Grants are kept.
#[derive(Debug, Clone)]
pub(crate) enum Writer {
    /// By the API server.
    Cluster(ClusterWriter),
    /// In files of a folder.
    Folder(Arc<FolderStore>),
    /// In a document.
    Document(Arc<DocumentStore>),
    /// By whoever started the gateway.
    Fixed,
}

/// Checks a name that becomes part of a path.
///
/// # Errors
/// [`WriteError::Invalid`].
pub(crate) fn check_name(name: &str) -> Result<(), WriteError> {
    if is_object_name(name) {
        return Ok(());
    }
    let rule = "the name must be a DNS subdomain: lower case letters, digits, '-' and '.', at most 253 characters";
    Err(WriteError::Invalid(rule.to_owned()))
}

impl Writer {
    /// Makes a change; the version of what was written, where it has one.
    ///
    /// # Errors
    /// [`WriteError`]; nothing has changed then.
    pub(crate) async fn write(&self, change: &Change) -> Result<Option<String>, WriteError> {
        match self {
            Self::Cluster(cluster) => cluster.write(change).await,
            Self::Folder(folder) => folder.write(change).map(Some),
            Self::Document(document) => document.write(change).map(Some),
            Self::Fixed => Err(WriteError::Fixed("the resources are given from outside and cannot be changed here")),
        }
    }
}
