//! "Who may do this, and by which Grant?": one capability and somebody's subjects in, the answer with its reason out.
//! Pure; the same rules that decide calls.

use crate::catalog::{Catalog, Resources};
use crate::snapshot::{Entry, Health, Kind, Snapshot};
use aperium_core::capability::Category;
use aperium_core::grant::{CallerGrants, GrantRule, Granted, Pattern, Subject};
use aperium_core::id::ConnectorId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// Somebody and something.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    /// Everything that a Grant could name the person by.
    pub(crate) subjects: &'a [Subject],
    /// The same of the delegate that acts for the person, where there is one: both must be granted it.
    pub(crate) delegate: Option<&'a [Subject]>,
    /// The connector's id.
    pub(crate) connector: &'a str,
    /// The kind of thing.
    pub(crate) category: Category,
    /// The upstream's own name, or the exposed one; empty for the proxy.
    pub(crate) name: &'a str,
}

/// Why it is allowed or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A Grant opens it.
    Granted,
    /// No Grant names the person at all: every request is 403.
    NoRole,
    /// Grants name the person, and none opens this.
    NotGranted,
    /// Grants open it for the person, and none for the delegate that acts for them.
    NotGrantedToDelegate,
    /// No connector has this id.
    UnknownConnector,
    /// The connector's configuration is not accepted, so it is not served.
    NotServed,
    /// The connector is served and does not offer this.
    UnknownName,
    /// The admin hides it (`spec.tools.hide`).
    Hidden,
    /// Its texts carry hidden characters, and no admin has accepted them.
    Quarantined,
    /// A Grant opens it, and the connector cannot be asked at the moment.
    Unavailable,
}

/// The answer.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Explanation {
    /// Whether a call would go through.
    pub allowed: bool,
    /// Why.
    pub reason: Reason,
    /// The same for people.
    pub message: String,
    /// The connector's id as it is spelled.
    pub connector: String,
    /// The category.
    pub category: &'static str,
    /// The upstream's own name.
    pub name: String,
    /// The grants of the person that open it.
    pub grants: Vec<By>,
    /// For admins: every Grant that opens it, to whomever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub everyone: Option<Vec<By>>,
}

/// One Grant that opens it.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct By {
    /// `<namespace>/<name>`.
    pub grant: String,
    /// The first of its patterns that does.
    pub pattern: String,
    /// Whom it names.
    pub subjects: Vec<String>,
}

impl By {
    fn of((rule, pattern): (&GrantRule, &Pattern)) -> Self {
        let subjects = rule.subjects.iter().map(ToString::to_string).collect();
        Self { grant: rule.name.clone(), pattern: pattern.to_string(), subjects }
    }
}

/// The question as it is asked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// For admins: whom it is about, as everything that a Grant could name them by: `user:alice@example.com`,
    /// `group:finance`. Without it, the caller.
    #[serde(default, rename = "as")]
    pub subjects: Vec<String>,
    /// The connector's id.
    pub connector: String,
    /// `tools`, `prompts`, `resources`, `templates` or `proxy`.
    pub category: String,
    /// The name or URI; nothing for the proxy.
    #[serde(default)]
    pub name: String,
}

/// The most subjects of one question.
const MAX_SUBJECTS: usize = 256;

impl Asked {
    /// The category; a name is set, and only the proxy has none.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub(crate) fn category(&self) -> Result<Category, String> {
        let category = Category::ALL.into_iter().find(|category| category.as_str() == self.category);
        let category = category.ok_or("`category` must be tools, prompts, resources, templates or proxy")?;
        if (category == Category::Proxy) == self.name.is_empty() {
            Ok(category)
        } else {
            Err("`name` must be set, and only the category proxy has none".to_owned())
        }
    }

    /// Whom it is about. Whoever is meant is an authenticated caller, whom `*` names as well.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub(crate) fn subjects(&self) -> Result<Vec<Subject>, String> {
        if self.subjects.len() > MAX_SUBJECTS {
            return Err(format!("`as` must hold at most {MAX_SUBJECTS} subjects"));
        }
        let parse = |text: &String| text.parse::<Subject>().map_err(|error| format!("`as`: {error}"));
        std::iter::once(Ok(Subject::Anyone)).chain(self.subjects.iter().map(parse)).collect()
    }
}

/// Answers as far as grants go: what the connector offers is not known without asking it.
///
/// # Errors
/// What is wrong with the question, for people.
pub fn of_resources(resources: &Resources, asked: &Asked) -> Result<Explanation, String> {
    let (category, subjects) = (asked.category()?, asked.subjects()?);
    let (connector, name) = (&asked.connector, &asked.name);
    let question = Question { subjects: &subjects, delegate: None, connector, category, name };
    let catalog = Catalog::build(resources, Arc::default(), NAMESPACE);
    let mine = CallerGrants::of_subjects(&subjects, &*catalog.grants);
    let wanted = ConnectorId::any(&asked.connector).map(|id| id.key()).unwrap_or_default();
    let Some(config) = catalog.connectors.iter().find(|config| config.id.key() == wanted) else {
        return Ok(answer(&question, &asked.connector, &asked.name, Reason::UnknownConnector, None));
    };
    let connector = Granted { id: &config.id, namespace: &config.key.namespace, labels: &config.labels };
    let grants: Vec<By> = mine.opening(connector, category, &asked.name).map(By::of).collect();
    let everyone = CallerGrants::all(&*catalog.grants).opening(connector, category, &asked.name).map(By::of).collect();
    let reason = match grants.is_empty() {
        _ if mine.rules().next().is_none() => Reason::NoRole,
        true => Reason::NotGranted,
        false => Reason::Granted,
    };
    let mut answer = answer(&question, config.id.as_str(), &asked.name, reason, None);
    if answer.allowed {
        answer.message.push_str(", if the connector offers it");
    }
    Ok(Explanation { grants, everyone: Some(everyone), ..answer })
}

/// The namespace that resources without one count as.
const NAMESPACE: &str = "aperium-system";

/// Answers a question. An admin hears what is hidden or in quarantine, and of everybody's grants; to others, such a
/// thing is unknown.
pub(crate) fn explain(snapshot: &Snapshot, question: &Question<'_>, admin: bool) -> Explanation {
    let rules = &*snapshot.catalog.grants;
    let mine = CallerGrants::of_subjects(question.subjects, rules);
    let delegates = question.delegate.map(|subjects| CallerGrants::of_subjects(subjects, rules));
    let nobody =
        mine.rules().next().is_none() || delegates.as_ref().is_some_and(|grants| grants.rules().next().is_none());
    let found = ConnectorId::any(question.connector)
        .ok()
        .and_then(|id| snapshot.position(&id))
        .and_then(|position| snapshot.at(position));
    let Some(entry) = found else {
        let reason = if nobody { Reason::NoRole } else { unserved(snapshot, question.connector, admin) };
        return answer(question, question.connector, question.name, reason, None);
    };
    let name = own_name(snapshot, entry, question);
    let connector = Granted { namespace: &entry.config.key.namespace, ..entry.granted() };
    let grants: Vec<By> = mine.opening(connector, question.category, name).map(By::of).collect();
    let everyone =
        admin.then(|| CallerGrants::all(rules).opening(connector, question.category, name).map(By::of).collect());
    let only_theirs =
        delegates.is_some_and(|delegates| delegates.opening(connector, question.category, name).next().is_none());
    let reason = match (offered(entry, question.category, name), grants.is_empty()) {
        _ if nobody => Reason::NoRole,
        (Offered::Hidden, _) if admin => Reason::Hidden,
        (Offered::Quarantined, _) if admin => Reason::Quarantined,
        (Offered::Hidden | Offered::Quarantined | Offered::No, _) => Reason::UnknownName,
        (_, true) => Reason::NotGranted,
        _ if only_theirs => Reason::NotGrantedToDelegate,
        (Offered::Yes, false) => Reason::Granted,
        (Offered::Unasked, false) => Reason::Unavailable,
    };
    Explanation { grants, everyone, ..answer(question, entry.config.id.as_str(), name, reason, Some(entry)) }
}

/// What a connector says of one name.
enum Offered {
    Yes,
    No,
    Hidden,
    Quarantined,
    /// It has not been asked with success.
    Unasked,
}

fn offered(entry: &Entry, category: Category, name: &str) -> Offered {
    let Some(kind) = Kind::of_category(category) else { return Offered::Yes };
    let set = entry.offers.of(kind);
    match kind {
        Kind::Tools if entry.config.hide.contains(name) => Offered::Hidden,
        _ if set.quarantined.contains_key(name) => Offered::Quarantined,
        _ if !entry.registered() => Offered::Unasked,
        _ if set.position(name).is_some() => Offered::Yes,
        // A resource can be read without being listed.
        Kind::Resources if entry.offers.about.declares(kind.capability()) && !set.withholds(name) => Offered::Yes,
        _ => Offered::No,
    }
}

/// The name that grants speak of: whoever asks may have copied the exposed one from a client.
fn own_name<'a>(snapshot: &'a Snapshot, entry: &'a Entry, question: &Question<'a>) -> &'a str {
    let Some(kind) = Kind::of_category(question.category) else { return question.name };
    let set = entry.offers.of(kind);
    if set.position(question.name).is_some() {
        return question.name;
    }
    let exposed = snapshot
        .exposed(kind, question.name)
        .filter(|(position, _)| snapshot.at(*position).is_some_and(|other| other.config.id == entry.config.id));
    exposed.and_then(|(_, item)| set.at(item)).map_or(question.name, |item| &item.name)
}

/// A connector that is configured and not served, or none at all; only admins hear of the difference.
fn unserved(snapshot: &Snapshot, id: &str, admin: bool) -> Reason {
    let refused = snapshot.catalog.refused.keys().any(|key| key.name.replace('-', "").eq_ignore_ascii_case(id));
    if admin && refused { Reason::NotServed } else { Reason::UnknownConnector }
}

fn answer(question: &Question<'_>, connector: &str, name: &str, reason: Reason, entry: Option<&Entry>) -> Explanation {
    let what = match question.category {
        Category::Proxy => format!("{connector}/proxy"),
        category => format!("{connector}/{}/{name}", category.as_str()),
    };
    let message = match reason {
        Reason::Granted => format!("{what} is granted"),
        Reason::NoRole => "no Grant names this caller: every request is refused".to_owned(),
        Reason::NotGranted => format!("no Grant of this caller opens {what}"),
        Reason::NotGrantedToDelegate => format!("no Grant of the delegate opens {what}"),
        Reason::UnknownConnector => format!("there is no connector \"{connector}\""),
        Reason::NotServed => format!("connector \"{connector}\" is configured and not served: see its status"),
        Reason::UnknownName => format!("connector {connector} offers no such thing: {what}"),
        Reason::Hidden => format!("{what} is hidden by spec.tools.hide"),
        Reason::Quarantined => {
            format!(
                "{what} is in quarantine: its texts carry hidden characters and its hash is not in spec.tools.acceptedHashes"
            )
        }
        Reason::Unavailable => {
            let why = match entry.map(|entry| &entry.health) {
                Some(Health::Unavailable { outside, .. }) => outside.as_str(),
                _ => "not discovered yet",
            };
            format!("{what} is granted, but connector {connector} is unavailable ({why})")
        }
    };
    Explanation {
        allowed: reason == Reason::Granted,
        reason,
        message,
        connector: connector.to_owned(),
        category: question.category.as_str(),
        name: name.to_owned(),
        grants: Vec::new(),
        everyone: None,
    }
}
