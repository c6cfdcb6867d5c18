//! ProxyPermit → ProxyTarget: the one URL that a permitted request goes to. There is no other way to make one.

use crate::catalog::Place;
use crate::catalog::auth::Scheme;
use crate::pipeline::authz::proxy::ProxyPermit;
use crate::pipeline::upstream::Upstream;
use aperium_core::path_join::{self, PathError};
use http::Uri;
use http::uri::PathAndQuery;
use std::sync::Arc;
use std::time::Duration;

/// Where one permitted request goes.
#[derive(Debug)]
pub(crate) struct ProxyTarget {
    upstream: Arc<Upstream>,
    base: Uri,
    uri: Uri,
    timeout: Duration,
    carries_secret: bool,
}

impl ProxyTarget {
    /// Joins the connector's own URL with what follows its id in the caller's path, and with the caller's query.
    /// `None` for a managed service, which has no URL.
    ///
    /// # Errors
    /// [`PathError`].
    pub(crate) fn of(permit: &ProxyPermit, rest: &str, query: Option<&str>) -> Result<Option<Self>, PathError> {
        let entry = permit.connector();
        let Place::Url(base) = &entry.config.place else { return Ok(None) };
        let own_parameter = match entry.config.auth.as_ref().map(|auth| &auth.scheme) {
            Some(Scheme::KeyParameter(name)) => Some(name.as_str()),
            _ => None,
        };
        let path = path_join::join(base.path(), rest)?;
        let path = match path_join::query(base.query(), query, own_parameter) {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        let mut parts = base.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(path).map_err(|_| PathError::Character)?);
        let uri = Uri::from_parts(parts).map_err(|_| PathError::Character)?;
        Ok(Some(Self {
            upstream: Arc::clone(&entry.upstream),
            base: base.clone(),
            uri,
            timeout: entry.config.call_timeout,
            carries_secret: entry.config.auth.is_some(),
        }))
    }

    /// The upstream.
    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// The connector's own URL.
    pub(crate) fn base(&self) -> &Uri {
        &self.base
    }

    /// What is asked for, without a credential.
    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// How long the upstream may take to answer.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether a credential will be inserted.
    pub(crate) fn carries_secret(&self) -> bool {
        self.carries_secret
    }
}
