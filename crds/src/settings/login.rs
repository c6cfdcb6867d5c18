//! The part of the settings that says how people sign in with a browser.

use super::Settings;
use aperium_core::id::TenantId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Sign-in with a browser. Without an issuer and without a local user nobody signs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Login {
    /// Issuers that people sign in at.
    pub oidc: Vec<OidcLogin>,
    /// People whose password is known here: for the first admin, and for when no issuer answers.
    pub local: Vec<LocalUser>,
    /// Minutes without a request after which a session ends. Default 60.
    pub idle_minutes: u32,
    /// Minutes after which a session ends in any case. Default 720.
    pub absolute_minutes: u32,
}

impl Default for Login {
    fn default() -> Self {
        Self { oidc: Vec::new(), local: Vec::new(), idle_minutes: 60, absolute_minutes: 720 }
    }
}

impl Login {
    /// Whether anybody can sign in.
    #[must_use]
    pub fn any(&self) -> bool {
        !self.oidc.is_empty() || !self.local.is_empty()
    }
}

/// An issuer that people sign in at: authorization code with PKCE. The browser comes back to
/// `<hosts.publicUrl>/login/<name>/callback`, which the client must have as its redirect URI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OidcLogin {
    /// Its name in paths: 1 to 63 small letters, digits and inner '-'. The client's secret, where it has one, is in the
    /// file `oidc.<name>` of the login folder.
    pub name: String,
    /// One of `authentication.oidc`. Its ID tokens must hold the claims that are configured there.
    pub issuer: String,
    /// What the gateway is at the issuer.
    pub client_id: String,
    /// What the button says. Default: the name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// Scopes that are asked for beside `openid`. Default `profile` and `email`.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
}

/// A person with a password. A Grant names them as `user:<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LocalUser {
    /// 1 to 63 letters, digits, '-', '_' or '.'.
    pub name: String,
    /// The Argon2id hash of the password, as `aperium password` prints it. Empty: it is in the file `local.<name>` of the
    /// login folder.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub password_hash: String,
    /// The person's tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// The person's groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

fn scopes() -> Vec<String> {
    ["profile", "email"].map(str::to_owned).to_vec()
}

/// The most issuers, and the most local users.
const MAX: usize = 32;
/// Thirty days.
const MAX_MINUTES: u32 = 30 * 24 * 60;

/// Why the settings of sign-in cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// More than [`MAX`].
    #[error("authentication.login: oidc and local hold at most {MAX} entries each")]
    TooMany,
    /// No usable name.
    #[error("authentication.login: \"{0}\" must be a unique name, for oidc of small letters, digits and inner '-'")]
    Name(String),
    /// No issuer of these settings.
    #[error("authentication.login.oidc: \"{0}\": the issuer must be one of authentication.oidc")]
    Issuer(String),
    /// An id or scope that cannot be sent.
    #[error(
        "authentication.login.oidc: \"{0}\": clientId and scopes must hold visible ASCII without quotes and spaces"
    )]
    Client(String),
    /// No hash.
    #[error(
        "authentication.login.local: \"{0}\": passwordHash must be an Argon2id hash as `aperium password` prints it"
    )]
    Hash(String),
    /// A group that Grants cannot name.
    #[error("authentication.login.local: \"{0}\": a group must hold 1 to 255 characters")]
    Group(String),
    /// Too short or too long.
    #[error("authentication.login: idleMinutes and absoluteMinutes must be 1 to 43200, and idle not above absolute")]
    Minutes,
    /// Where browsers would come back to is not known.
    #[error("authentication.login needs hosts.publicUrl")]
    PublicUrl,
}

/// Checks it all.
pub(super) fn check(settings: &Settings) -> Result<(), LoginError> {
    let login = &settings.authentication.login;
    if login.oidc.len() > MAX || login.local.len() > MAX {
        return Err(LoginError::TooMany);
    }
    if login.any() && settings.hosts.public_url.is_empty() {
        return Err(LoginError::PublicUrl);
    }
    let minutes = 1..=MAX_MINUTES;
    if !minutes.contains(&login.absolute_minutes) || !(1..=login.absolute_minutes).contains(&login.idle_minutes) {
        return Err(LoginError::Minutes);
    }
    let mut names = BTreeSet::new();
    for one in &login.oidc {
        if !is_path_name(&one.name) || !names.insert(&one.name) {
            return Err(LoginError::Name(shown(&one.name)));
        }
        if !settings.authentication.oidc.iter().any(|issuer| issuer.issuer == one.issuer) {
            return Err(LoginError::Issuer(shown(&one.name)));
        }
        let usable = |text: &String| {
            (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'))
        };
        if !usable(&one.client_id) || !one.scopes.iter().all(usable) {
            return Err(LoginError::Client(shown(&one.name)));
        }
    }
    let mut names = BTreeSet::new();
    for user in &login.local {
        let usable = (1..=63).contains(&user.name.len())
            && user.name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && user.name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if !usable || !names.insert(&user.name) {
            return Err(LoginError::Name(shown(&user.name)));
        }
        if !user.password_hash.is_empty() && !is_password_hash(&user.password_hash) {
            return Err(LoginError::Hash(user.name.clone()));
        }
        if !user.groups.iter().all(|group| (1..=255).contains(&group.len())) {
            return Err(LoginError::Group(user.name.clone()));
        }
    }
    Ok(())
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

fn is_path_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Whether a text looks like an Argon2id hash in the PHC form. Whoever verifies with it reads it whole.
#[must_use]
pub fn is_password_hash(text: &str) -> bool {
    text.starts_with("$argon2id$v=19$m=") && text.len() <= 256 && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA";

    fn parse(login: &str) -> Result<Settings, String> {
        let text = format!(
            "hosts: {{publicUrl: https://mcp.example.com}}\nauthentication:\n  oidc: [{{issuer: https://id.example.com, audiences: [a]}}]\n  login: {{{login}}}\n"
        );
        Settings::parse(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn people_sign_in_at_an_issuer_or_with_a_password() {
        let settings = parse(&format!(
            "oidc: [{{name: corp, issuer: https://id.example.com, clientId: aperium}}], local: [{{name: admin, passwordHash: \"{HASH}\"}}, {{name: other}}]"
        ));
        let login = settings.unwrap().authentication.login;
        assert_eq!((login.idle_minutes, login.absolute_minutes), (60, 720));
        assert_eq!(login.oidc[0].scopes, ["profile", "email"]);
        assert!(!Login::default().any());
    }

    #[test]
    fn what_could_not_work_or_would_be_weak_is_refused() {
        for (bad, says) in [
            ("oidc: [{name: corp, issuer: https://other.example.com, clientId: a}]", "authentication.oidc"),
            ("oidc: [{name: Corp, issuer: https://id.example.com, clientId: a}]", "Corp"),
            ("oidc: [{name: \"a/b\", issuer: https://id.example.com, clientId: a}]", "a/b"),
            ("oidc: [{name: corp, issuer: https://id.example.com, clientId: \"\"}]", "clientId"),
            ("oidc: [{name: corp, issuer: https://id.example.com, clientId: a, scopes: [\"a b\"]}]", "scopes"),
            ("local: [{name: a}, {name: a}]", "unique"),
            ("local: [{name: \"../a\"}]", "../a"),
            ("local: [{name: a, groups: [\"\"]}]", "group"),
            ("idleMinutes: 0", "idleMinutes"),
            ("idleMinutes: 100, absoluteMinutes: 60", "idleMinutes"),
            ("absoluteMinutes: 43201", "absoluteMinutes"),
        ] {
            let error = parse(bad).unwrap_err();
            assert!(error.contains(says), "{bad}: {error}");
        }
        let error = parse("local: [{name: a, passwordHash: hunter2}]").unwrap_err();
        assert!(error.contains("passwordHash") && !error.contains("hunter2"), "{error}");
        let error = Settings::parse("authentication: {login: {local: [{name: a}]}}").unwrap_err().to_string();
        assert!(error.contains("publicUrl"), "{error}");
    }
}
