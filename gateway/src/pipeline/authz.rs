//! The only maker of [`Permit`]: (who calls, which tool, what is granted) → permission for one call, or "unknown tool".

use crate::error::Failure;
use crate::snapshot::{Entry, Health, Identity, Snapshot, Tool, View};
use aperium_core::name::id_of_exposed;
use std::sync::Arc;

/// Which tools an endpoint speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// `/v1/mcp`: all connectors, exposed names.
    Aggregate,
    /// `/v1/mcp/<id>`: the connector at this position, its own names.
    One(usize),
}

/// Permission for one call of one tool by one caller.
#[derive(Debug)]
pub(crate) struct Permit {
    connector: Arc<Entry>,
    tool: usize,
    view: Arc<View>,
    grant: u32,
}

impl Permit {
    /// The connector.
    pub(crate) fn connector(&self) -> &Arc<Entry> {
        &self.connector
    }

    /// The tool.
    pub(crate) fn tool(&self) -> Option<&Tool> {
        self.connector.tools.at(self.tool)
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

/// What became of the question.
#[derive(Debug)]
pub(crate) enum Decision {
    /// The call may go ahead.
    Permitted(Permit),
    /// The tool may be there and the caller would be allowed, but its connector cannot be asked.
    Unavailable(Arc<Entry>),
}

/// Decides about one call.
///
/// # Errors
/// [`Failure::UnknownTool`], for a tool that is not there, that is hidden, or that the caller is not granted: one answer.
pub(crate) fn call(snapshot: &Snapshot, view: &Arc<View>, scope: Scope, name: &str) -> Result<Decision, Failure> {
    let known = match scope {
        Scope::Aggregate => snapshot.exposed(name),
        Scope::One(position) => snapshot.at(position).and_then(|entry| Some((position, entry.tools.position(name)?))),
    };
    if let Some((position, tool)) = known
        && let Some(entry) = snapshot.at(position)
        && let Some(grant) = view.allowing(position, entry, tool)
    {
        let permit = Permit { connector: Arc::clone(entry), tool, view: Arc::clone(view), grant };
        return Ok(Decision::Permitted(permit));
    }
    if known.is_none()
        && let Some(entry) = undiscovered(snapshot, view, scope, name)
    {
        return Ok(Decision::Unavailable(Arc::clone(entry)));
    }
    Err(Failure::UnknownTool(name.to_owned()))
}

/// The connector that the name would belong to, while its tools are not known and the caller is granted that name.
fn undiscovered<'s>(snapshot: &'s Snapshot, view: &View, scope: Scope, name: &str) -> Option<&'s Arc<Entry>> {
    let (position, own_name) = match scope {
        Scope::One(position) => (position, name),
        Scope::Aggregate => {
            let id = aperium_core::id::ConnectorId::any(id_of_exposed(name)?).ok()?;
            (snapshot.position(&id)?, name.get(id.as_str().len() + 1..)?)
        }
    };
    let entry = snapshot.at(position)?;
    let unknown = matches!(entry.health, Health::Unavailable { .. }) && entry.tools.len() == 0;
    let hidden = |name: &str| entry.config.hide.contains(name);
    let granted = |name: &str| !hidden(name) && view.allows_name(entry, name);
    // A service's tool may carry the prefix itself, so both spellings count.
    (unknown && (granted(own_name) || granted(name))).then_some(entry)
}
