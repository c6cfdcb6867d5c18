//! Names that are derived from other names: children, environment, and what clients see (blueprint §3).

use crate::id::{ConnectorId, ConnectorName, IdError};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What every child of a Connector is called: `aperium-mcp-<name>`.
pub const CHILD_PREFIX: &str = "aperium-mcp-";
const _: () = assert!(CHILD_PREFIX.len() + ConnectorName::MAX_LEN <= 63, "a Service name holds 63 characters");

/// The most characters of an exposed tool or prompt name: clients cap the whole name at 64.
pub const MAX_EXPOSED: usize = 64;

/// The name of a Connector's Deployment, Service, ServiceAccount and NetworkPolicy.
#[must_use]
pub fn child_name(name: &ConnectorName) -> String {
    format!("{CHILD_PREFIX}{name}")
}

/// The suffix of a backend's routing variables: `MCP_SERVER_URL_<suffix>`.
#[must_use]
pub fn env_suffix(name: &ConnectorName) -> String {
    name.as_str().replace('-', "_").to_ascii_uppercase()
}

/// The id a Connector has: `spec.id`, else its name without hyphens.
///
/// # Errors
/// [`IdError`] when the id, given or derived, is malformed, reserved, or longer than 32 characters.
pub fn effective_id(spec_id: Option<&str>, name: &ConnectorName) -> Result<ConnectorId, IdError> {
    match spec_id {
        Some(id) => ConnectorId::parse(id),
        None => ConnectorId::parse(&name.as_str().replace('-', "")),
    }
}

/// How a connector's tools and prompts get their exposed names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefixing {
    /// A connector of ours (`service.module`): a name that already starts with `<id>_` stays as it is,
    /// unless that collides.
    KeepOwnPrefix,
    /// Anything else: always prefixed.
    Always,
}

/// The map between the names that clients see and the upstream's own, for one kind of thing of one connector.
///
/// Injective: no two upstream names are exposed under one name, and every exposed name matches
/// `^[a-zA-Z0-9_-]{1,64}$`. Two different connectors cannot collide: an id has no `_`, and every exposed name
/// starts with `<id>_`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExposedNames {
    exposed: BTreeMap<Box<str>, Box<str>>,
}

impl ExposedNames {
    /// Exposes the upstream's names. A name that occurs twice is exposed once.
    #[must_use]
    pub fn new<'a>(id: &ConnectorId, prefixing: Prefixing, names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut names: Vec<&str> = names.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        let prefix = format!("{id}_");
        let keeps =
            |name: &str| prefixing == Prefixing::KeepOwnPrefix && name.starts_with(&prefix) && is_exposable(name);
        let mut exposed: BTreeMap<Box<str>, Box<str>> = BTreeMap::new();
        // Names that must be prefixed come first: a kept name gives way where the two meet.
        for name in names.iter().copied().filter(|name| !keeps(name)) {
            exposed.insert(unused(&exposed, &prefix, name), name.into());
        }
        for name in names.iter().copied().filter(|name| keeps(name)) {
            let shown = if exposed.contains_key(name) { unused(&exposed, &prefix, name) } else { name.into() };
            exposed.insert(shown, name.into());
        }
        Self { exposed }
    }

    /// The upstream's own name behind an exposed one.
    #[must_use]
    pub fn upstream(&self, exposed: &str) -> Option<&str> {
        self.exposed.get(exposed).map(AsRef::as_ref)
    }

    /// (exposed, upstream) pairs in the order of the exposed names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.exposed.iter().map(|(exposed, upstream)| (&**exposed, &**upstream))
    }
}

/// The connector id in front of an exposed tool or prompt name: an id has no `_`, so the first one ends it.
#[must_use]
pub fn id_of_exposed(exposed: &str) -> Option<&str> {
    exposed.split_once('_').map(|(id, _)| id)
}

/// The one scheme that clients look at before they read a resource (MCP Apps), so the exposed form keeps it.
const UI: &str = "ui://";

/// The exposed form of a resource's URI or of a URI template: `<id>-<uri>`, and `ui://<id>-<rest>` for `ui://<rest>`.
///
/// Injective over all connectors: an id holds neither `-` nor `:`, so the two forms cannot meet and the first `-`
/// ends the id.
#[must_use]
pub fn expose_uri(id: &ConnectorId, uri: &str) -> String {
    match uri.strip_prefix(UI) {
        Some(rest) => format!("{UI}{id}-{rest}"),
        None => format!("{id}-{uri}"),
    }
}

/// The id and the upstream's own URI behind an exposed one; the inverse of [`expose_uri`].
#[must_use]
pub fn split_uri(exposed: &str) -> Option<(&str, Cow<'_, str>)> {
    match exposed.strip_prefix(UI) {
        Some(rest) => rest.split_once('-').map(|(id, rest)| (id, Cow::Owned(format!("{UI}{rest}")))),
        None => exposed.split_once('-').map(|(id, uri)| (id, Cow::Borrowed(uri))),
    }
}

fn is_exposable(name: &str) -> bool {
    (1..=MAX_EXPOSED).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// The prefixed name when it is exposable and free; else sanitised, cut, and told apart by a hash of the
/// upstream's name, so that it is the same after every restart.
fn unused(taken: &BTreeMap<Box<str>, Box<str>>, prefix: &str, name: &str) -> Box<str> {
    let plain = format!("{prefix}{name}");
    if is_exposable(&plain) && !taken.contains_key(plain.as_str()) {
        return plain.into();
    }
    let digest = hex::encode(Sha256::digest(name.as_bytes()));
    let clean: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' }).collect();
    // 8 hex characters tell names apart; on the (constructed) collision the suffix grows.
    for length in (8..=24).step_by(4) {
        let suffix = &digest[..length];
        let room = MAX_EXPOSED - prefix.len() - 1 - length;
        let shown = format!("{prefix}{}_{suffix}", &clean[..clean.len().min(room)]);
        if !taken.contains_key(shown.as_str()) {
            return shown.into();
        }
    }
    format!("{prefix}{}", &digest[..MAX_EXPOSED - prefix.len()]).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(text: &str) -> ConnectorId {
        ConnectorId::parse(text).unwrap()
    }

    fn exposed(prefixing: Prefixing, names: &[&str]) -> Vec<(String, String)> {
        ExposedNames::new(&id("odoo"), prefixing, names.iter().copied())
            .iter()
            .map(|(e, u)| (e.to_owned(), u.to_owned()))
            .collect()
    }

    #[test]
    fn children_and_variables_follow_the_resource_name() {
        let name = ConnectorName::parse("slack-workspace").unwrap();
        assert_eq!(child_name(&name), "aperium-mcp-slack-workspace");
        assert_eq!(env_suffix(&name), "SLACK_WORKSPACE");
        assert_eq!(effective_id(None, &name).unwrap().as_str(), "slackworkspace");
        assert_eq!(effective_id(Some("slack"), &name).unwrap().as_str(), "slack");
        assert!(effective_id(None, &ConnectorName::parse("aperture").unwrap()).is_err());
        assert!(effective_id(None, &ConnectorName::parse("auto-1").unwrap()).is_err());
    }

    #[test]
    fn a_remote_tool_is_always_prefixed() {
        assert_eq!(
            exposed(Prefixing::Always, &["search", "odoo_search"]),
            [("odoo_odoo_search".into(), "odoo_search".into()), ("odoo_search".into(), "search".into())]
        );
    }

    #[test]
    fn a_tool_of_ours_keeps_its_prefix_unless_that_collides() {
        assert_eq!(exposed(Prefixing::KeepOwnPrefix, &["odoo_search"]), [("odoo_search".into(), "odoo_search".into())]);
        assert_eq!(
            exposed(Prefixing::KeepOwnPrefix, &["odoo_search", "search"]),
            [("odoo_odoo_search".into(), "odoo_search".into()), ("odoo_search".into(), "search".into())]
        );
    }

    #[test]
    fn a_name_that_clients_cannot_use_is_sanitised_with_a_stable_hash() {
        let shown = exposed(Prefixing::Always, &["a.b", "a/b", &"x".repeat(80)]);
        assert!(shown.iter().all(|(e, _)| is_exposable(e) && e.starts_with("odoo_")), "{shown:?}");
        assert_eq!(shown, exposed(Prefixing::Always, &[&"x".repeat(80), "a/b", "a.b"]));
    }

    #[test]
    fn uris_are_prefixed_and_stripped_once() {
        let shown = expose_uri(&id("local"), "local-files://a-b");
        assert_eq!(shown, "local-local-files://a-b");
        assert_eq!(split_uri(&shown), Some(("local", "local-files://a-b".into())));
    }

    #[test]
    fn a_user_interface_keeps_its_scheme() {
        let shown = expose_uri(&id("local"), "ui://charts-v2/main.html");
        assert_eq!(shown, "ui://local-charts-v2/main.html");
        assert_eq!(split_uri(&shown), Some(("local", "ui://charts-v2/main.html".into())));
        assert_eq!(split_uri("ui://nothing"), None);
    }

    /// A hundred thousand pairs of connectors and tools, out of few letters so that many would meet.
    #[test]
    fn m2_no_two_tools_of_any_connectors_are_exposed_under_one_name() {
        let (ids, parts) = (["a", "ab", "b", "a1", "abc"], ["a", "b", "_", "ab", "__", "a_b", ".", "é", "1", ""]);
        let (mut shown, mut state) = (std::collections::HashMap::new(), 1_u64);
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % below
        };
        for _ in 0..100_000 {
            let owner = ids[next(ids.len())];
            let other = ids[next(ids.len())];
            // Often with the prefix of another connector, or its own.
            let prefix = if next(2) == 0 { format!("{other}_") } else { String::new() };
            let tool = (0..=next(4)).fold(prefix, |name, _| name + parts[next(parts.len())]);
            let map = ExposedNames::new(&id(owner), Prefixing::Always, [tool.as_str()]);
            for (name, upstream) in map.iter() {
                let before = shown.insert(name.to_owned(), (owner, upstream.to_owned()));
                assert!(before.is_none_or(|before| before == (owner, upstream.to_owned())), "{name}");
                assert_eq!(id_of_exposed(name), Some(owner));
            }
        }
        assert!(shown.len() > 10_000, "{}", shown.len());
    }

    proptest! {
        #[test]
        fn an_exposed_uri_leads_back_to_its_connector_and_itself(
            id_text in "[a-zA-Z][a-zA-Z0-9]{0,6}|ui",
            uri in "(ui://|file:///|-|://)?[a-z:/{}-]{0,12}",
        ) {
            let Ok(id) = ConnectorId::any(&id_text) else { return Ok(()) };
            let shown = expose_uri(&id, &uri);
            prop_assert_eq!(split_uri(&shown), Some((id.as_str(), uri.as_str().into())));
        }

        #[test]
        fn m2_exposure_is_injective_and_loses_nothing(
            names in proptest::collection::btree_set("(odoo_|odoo_odoo_)?[a-c._é]{1,4}|[a-z]{58,80}", 0..12),
            keep in any::<bool>(),
        ) {
            let prefixing = if keep { Prefixing::KeepOwnPrefix } else { Prefixing::Always };
            let map = ExposedNames::new(&id("odoo"), prefixing, names.iter().map(String::as_str));
            let back: std::collections::BTreeSet<String> = map.iter().map(|(_, u)| u.to_owned()).collect();
            prop_assert_eq!(&back, &names);
            for (shown, upstream) in map.iter() {
                prop_assert!(is_exposable(shown));
                prop_assert_eq!(id_of_exposed(shown), Some("odoo"));
                prop_assert_eq!(map.upstream(shown), Some(upstream));
            }
        }
    }
}
