//! Text → typed ids. Each id has one parser; nothing else makes one.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// A connector id does not match the grammar of seed 002.
    #[error("invalid ID \"{0}\"; connector IDs must match [a-zA-Z][a-zA-Z0-9]* and hold at most 32 characters")]
    ConnectorId(String),
    /// A connector id is reserved (without regard to case).
    #[error("\"{0}\" is a reserved identifier")]
    Reserved(String),
    /// A resource name is no DNS label that starts with a letter, or is too long for its children's names.
    #[error(
        "invalid name \"{0}\"; a Connector's name must be a DNS label that starts with a letter and hold at most 51 characters"
    )]
    ConnectorName(String),
    /// A module name is not snake case.
    #[error("invalid module \"{0}\"; a module must match [a-z][a-z0-9_]* and hold at most 40 characters")]
    Module(String),
    /// A tenant id is empty, too long or holds other characters.
    #[error("invalid tenant \"{0}\"; a tenant must match [a-zA-Z0-9][a-zA-Z0-9._-]* and hold at most 63 characters")]
    Tenant(String),
}

impl IdError {
    /// The reason for conditions, events and metric labels.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::ConnectorId(_) => "InvalidId",
            Self::Reserved(_) => "ReservedId",
            Self::ConnectorName(_) => "InvalidName",
            Self::Module(_) => "InvalidModule",
            Self::Tenant(_) => "InvalidTenant",
        }
    }
}

/// Ids nobody may take, compared without regard to case (blueprint §3).
pub const RESERVED_IDS: [&str; 6] = ["tailscale", "internal", "aperture", "aperium", "system", "register"];

/// The text is quoted back in errors, so it is cut: it may come from anyone.
fn quoted(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Box<str>);

        impl $name {
            /// The text of the id.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::parse(text)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_id! {
    /// The id of a connector in one gateway: prefix of tools, segment of paths and grants.
    ///
    /// `[a-zA-Z][a-zA-Z0-9]*`, at most 32 characters, not reserved. Unique without regard to case.
    ConnectorId
}
text_id! {
    /// `metadata.name` of a Connector: a DNS label that starts with a letter, at most 51 characters.
    ConnectorName
}
text_id! {
    /// The module of a built-in connector, in snake case: folder, `--connector`, environment suffix.
    ModuleName
}
text_id! {
    /// A tenant: `[a-zA-Z0-9][a-zA-Z0-9._-]*`, at most 63 characters.
    TenantId
}

impl ConnectorId {
    /// The most characters of an id.
    pub const MAX_LEN: usize = 32;

    /// Parses an id that an admin gives.
    ///
    /// # Errors
    /// [`IdError::ConnectorId`] for the wrong form, [`IdError::Reserved`] for a reserved id or `auto<N>`, which
    /// belongs to dynamic registration.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let id = Self::any(text)?;
        let folded = text.to_ascii_lowercase();
        let registered = folded
            .strip_prefix("auto")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()));
        if RESERVED_IDS.contains(&folded.as_str()) || registered {
            return Err(IdError::Reserved(quoted(text)));
        }
        Ok(id)
    }

    /// Parses an id that a caller names: reserved ids are well-formed, they just belong to nobody else.
    ///
    /// # Errors
    /// [`IdError::ConnectorId`] for the wrong form.
    pub fn any(text: &str) -> Result<Self, IdError> {
        let well_formed = text.len() <= Self::MAX_LEN
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.bytes().all(|b| b.is_ascii_alphanumeric());
        if well_formed { Ok(Self(text.into())) } else { Err(IdError::ConnectorId(quoted(text))) }
    }

    /// The key under which ids are unique: without regard to case.
    #[must_use]
    pub fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl ConnectorName {
    /// The most characters of a Connector's name: 63 of a Service name less the prefix of its children.
    pub const MAX_LEN: usize = 51;

    /// Parses a resource name.
    ///
    /// # Errors
    /// [`IdError::ConnectorName`].
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let well_formed = !text.is_empty()
            && text.len() <= Self::MAX_LEN
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if well_formed { Ok(Self(text.into())) } else { Err(IdError::ConnectorName(quoted(text))) }
    }
}

impl ModuleName {
    /// Parses a module name, or the seeds' spelling `mcp_servers.<module>_http` of one.
    ///
    /// # Errors
    /// [`IdError::Module`].
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let module = text.strip_prefix("mcp_servers.").and_then(|rest| rest.strip_suffix("_http")).unwrap_or(text);
        let well_formed = module.len() <= 40
            && module.starts_with(|c: char| c.is_ascii_lowercase())
            && module.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if well_formed { Ok(Self(module.into())) } else { Err(IdError::Module(quoted(text))) }
    }
}

impl TenantId {
    /// Parses a tenant id.
    ///
    /// # Errors
    /// [`IdError::Tenant`].
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let well_formed = text.len() <= 63
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if well_formed { Ok(Self(text.into())) } else { Err(IdError::Tenant(quoted(text))) }
    }
}

/// Whether a resource can have this name: a DNS subdomain of at most 253 characters (Kubernetes, "Object Names and
/// IDs"). A name ends up in paths, of files and of the API server.
#[must_use]
pub fn is_object_name(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_label = |label: &str| {
        label.bytes().all(|b| is_plain(b) || b == b'-')
            && label.bytes().next().is_some_and(is_plain)
            && label.bytes().next_back().is_some_and(is_plain)
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// The id of one request, the same in the logs of the gateway and of the service.
///
/// 1–128 characters of `[A-Za-z0-9._-]`; anything else that arrives is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Box<str>);

impl RequestId {
    /// Keeps a well-formed id that came with a request, else makes a new one (a UUID version 7).
    #[must_use]
    pub fn accept(presented: Option<&str>) -> Self {
        match presented {
            Some(text) if Self::well_formed(text) => Self(text.into()),
            _ => Self::new(),
        }
    }

    /// A UUID version 7. Its random part need not be a secret, so no system call is made for it.
    fn new() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let mut random = [0; 10];
        fastrand::fill(&mut random);
        let millis = u64::try_from(since.as_millis()).unwrap_or_default();
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string().into())
    }

    fn well_formed(text: &str) -> bool {
        (1..=128).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    }

    /// The text of the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connector_ids_are_letters_and_digits_and_start_with_a_letter() {
        for good in ["a", "odoo", "Odoo19", "googleworkspace", &"a".repeat(32)] {
            assert_eq!(ConnectorId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "1a", "a-b", "a_b", "é", "a b", "a\n", &"a".repeat(33)] {
            assert_eq!(ConnectorId::parse(bad).unwrap_err().reason(), "InvalidId", "{bad:?}");
        }
    }

    #[test]
    fn reserved_ids_are_refused_in_any_case() {
        for reserved in ["tailscale", "Internal", "APERTURE", "aperium", "System", "register", "auto1", "AUTO22"] {
            assert_eq!(ConnectorId::parse(reserved).unwrap_err().reason(), "ReservedId", "{reserved}");
            assert!(ConnectorId::any(reserved).is_ok());
        }
        assert!(ConnectorId::parse("auto").is_ok(), "only auto<N> belongs to registration");
        assert!(ConnectorId::parse("auto1x").is_ok());
        assert_eq!(ConnectorId::parse("tailscale").unwrap_err().to_string(), "\"tailscale\" is a reserved identifier");
    }

    #[test]
    fn names_are_dns_labels_that_leave_room_for_the_prefix() {
        for good in ["a", "google-workspace", "a1-b2", &"a".repeat(51)] {
            assert!(ConnectorName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "1a", "-a", "a-", "A", "a.b", "a_b", &"a".repeat(52)] {
            assert!(ConnectorName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_of_resources_are_dns_subdomains_and_so_lead_nowhere_in_a_path() {
        for good in ["a", "1", "a-b.c", &"a".repeat(253)] {
            assert!(is_object_name(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "a..b",
            "../a",
            "a/b",
            "a?b",
            "a%2fb",
            "A",
            "a_b",
            "a-",
            "-a",
            "a.-b",
            "a\n",
            "é",
            &"a".repeat(254),
        ] {
            assert!(!is_object_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn the_seeds_module_spelling_is_an_alias() {
        assert_eq!(ModuleName::parse("mcp_servers.gcs_datalake_http").unwrap().as_str(), "gcs_datalake");
        assert_eq!(ModuleName::parse("postgres").unwrap().as_str(), "postgres");
        for bad in ["", "Postgres", "a-b", "../x", "mcp_servers._http", "mcp_servers.A_http"] {
            assert!(ModuleName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_request_id_is_kept_when_well_formed_and_replaced_otherwise() {
        assert_eq!(RequestId::accept(Some("a.B-9_")).as_str(), "a.B-9_");
        for bad in ["", "a b", "a\r\nx: y", "é", &"a".repeat(129)] {
            let id = RequestId::accept(Some(bad));
            assert_ne!(id.as_str(), bad);
            assert_eq!(id.as_str().len(), 36);
        }
        assert_ne!(RequestId::accept(None), RequestId::accept(None));
    }

    #[test]
    fn errors_never_carry_control_characters() {
        let error = ConnectorId::parse("a\u{1b}[31m\n").unwrap_err().to_string();
        assert!(!error.contains(|c: char| c.is_control()), "{error:?}");
    }
}
