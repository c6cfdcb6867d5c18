//! One Connector → its children and its status. The steps, in order:
//!
//! | step | asks the cluster | gives |
//! |---|---|---|
//! | dereference | GET of Secrets' metadata, remembered | `Referenced` |
//! | validate | no | `ValidatedConnector`, or a `Refusal` |
//! | plan | no, cannot fail | `Plan<Prepared>` |
//! | apply | writes what is not as planned | `Plan<Applied>` |
//! | observe | GET of the Deployment when it changed | `Observed` |
//! | report | writes the status when it changed | |
//!
//! A reconcile that finds everything as planned reads and writes nothing.

pub mod apply;
pub mod dereference;
pub mod observe;
pub mod plan;
pub mod refusals;
pub mod report;
pub mod status;
pub mod token;
pub mod validate;

use crate::context::Context;
use crate::stores::Key;
use crate::stores::connectors::Held;
use aperium_core::id::ConnectorName;
use aperium_crds::Connector;
use aperium_crds::connector::Service;
use plan::{Owner, Plan};
use status::Outcome;
use std::time::Duration;

/// A reconcile failed; one variant per step.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading what the Connector refers to.
    #[error("dereference: {0}")]
    Dereference(#[from] dereference::DereferenceError),
    /// Writing the children.
    #[error("apply: {0}")]
    Apply(#[from] apply::ApplyError),
    /// Reading what became of them.
    #[error("observe: {0}")]
    Observe(#[from] observe::ObserveError),
    /// Writing the status.
    #[error("report: {0}")]
    Report(#[from] report::ReportError),
}

impl Error {
    /// The reason for metrics and logs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Dereference(error) => error.reason(),
            Self::Apply(error) => error.reason(),
            Self::Observe(_) => "ReadDeploymentFailed",
            Self::Report(_) => "WriteStatusFailed",
        }
    }
}

/// What happens to a Connector next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing before something changes.
    AwaitChange,
    /// It is looked at again after this long.
    After(Duration),
}

/// What a failed reconcile waits for: an edit, where trying again would end the same way, or the backoff.
#[must_use]
pub fn error_policy(error: &Error, failures: u32, key: &Key) -> Next {
    match error {
        // The same plan would be refused again; an edit makes another plan. The resync is for a server that has
        // changed its mind, such as a quota that was raised.
        Error::Apply(apply::ApplyError::Refused { .. }) => Next::After(crate::backoff::jittered(RECHECK, key)),
        _ => Next::After(crate::backoff::after(failures, key)),
    }
}

/// How soon something is looked at again that only others can put right and that is not watched.
const RECHECK: Duration = Duration::from_secs(300);

/// Reconciles one Connector.
///
/// # Errors
/// [`Error`]: the step that failed.
pub async fn reconcile(context: &Context, key: &Key) -> Result<Next, Error> {
    let Some(held) = context.stores.connectors.get(key) else {
        context.forget(key);
        return Ok(Next::AwaitChange);
    };
    if held.meta().deletion_timestamp.is_some() {
        // Its children go with it: they have owner references.
        return Ok(Next::AwaitChange);
    }
    match &held {
        Held::Malformed { meta, error } => {
            report::malformed(context, meta, error).await?;
            Ok(Next::AwaitChange)
        }
        Held::Connector(connector) => match &connector.spec.service {
            None => without_service(context, connector).await,
            Some(service) => with_service(context, key, connector, service).await,
        },
    }
}

/// A `url` Connector has no children and its status is the gateway's. One that had a service loses what it had.
async fn without_service(context: &Context, connector: &Connector) -> Result<Next, Error> {
    let meta = &connector.metadata;
    let Ok(name) = ConnectorName::parse(meta.name.as_deref().unwrap_or_default()) else { return Ok(Next::AwaitChange) };
    let owner = Owner {
        name,
        namespace: meta.namespace.clone().unwrap_or_default(),
        uid: meta.uid.clone().unwrap_or_default(),
    };
    if apply::has_children(context, &owner) {
        apply::apply(context, Plan::empty(owner), true).await?;
        report::release(context, connector).await?;
    }
    Ok(Next::AwaitChange)
}

async fn with_service(context: &Context, key: &Key, connector: &Connector, service: &Service) -> Result<Next, Error> {
    let names = context.names.load();
    let found = dereference::dereference(context, key, connector, service).await?;
    let valid = match validate::validate(&names, connector, service, &found) {
        Ok(valid) => valid,
        Err(refusal) => {
            // What ran before the edit goes on running: a typing error must not take a system away.
            report::report(context, connector, &Outcome::Refused(&refusal)).await?;
            return Ok(Next::AwaitChange);
        }
    };
    let plan = plan::plan(&names, &valid);
    let seen_before = connector.status.as_ref().is_some_and(|status| status.observed_generation.is_some());
    let plan = match apply::apply(context, plan, seen_before).await {
        Ok(plan) => plan,
        Err(error) => {
            if error.is_lasting() {
                report::report(context, connector, &Outcome::Failed(&valid, &found, &error)).await?;
            }
            return Err(error.into());
        }
    };
    let observed = observe::observe(context, key, &plan).await?;
    doubt_secrets(context, connector, &observed);
    let told = connector.status.as_ref().and_then(|status| status.observed_generation) == connector.metadata.generation;
    if told && observed.pods.is_none() && context.readiness.awaited(key) {
        return Ok(Next::AwaitChange); // the answer brings this Connector back
    }
    report::report(context, connector, &Outcome::Applied(&valid, &found, &plan, &observed)).await?;
    let again = if found.usable() { context.resync } else { dereference::UNSETTLED };
    Ok(Next::After(if found.usable() { crate::backoff::jittered(again, key) } else { again }))
}

/// The pods say that a Secret is not as remembered: it is looked up again.
fn doubt_secrets(context: &Context, connector: &Connector, observed: &observe::Observed) {
    let answer = observed.pods.as_ref().and_then(|pods| pods.answer.as_ref());
    let missing = |check: &str, reason: &str| {
        answer.and_then(|answer| answer.checks.get(check)).is_some_and(|check| !check.ok && check.reason == reason)
    };
    if missing("authToken", "TokenMissing") || missing("credentials", "CredentialsMissing") {
        let uid = connector.metadata.uid.as_deref().unwrap_or_default();
        context.secrets.doubt(uid);
        context.tokens.doubt(uid);
    }
}
