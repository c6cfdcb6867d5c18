//! A Connector or Grant that shall be made, changed or deleted → the places of a document's text that say so. Pure.
//!
//! What stands there is exchanged as a whole, with the comments inside it; everything else stays as it is. Secrets are
//! written as `"***"`, so that those of before are kept.

use super::edit::{append, remove, remove_item, set};
use super::from_resources::{capability_json, entry_json, server_json};
use super::hujson::Node;
use super::read::Sections;
use super::to_resources::grant_names;
use crate::writer::{Change, Object, WriteError};
use aperium_core::id::{ConnectorId, ConnectorName};
use aperium_core::name::effective_id;
use aperium_crds::{Connector, Grant};
use std::ops::Range;

/// Places of a text and what shall stand there.
pub(super) type Changes = Vec<(Range<usize>, String)>;

/// What has to change in a text. `old`: the Connector of that name, as the document says it now.
///
/// # Errors
/// [`WriteError::Invalid`] when a document cannot say it.
pub(super) fn changes(
    change: &Change,
    text: &str,
    tree: &Node,
    sections: &Sections,
    old: Option<&Connector>,
) -> Result<Changes, WriteError> {
    match &change.object {
        Some(Object::Connector(connector)) => put_connector(connector, text, tree, old),
        Some(Object::Grant(grant)) => put_grant(grant, &change.key.name, text, tree, sections),
        None if old.is_some() => Ok(old.and_then(id).map(|id| without_server(tree, &id)).unwrap_or_default()),
        None => delete_grant(&change.key.name, tree, sections),
    }
}

fn id(connector: &Connector) -> Option<ConnectorId> {
    let name = ConnectorName::parse(connector.metadata.name.as_deref()?).ok()?;
    effective_id(connector.spec.id.as_deref(), &name).ok()
}

fn invalid(problem: impl Into<String>) -> WriteError {
    WriteError::Invalid(problem.into())
}

fn put_connector(
    connector: &Connector,
    text: &str,
    tree: &Node,
    old: Option<&Connector>,
) -> Result<Changes, WriteError> {
    let wanted = id(connector).ok_or_else(|| invalid("it has no usable id"))?;
    if old.and_then(id).is_some_and(|old| old.key() != wanted.key()) {
        return Err(invalid("its id cannot change: make another one"));
    }
    let (_, json) = server_json(connector).map_err(|left_out| invalid(cannot(left_out.what)))?;
    // Of `mcp.servers` it moves to where a server can have everything.
    let key = key_in(tree, "connectors", &wanted).unwrap_or_else(|| wanted.to_string());
    let mut changes: Changes =
        key_in(tree, "mcp", &wanted).map_or_else(Vec::new, |key| remove(tree, &["mcp", "servers", &key]));
    let path = ["connectors", "servers", key.as_str()];
    changes
        .push(set(text, tree, &path, &json).ok_or_else(|| invalid("connectors.servers of the document is no object"))?);
    Ok(changes)
}

fn cannot(what: &str) -> String {
    format!("a document cannot say {what}")
}

/// How a section spells an id.
fn key_in(tree: &Node, section: &str, id: &ConnectorId) -> Option<String> {
    let servers = tree.get(section)?.get("servers")?.members()?;
    let same = |key: &str| ConnectorId::any(key).is_ok_and(|key| key.key() == id.key());
    servers.iter().map(|member| &member.key).find(|key| same(key)).cloned()
}

fn without_server(tree: &Node, id: &ConnectorId) -> Changes {
    let of = |section| key_in(tree, section, id).map(|key| remove(tree, &[section, "servers", &key]));
    ["connectors", "mcp"].into_iter().filter_map(of).flatten().collect()
}

/// Where a Grant stands.
struct Place<'n> {
    entries: &'n Node,
    entry: usize,
    /// The list of capabilities and the position in it.
    capability: (&'n Node, usize),
    /// Whether the entry gives other Grants too.
    shared: bool,
    /// Whether the entry has a name of its own.
    named: bool,
    subjects: Vec<String>,
}

fn place<'n>(name: &str, tree: &'n Node, sections: &Sections) -> Option<Place<'n>> {
    let entries = tree.get("grants")?;
    let (known, found) = sections.grants.iter().find_map(|entry| {
        grant_names(entry).into_iter().find(|(own, _)| own == name).map(|(_, capability)| (entry, capability))
    })?;
    let entry = known.index;
    let app = entries.items().get(entry)?.get("app")?;
    let list = app.get(super::read::grants::CAPABILITY)?;
    let position = list.items().iter().position(|item| item.span.start == found.at)?;
    Some(Place {
        entries,
        entry,
        capability: (list, position),
        shared: list.items().len() > 1,
        named: known.name.is_some(),
        subjects: known.subjects.clone(),
    })
}

fn put_grant(grant: &Grant, name: &str, text: &str, tree: &Node, sections: &Sections) -> Result<Changes, WriteError> {
    let Some(place) = place(name, tree, sections) else {
        let json = entry_json(Some(name), grant);
        return match tree.get("grants") {
            Some(entries) => Ok(vec![append(text, entries, &json)]),
            None => Ok(set(text, tree, &["grants"], &format!("[{json}]")).into_iter().collect()),
        };
    };
    let (list, position) = place.capability;
    let one = if !place.shared {
        place.entries.items().get(place.entry).map(|entry| (entry, entry_json(place.named.then_some(name), grant)))
    } else if place.subjects == grant.spec.subjects {
        list.items().get(position).map(|capability| (capability, capability_json(grant)))
    } else {
        return Err(invalid(
            "it shares its subjects with other Grants of one entry of the document: change the entry with PUT /api/config",
        ));
    };
    Ok(one.map(|(node, json)| (node.span.clone(), json)).into_iter().collect())
}

fn delete_grant(name: &str, tree: &Node, sections: &Sections) -> Result<Changes, WriteError> {
    let place = place(name, tree, sections).ok_or(WriteError::Missing)?;
    let (list, position) = place.capability;
    let gone = if place.shared { remove_item(list, position) } else { remove_item(place.entries, place.entry) };
    Ok(gone.into_iter().collect())
}
