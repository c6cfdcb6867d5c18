//! The only maker of [`ProxyPermit`]: (who calls, which connector, what is granted) → permission for one request on its
//! proxy path, or "access denied".

use crate::entry::http::ProxyError;
use crate::snapshot::{Entry, Identity, Snapshot, View};
use aperium_core::id::ConnectorId;
use std::sync::Arc;

/// Permission for one request on a connector's proxy path by one caller.
#[derive(Debug)]
pub(crate) struct ProxyPermit {
    connector: Arc<Entry>,
    position: usize,
    view: Arc<View>,
    grant: u32,
}

impl ProxyPermit {
    /// The connector.
    pub(crate) fn connector(&self) -> &Arc<Entry> {
        &self.connector
    }

    /// Its position in the Snapshot that the permission came from.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// Who calls.
    pub(crate) fn identity(&self) -> &Arc<Identity> {
        self.view.identity()
    }

    /// The Grant that allows it.
    pub(crate) fn grant(&self) -> &str {
        self.view.grant_name(self.grant)
    }
}

/// Decides about one request. `id` is the segment of the path as it was sent.
///
/// # Errors
/// [`ProxyError::NoTenant`]; [`ProxyError::Denied`], for a connector that is not there and for one that the caller may not use: one answer.
pub(crate) fn proxy(snapshot: &Snapshot, view: &Arc<View>, id: &str) -> Result<ProxyPermit, ProxyError> {
    if super::lacks_tenant(snapshot, view) {
        return Err(ProxyError::NoTenant);
    }
    let position = ConnectorId::any(id).ok().and_then(|id| snapshot.position(&id)).ok_or(ProxyError::Denied)?;
    // Behind the gateway's own connector there is nothing to proxy to.
    let entry = snapshot.at(position).filter(|entry| !entry.is_system()).ok_or(ProxyError::Denied)?;
    let grant = view.allowing_proxy(position, entry).ok_or(ProxyError::Denied)?;
    Ok(ProxyPermit { connector: Arc::clone(entry), position, view: Arc::clone(view), grant })
}
