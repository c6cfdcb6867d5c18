//! `${APERIUM_CONFIG_…}` in strings of a document → the values that whoever starts the gateway gave.
//!
//! Substituted only when a file is loaded: a document that comes through the API and could name any variable would be a
//! way to read them. `$${` stands for `${`.

use super::finding::Path;
use super::hujson::{Node, Value};
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::{BTreeMap, BTreeSet};

/// What the name of every variable starts with.
const PREFIX: &str = "APERIUM_CONFIG_";

/// The variables and their values.
#[derive(Debug, Clone, Default)]
pub struct Macros(BTreeMap<String, SecretString>);

impl Macros {
    /// Keeps the variables that documents may name: those whose names start with `APERIUM_CONFIG_`.
    pub fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let ours = variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX));
        Self(ours.map(|(name, value)| (name, SecretString::from(value))).collect())
    }

    /// Exchanges every macro in every string below; gives the names that have no value, in order.
    pub(crate) fn substitute(&self, node: &mut Node) -> BTreeSet<String> {
        let mut missing = BTreeSet::new();
        self.walk(node, &mut missing);
        missing
    }

    fn walk(&self, node: &mut Node, missing: &mut BTreeSet<String>) {
        match &mut node.value {
            Value::Text(text) if text.contains("${") => *text = self.fill(text, missing),
            Value::Array(items) => items.iter_mut().for_each(|item| self.walk(item, missing)),
            Value::Object(members) => members.iter_mut().for_each(|member| self.walk(&mut member.value, missing)),
            _ => {}
        }
    }

    fn fill(&self, text: &str, missing: &mut BTreeSet<String>) -> String {
        pieces(text)
            .map(|piece| match piece {
                Piece::Plain(plain) => plain,
                Piece::Macro { name, whole } => match self.0.get(name) {
                    Some(value) => value.expose_secret(),
                    None => {
                        missing.insert(name.to_owned());
                        whole
                    }
                },
            })
            .collect()
    }
}

/// The places (indices left out) and texts of all strings that name a macro.
pub(crate) fn strings_with_macros(node: &Node) -> BTreeMap<(Path, String), BTreeSet<String>> {
    let mut found = BTreeMap::new();
    collect(node, &Path::default(), &mut found);
    found
}

fn collect(node: &Node, path: &Path, found: &mut BTreeMap<(Path, String), BTreeSet<String>>) {
    match &node.value {
        Value::Text(text) => {
            let names: BTreeSet<String> = pieces(text)
                .filter_map(|piece| if let Piece::Macro { name, .. } = piece { Some(name.to_owned()) } else { None })
                .collect();
            if !names.is_empty() {
                found.insert((path.clone(), text.clone()), names);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, &path.any_item(), found)),
        Value::Object(members) => {
            members.iter().for_each(|member| collect(&member.value, &path.key(&member.key), found));
        }
        _ => {}
    }
}

/// A text in which nothing will be taken for a macro.
pub(crate) fn escape(text: &str) -> String {
    if text.contains("${") { text.replace("${", "$${") } else { text.to_owned() }
}

enum Piece<'t> {
    Plain(&'t str),
    Macro { name: &'t str, whole: &'t str },
}

/// Cuts a text at its macros and escapes.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let at = rest.find("${").unwrap_or(rest.len());
        if at == 0 {
            let name = rest.get(2..).and_then(|inner| inner.split_once('}')).map(|(name, _)| name);
            let name = name.filter(|name| is_name(name));
            let (whole, after) = rest.split_at_checked(name.map_or(2, |name| name.len() + 3))?;
            rest = after;
            return Some(name.map_or(Piece::Plain(whole), |name| Piece::Macro { name, whole }));
        }
        // `$${` is a plain `${`: the first `$` goes.
        let (before, after) = rest.split_at_checked(at)?;
        match before.strip_suffix('$') {
            Some(before) if after.starts_with("${") => {
                if before.is_empty() {
                    rest = after.get(2..).unwrap_or_default();
                    return Some(Piece::Plain("${"));
                }
                rest = rest.get(before.len()..).unwrap_or_default();
                Some(Piece::Plain(before))
            }
            _ => {
                rest = after;
                Some(Piece::Plain(before))
            }
        }
    })
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::super::hujson::parse;
    use super::*;

    fn filled(text: &str) -> (String, Vec<String>) {
        let macros = Macros::from_variables([
            ("APERIUM_CONFIG_A".to_owned(), "x${APERIUM_CONFIG_B}".to_owned()),
            ("HOME".to_owned(), "/root".to_owned()),
        ]);
        let mut node = parse(&serde_json::Value::from(text).to_string()).unwrap();
        let missing = macros.substitute(&mut node);
        (node.text().unwrap().to_owned(), missing.into_iter().collect())
    }

    #[test]
    fn only_our_own_variables_are_substituted_and_values_are_not_read_again() {
        assert_eq!(filled("a ${APERIUM_CONFIG_A} b"), ("a x${APERIUM_CONFIG_B} b".into(), vec![]));
        assert_eq!(filled("${HOME}"), ("${HOME}".into(), vec!["HOME".into()]));
        assert_eq!(filled("${APERIUM_CONFIG_Z}${APERIUM_CONFIG_Y}").1, ["APERIUM_CONFIG_Y", "APERIUM_CONFIG_Z"]);
    }

    #[test]
    fn what_is_no_macro_stays_and_an_escape_means_itself() {
        for text in ["$", "${", "${}", "${a b}", "$x", "${1}", "a$", "}"] {
            assert_eq!(filled(text), (text.into(), vec![]), "{text}");
        }
        assert_eq!(filled("$${HOME} and $${x}"), ("${HOME} and ${x}".into(), vec![]));
        for text in ["${HOME}", "$${HOME}", "$$${HOME}", "${", "x"] {
            assert_eq!(filled(&escape(text)), (text.into(), vec![]), "{text}");
        }
    }
}
