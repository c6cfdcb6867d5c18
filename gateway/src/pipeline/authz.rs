//! The only maker of [`Permit`]: (who asks, for what, what is granted) → permission for one request, or "unknown".

use super::action::Action;
use crate::error::Failure;
use crate::snapshot::{Entry, Health, Identity, Item, Kind, Snapshot, View};
use aperium_core::capability::Category;
use aperium_core::id::ConnectorId;
use aperium_core::name::{id_of_exposed, split_uri};
use aperium_core::uri_template::has_dot_segment;
use std::borrow::Cow;
use std::sync::Arc;

pub(crate) mod proxy;

/// What an endpoint speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// `/v1/mcp`: all connectors, exposed names.
    Aggregate,
    /// `/v1/mcp/<id>`: the connector at this position, its own names.
    One(usize),
}

/// What a request asks for, in the caller's words.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'a> {
    /// What is to be done.
    pub(crate) action: Action,
    /// With what kind of thing.
    pub(crate) kind: Kind,
    /// With which: a name, a URI, or a URI template.
    pub(crate) name: Cow<'a, str>,
}

impl Wanted<'_> {
    /// The answer where there is no such thing, or none that the caller may use: the same.
    pub(crate) fn unknown(&self) -> Failure {
        let name = self.name.to_string();
        match self.kind {
            Kind::Tools => Failure::UnknownTool(name),
            Kind::Prompts => Failure::UnknownPrompt(name),
            Kind::Resources => Failure::UnknownResource(name),
            Kind::Templates => Failure::UnknownTemplate(name),
        }
    }
}

/// Permission for one request of one caller.
#[derive(Debug)]
pub(crate) struct Permit {
    connector: Arc<Entry>,
    action: Action,
    kind: Kind,
    item: Option<usize>,
    name: Box<str>,
    aggregate: bool,
    view: Arc<View>,
    grant: u32,
}

impl Permit {
    /// The connector.
    pub(crate) fn connector(&self) -> &Arc<Entry> {
        &self.connector
    }

    /// What may be done.
    pub(crate) fn action(&self) -> Action {
        self.action
    }

    /// What is asked for, where discovery has seen it: a resource may be there without being listed.
    pub(crate) fn item(&self) -> Option<&Item> {
        self.connector.offers.of(self.kind).at(self.item?)
    }

    /// The upstream's own name, URI or template.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The connector under whose id URIs are exposed to the caller; `None` where one connector speaks its own.
    pub(crate) fn exposes(&self) -> Option<&ConnectorId> {
        self.aggregate.then_some(&self.connector.config.id)
    }

    /// Whether it may change something upstream: a tool that nobody vouches for may.
    pub(crate) fn writes(&self) -> bool {
        let known = self.connector.is_system() || self.item().is_some_and(|item| item.reads);
        self.action == Action::Call && !known
    }

    /// Who asks.
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
    /// The request may go ahead.
    Permitted(Permit),
    /// It may be there and the caller would be allowed, but its connector cannot be asked; by the connector's own name.
    Unavailable(Arc<Entry>, Box<str>),
}

/// Whether tenants are configured and the caller has none: then it may look, and call nothing.
pub(crate) fn lacks_tenant(snapshot: &Snapshot, view: &View) -> bool {
    view.identity().caller.tenant.is_none() && snapshot.catalog.settings.authentication.has_tenants()
}

/// Decides about one request.
///
/// # Errors
/// [`Failure::NoTenant`]; [`Wanted::unknown`], for what is not there, what is withheld, and what the caller is not granted: one answer.
pub(crate) fn decide(
    snapshot: &Snapshot,
    view: &Arc<View>,
    scope: Scope,
    wanted: &Wanted<'_>,
) -> Result<Decision, Failure> {
    if lacks_tenant(snapshot, view) {
        return Err(Failure::NoTenant);
    }
    let question = Question { snapshot, view, scope, wanted };
    match question.listed() {
        Some(Ok(permit)) => Ok(Decision::Permitted(permit)),
        Some(Err(())) => Err(wanted.unknown()),
        None => question.unlisted().ok_or_else(|| wanted.unknown()),
    }
}

struct Question<'q> {
    snapshot: &'q Snapshot,
    view: &'q Arc<View>,
    scope: Scope,
    wanted: &'q Wanted<'q>,
}

impl<'q> Question<'q> {
    /// A permit for what discovery has seen, or a refusal; `None` for what it has not.
    fn listed(&self) -> Option<Result<Permit, ()>> {
        let (position, item) = match self.scope {
            Scope::Aggregate => self.snapshot.exposed(self.wanted.kind, &self.wanted.name)?,
            Scope::One(position) => {
                let set = self.snapshot.at(position)?.offers.of(self.wanted.kind);
                (position, set.position(&self.wanted.name)?)
            }
        };
        let entry = self.snapshot.at(position)?;
        let name = &entry.offers.of(self.wanted.kind).at(item)?.name;
        let allowing = self.view.allowing(position, entry, self.wanted.kind, item);
        let grant = allowing.or_else(|| self.grant_of_template(position, entry, name));
        Some(grant.map(|grant| self.permit(entry, Some(item), name, grant)).ok_or(()))
    }

    fn permit(&self, connector: &Arc<Entry>, item: Option<usize>, name: &str, grant: u32) -> Permit {
        Permit {
            connector: Arc::clone(connector),
            action: self.wanted.action,
            kind: self.wanted.kind,
            item,
            name: name.into(),
            aggregate: self.scope == Scope::Aggregate,
            view: Arc::clone(self.view),
            grant,
        }
    }

    /// What may be there although it is not listed: anything of a connector that cannot be asked, and resources.
    fn unlisted(&self) -> Option<Decision> {
        let (position, own) = self.position_and_own()?;
        let entry = self.snapshot.at(position)?;
        if matches!(entry.health, Health::Unavailable { .. }) && entry.offers.is_empty() {
            // A service's tool may carry the prefix itself, so both spellings count.
            let granted = self.may(position, entry, &own)
                || (self.wanted.kind == Kind::Tools && self.may(position, entry, &self.wanted.name));
            return granted.then(|| Decision::Unavailable(Arc::clone(entry), (&*own).into()));
        }
        if self.wanted.kind != Kind::Resources || self.wanted.action != Action::Read {
            return None;
        }
        let grant = self.grant_of_resource(position, entry, &own)?;
        Some(Decision::Permitted(self.permit(entry, None, &own, grant)))
    }

    fn may(&self, position: usize, entry: &Entry, own: &str) -> bool {
        let hidden = self.wanted.kind == Kind::Tools && entry.config.hide.contains(own);
        !hidden && self.view.decide(position, entry, self.wanted.kind.category(), own).is_some()
    }

    /// The connector that the name would belong to, and the connector's own name for it.
    fn position_and_own(&self) -> Option<(usize, Cow<'q, str>)> {
        let name: &'q str = &self.wanted.name;
        let (id, own) = match (self.scope, self.wanted.kind) {
            (Scope::One(position), _) => return Some((position, Cow::Borrowed(name))),
            (Scope::Aggregate, Kind::Tools | Kind::Prompts) => {
                let id = id_of_exposed(name)?;
                (id, Cow::Borrowed(name.get(id.len() + 1..)?))
            }
            (Scope::Aggregate, Kind::Resources | Kind::Templates) => split_uri(name)?,
        };
        let position = self.snapshot.position(&ConnectorId::any(id).ok()?)?;
        // An id is found without regard to case, but exposed names have one spelling.
        let exact = self.snapshot.at(position).is_some_and(|entry| entry.config.id.as_str() == id);
        exact.then_some((position, own))
    }

    /// The grant for a resource that is not listed. Servers need not list what their tools link to or what their
    /// templates stand for (specification 2026-07-28, "Resource Links", "Resource Templates"), so a grant on the URI
    /// itself counts, and a grant on a template that covers it.
    ///
    /// What is withheld stays so, and a URI with dot segments is refused: the upstream might normalise it into one
    /// that the grant does not cover.
    fn grant_of_resource(&self, position: usize, entry: &Entry, own: &str) -> Option<u32> {
        let refused = !entry.offers.about.declares(Kind::Resources.capability())
            || entry.offers.of(Kind::Resources).withholds(own)
            || own.chars().any(char::is_control)
            || has_dot_segment(own);
        if refused {
            return None;
        }
        let by_uri = self.view.decide(position, entry, Category::Resources, own);
        by_uri.or_else(|| self.grant_of_template(position, entry, own))
    }

    /// The grant for a template of the connector that can stand for the resource.
    fn grant_of_template(&self, position: usize, entry: &Entry, own: &str) -> Option<u32> {
        if self.wanted.kind != Kind::Resources || self.wanted.action != Action::Read {
            return None;
        }
        let mut templates = entry.offers.of(Kind::Templates).iter().enumerate();
        templates.find_map(|(at, template)| {
            template.covers(own).then(|| self.view.allowing(position, entry, Kind::Templates, at)).flatten()
        })
    }
}
