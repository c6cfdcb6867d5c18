//! A Secret that a remote Connector refers to → its values, or why they may not be used. Pure; where the Secret comes
//! from (the API server, a folder, a document) is another matter.

use aperium_crds::condition::reasons;
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The values of a Secret, by key.
pub(crate) type Values = BTreeMap<String, SecretString>;

/// Why what a Connector refers to cannot be used: the reason and message of `ResolvedRefs`. Never holds a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Unresolved {
    /// For conditions and metric labels.
    pub(crate) reason: &'static str,
    /// For people.
    pub(crate) message: String,
}

/// What is known of a Secret at the moment.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    /// Its values.
    Values(Arc<Values>),
    /// It cannot be used.
    Not(Unresolved),
}

impl Unresolved {
    /// Nobody has looked yet.
    pub(crate) fn pending(secret: &str) -> Self {
        Self { reason: reasons::PENDING, message: format!("Secret \"{secret}\" has not been read yet") }
    }
}

impl PartialEq for Found {
    /// For telling news from no news; nobody can time it from outside.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Not(a), Self::Not(b)) => a == b,
            (Self::Values(a), Self::Values(b)) => {
                let plain = |values: &Values| -> Vec<(String, String)> {
                    values.iter().map(|(key, value)| (key.clone(), value.expose_secret().to_owned())).collect()
                };
                a.len() == b.len() && plain(a) == plain(b)
            }
            _ => false,
        }
    }
}

/// The label that permits a Connector of this name to use a Secret (blueprint §4 "Trust").
pub(crate) fn label(connector: &str) -> String {
    format!("connector.aperium.dev/{connector}")
}

/// Whether a Secret may be used by a Connector, and its values if so. `secret`: its labels and values where it is there.
pub(crate) fn judge(name: &str, connector: &str, secret: Option<(&BTreeMap<String, String>, Values)>) -> Found {
    let Some((labels, values)) = secret else {
        let message = format!("Secret \"{name}\" is not there");
        return Found::Not(Unresolved { reason: reasons::SECRET_NOT_FOUND, message });
    };
    let label = label(connector);
    if labels.get(&label).map(String::as_str) != Some("true") {
        let message = format!("Secret \"{name}\" must carry the label {label}: \"true\"");
        return Found::Not(Unresolved { reason: reasons::REF_NOT_PERMITTED, message });
    }
    Found::Values(Arc::new(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(value: &str) -> Values {
        [("secret".to_owned(), SecretString::from(value.to_owned()))].into()
    }

    #[test]
    fn a_secret_counts_only_with_the_label_of_the_connector() {
        let labels = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let reason = |labels: Option<BTreeMap<String, String>>| match judge(
            "s",
            "odoo",
            labels.as_ref().map(|labels| (labels, values("hunter2"))),
        ) {
            Found::Values(_) => "usable",
            Found::Not(why) => {
                assert!(!why.message.contains("hunter2"));
                why.reason
            }
        };
        assert_eq!(reason(None), reasons::SECRET_NOT_FOUND);
        assert_eq!(reason(Some(BTreeMap::new())), reasons::REF_NOT_PERMITTED);
        assert_eq!(reason(Some(labels("connector.aperium.dev/other", "true"))), reasons::REF_NOT_PERMITTED);
        assert_eq!(reason(Some(labels("connector.aperium.dev/odoo", "yes"))), reasons::REF_NOT_PERMITTED);
        assert_eq!(reason(Some(labels("connector.aperium.dev/odoo", "true"))), "usable");
    }

    #[test]
    fn another_value_is_news_and_no_value_is_shown() {
        let found = |value: &str| Found::Values(Arc::new(values(value)));
        assert!(
            found("a") == found("a") && found("a") != found("b") && found("a") != Found::Not(Unresolved::pending("s"))
        );
        assert!(!format!("{:?}", found("hunter2")).contains("hunter2"));
    }
}
