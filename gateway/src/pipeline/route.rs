//! Permit → Target: where a permitted request goes, and how it may be tried. There is no other way to make a Target.

use super::action::Action;
use super::authz::Permit;
use super::upstream::Upstream;
use crate::consent::ConsentError;
use std::sync::Arc;
use std::time::Duration;

pub(crate) mod proxy;

/// Where one permitted request goes.
#[derive(Debug)]
pub(crate) struct Target {
    upstream: Arc<Upstream>,
    name: Box<str>,
    timeout: Duration,
    attempts: u32,
}

impl Target {
    /// Looks up where the request goes: for a connector whose users have tokens of their own, to the caller's own upstream.
    ///
    /// # Errors
    /// [`ConsentError::NoPerson`].
    pub(crate) fn of(permit: &Permit) -> Result<Self, ConsentError> {
        let entry = permit.connector();
        let upstream = match &entry.people {
            Some(people) => people.upstream(&permit.identity().caller)?,
            None => Arc::clone(&entry.upstream),
        };
        // An admin names the read tools that may be tried again. Annotations come from the upstream and prove nothing.
        let retryable = permit.action() == Action::Call && entry.config.retryable.contains(permit.name());
        Ok(Self {
            upstream,
            name: permit.name().into(),
            timeout: entry.config.call_timeout,
            attempts: if retryable { 2 } else { 1 },
        })
    }

    /// The upstream.
    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// The upstream's own name, URI or template.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The limit of the request.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How often it may be attempted: a second time only when the first failed before anything was sent.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }
}
