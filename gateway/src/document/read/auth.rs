//! The `auth` block of a server, read strictly: a misspelled field must not become a server without credentials.

use crate::document::decode::{Fields, Unknown};
use crate::document::finding::{Findings, Path, Severity};
use crate::document::hujson::{Node, Value};
use aperium_core::auth::{
    AuthFault, DEFAULT_KEY_HEADER, check_basic_password, check_basic_user, check_client, check_key, check_key_header,
    check_key_parameter,
};
use aperium_crds::connector::{AuthType, Protocol};
use aperium_platform::oauth::OWN_PARAMETERS;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, json};
use std::collections::BTreeMap;

/// Where a field goes, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A secret: returned as `***`.
    Secret,
    /// Belongs beside the secret and is none itself.
    Beside,
    /// A string of the Connector.
    Text,
    /// Strings of the Connector.
    Texts,
    /// Names and strings of the Connector.
    Params,
}

/// One field of the block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    /// Its name in a document and in a Secret.
    pub(crate) name: &'static str,
    /// Its name in a Connector.
    pub(crate) spec: &'static str,
    kind: Kind,
    /// Whether the scheme needs it.
    pub(crate) required: bool,
}

/// A scheme with its fields.
pub(crate) struct Scheme {
    /// The type in a Connector.
    pub(crate) auth: AuthType,
    /// The type in a document.
    pub(crate) name: &'static str,
    /// The block of a Connector that holds its fields.
    pub(crate) block: &'static str,
    /// Its fields.
    pub(crate) fields: &'static [Field],
}

const fn field(name: &'static str, spec: &'static str, kind: Kind, required: bool) -> Field {
    Field { name, spec, kind, required }
}

/// All schemes (seed 002; `oauth2_dcr` from the public pages).
pub(crate) const SCHEMES: [Scheme; 6] = [
    Scheme {
        auth: AuthType::BearerToken,
        name: "bearer_token",
        block: "bearerToken",
        fields: &[field("secret", "secret", Kind::Secret, true)],
    },
    Scheme {
        auth: AuthType::ApiKey,
        name: "api_key",
        block: "apiKey",
        fields: &[
            field("secret", "secret", Kind::Secret, true),
            field("name", "name", Kind::Text, false),
            field("in", "in", Kind::Text, false),
        ],
    },
    Scheme {
        auth: AuthType::Basic,
        name: "basic",
        block: "basic",
        fields: &[field("username", "username", Kind::Beside, true), field("password", "password", Kind::Secret, true)],
    },
    Scheme {
        auth: AuthType::ClientCredentials,
        name: "oauth2_client_credentials",
        block: "clientCredentials",
        fields: &[
            field("client_id", "clientId", Kind::Beside, true),
            field("client_secret", "clientSecret", Kind::Secret, true),
            field("token_url", "tokenUrl", Kind::Text, true),
            field("scopes", "scopes", Kind::Texts, false),
        ],
    },
    Scheme {
        auth: AuthType::AuthorizationCode,
        name: "oauth2_authorization_code",
        block: "authorizationCode",
        fields: &[
            field("client_id", "clientId", Kind::Beside, true),
            field("client_secret", "clientSecret", Kind::Secret, false),
            field("auth_url", "authUrl", Kind::Text, true),
            field("token_url", "tokenUrl", Kind::Text, true),
            field("scopes", "scopes", Kind::Texts, false),
            field("auth_params", "authParams", Kind::Params, false),
        ],
    },
    Scheme {
        auth: AuthType::Dcr,
        name: "oauth2_dcr",
        block: "dcr",
        fields: &[field("scopes", "scopes", Kind::Texts, false)],
    },
];

impl Field {
    /// Whether the field lies in the Secret that belongs to a Connector.
    pub(crate) fn in_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret | Kind::Beside)
    }
}

impl Scheme {
    /// The scheme of a Connector.
    pub(crate) fn of(auth: AuthType) -> Option<&'static Self> {
        SCHEMES.iter().find(|scheme| scheme.auth == auth)
    }
}

/// The fields whose values are secrets, whatever the type.
pub(crate) fn is_secret(field: &str) -> bool {
    let known = SCHEMES.iter().flat_map(|scheme| scheme.fields).find(|known| known.name == field);
    // A field that nobody knows may be a misspelled secret.
    known.map_or(field != "type", |known| known.kind == Kind::Secret)
}

/// How to authenticate to a server.
pub(crate) struct ServerAuth {
    /// The scheme.
    pub(crate) scheme: &'static Scheme,
    /// What the Connector says of it, under its names there.
    pub(crate) spec: Map<String, serde_json::Value>,
    /// What lies in a Secret.
    pub(crate) secrets: BTreeMap<String, SecretString>,
}

/// Reads the block of a connector; `None` after an error.
pub(super) fn read(
    node: &Node,
    id: &str,
    protocol: Option<Protocol>,
    path: &Path,
    findings: &mut Findings<'_>,
) -> Option<ServerAuth> {
    let mut fields = Fields::of(node, path.clone(), Severity::Error, findings)?;
    let text = fields.text("type", findings).unwrap_or_default();
    let Some(scheme) = SCHEMES.iter().find(|scheme| scheme.name == text) else {
        if !fields.broken {
            let shown: String = text.chars().filter(|c| !c.is_control()).take(64).collect();
            findings.add(Severity::Error, fields.at(), path, format!("connector {id} has invalid auth type: {shown}"));
        }
        return None;
    };
    let mut problems: Vec<String> = Vec::new();
    if protocol == Some(Protocol::Http) && matches!(scheme.auth, AuthType::AuthorizationCode | AuthType::Dcr) {
        problems.push(format!("connector {id}: {} is not supported for protocol \"http\"", scheme.name));
    }
    let mut auth = ServerAuth { scheme, spec: Map::new(), secrets: BTreeMap::new() };
    for field in scheme.fields {
        let there = take(&mut fields, field, &mut auth, findings);
        if field.required && !there && !fields.broken {
            problems.push(format!("connector {id}: auth.{} is required for {}", field.name, scheme.name));
        }
    }
    problems.extend(flaws(&auth, id));
    // Fields of another scheme are known, and a sign that something else was meant.
    for other in SCHEMES.iter().flat_map(|scheme| scheme.fields) {
        let of_this = scheme.fields.iter().any(|field| field.name == other.name);
        if !of_this && fields.node(other.name).is_some() {
            problems.push(format!("connector {id}: auth.{} has no meaning for {}", other.name, scheme.name));
        }
    }
    problems.dedup();
    for problem in &problems {
        findings.add(Severity::Error, fields.at(), path, problem.clone());
    }
    let broken = fields.broken;
    fields.finish(Unknown::Strict(Severity::Error), findings);
    (!broken && problems.is_empty()).then_some(auth)
}

/// Takes one field over; whether it is there.
fn take(fields: &mut Fields<'_>, field: &Field, auth: &mut ServerAuth, findings: &mut Findings<'_>) -> bool {
    match field.kind {
        Kind::Secret | Kind::Beside | Kind::Text => {
            let Some(text) = fields.text(field.name, findings).filter(|text| !text.is_empty()) else { return false };
            if field.in_secret() {
                auth.secrets.insert(field.name.to_owned(), SecretString::from(text));
            } else {
                auth.spec.insert(field.spec.to_owned(), json!(text));
            }
        }
        Kind::Texts => {
            let texts: Vec<String> = fields.texts(field.name, findings).into_iter().map(|(_, text)| text).collect();
            if texts.is_empty() {
                return false;
            }
            auth.spec.insert(field.spec.to_owned(), json!(texts));
        }
        Kind::Params => {
            let Some(node) = fields.node(field.name) else { return false };
            let path = fields.path().key(field.name);
            let Some(params) = Fields::of(node, path.clone(), Severity::Error, findings).and(node.members()) else {
                fields.broken = true;
                return false;
            };
            if let Some(odd) = params.iter().find(|param| !matches!(param.value.value, Value::Text(_))) {
                let message = format!("{}: json: cannot use {} as a string", odd.key, odd.value.kind());
                findings.add(Severity::Error, odd.value.span.start, &path.key(&odd.key), message);
                fields.broken = true;
            }
            if params.is_empty() {
                return false;
            }
            auth.spec.insert(field.spec.to_owned(), node.to_json());
        }
    }
    true
}

/// What is well-formed and cannot be used: the rules of `core::auth`, which hold for Secrets too.
fn flaws(auth: &ServerAuth, id: &str) -> Vec<String> {
    let mut flaws = Vec::new();
    let mut check = |field: &str, checked: Result<(), AuthFault>| {
        if let Err(fault) = checked {
            flaws.push(format!("connector {id}: auth.{field} {fault}"));
        }
    };
    let text = |field: &str| auth.spec.get(field).and_then(|value| value.as_str());
    for (field, value) in &auth.secrets {
        let value = value.expose_secret();
        let checked = match field.as_str() {
            "secret" => check_key(value),
            "username" => check_basic_user(value),
            "password" => check_basic_password(value),
            _ => check_client(value),
        };
        check(field, checked);
    }
    if auth.scheme.auth == AuthType::ApiKey {
        match (text("in").unwrap_or("header"), text("name")) {
            ("header", name) => check("name", check_key_header(name.unwrap_or(DEFAULT_KEY_HEADER))),
            ("query", name) => check("name", check_key_parameter(name.unwrap_or(DEFAULT_KEY_HEADER))),
            _ => flaws.push(format!("connector {id}: auth.in must be \"header\" or \"query\"")),
        }
    }
    if let Some(params) = auth.spec.get("authParams").and_then(|params| params.as_object())
        && let Some(own) = params.keys().find(|key| OWN_PARAMETERS.iter().any(|own| own.eq_ignore_ascii_case(key)))
    {
        flaws.push(format!("connector {id}: auth.auth_params must not set {own}"));
    }
    flaws
}
