//! The part of the settings that says which issuers are trusted, and who may act for persons.

use super::Settings;
use aperium_core::egress::HostPort;
use aperium_core::grant::Subject;
use aperium_core::id::TenantId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// An OIDC issuer whose tokens are accepted as `Authorization: Bearer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OidcIssuer {
    /// The issuer as its tokens spell it. Its keys come from the document at
    /// `<issuer>/.well-known/openid-configuration`. `https`, or `http` where `egress.allowHosts` names it.
    pub issuer: String,
    /// A token must be for one of these.
    pub audiences: Vec<String>,
    /// Algorithms of signatures that are accepted; each only with a key of its own type.
    #[serde(default = "algorithms")]
    pub algorithms: Vec<String>,
    /// Which claims say what.
    #[serde(default)]
    pub claims: Claims,
    /// Scopes that a token must all hold; none by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Seconds that the clocks may differ; at most 60. Default 30.
    #[serde(default = "skew")]
    pub clock_skew_seconds: u64,
}

/// The claims of an issuer's tokens: a name, or a JSON pointer such as `/realm_access/roles`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Claims {
    /// The groups: a list of texts, or one. Default `groups`.
    pub groups: String,
    /// The tenant. Empty, the default: these tokens name none.
    pub tenant: String,
    /// The e-mail, which counts only beside `email_verified: true`. Default `email`.
    pub email: String,
}

impl Default for Claims {
    fn default() -> Self {
        Self { groups: "groups".to_owned(), tenant: String::new(), email: "email".to_owned() }
    }
}

/// Who may act for persons by `X-Aperium-Tenant`, `X-Aperium-User` and `X-Aperium-Groups` on the in-cluster listener.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delegate {
    /// `serviceaccount:<namespace>:<name>` or `client:<name>`.
    pub subject: String,
    /// The tenants it may act in.
    #[serde(default)]
    pub tenants: Vec<TenantId>,
    /// The groups it may name.
    #[serde(default)]
    pub groups: Vec<String>,
}

impl Delegate {
    /// The subject, where it is one that may be a delegate.
    #[must_use]
    pub fn parsed(&self) -> Option<Subject> {
        let subject = self.subject.parse().ok()?;
        matches!(subject, Subject::ServiceAccount(..) | Subject::Client(_)).then_some(subject)
    }
}

/// What is accepted where the settings say nothing: what issuers use by default.
fn algorithms() -> Vec<String> {
    ["RS256", "ES256", "EdDSA"].map(str::to_owned).to_vec()
}

fn skew() -> u64 {
    30
}

/// Every algorithm that can be configured: signatures with a public key only.
const ALGORITHMS: [&str; 9] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
/// The most issuers, and the most delegates.
const MAX: usize = 32;

/// Why the settings of issuers and delegates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// More than [`MAX`].
    #[error("authentication.oidc and authentication.delegates hold at most {MAX} entries each")]
    TooMany,
    /// No usable URL.
    #[error(
        "authentication.oidc: issuer \"{0}\" must be a unique https URL without query or fragment; http only where egress.allowHosts names its host and port"
    )]
    Issuer(String),
    /// No audience.
    #[error("authentication.oidc: issuer \"{0}\" must have at least one audience, and no empty one")]
    Audience(String),
    /// Not an algorithm that can be used.
    #[error(
        "authentication.oidc: issuer \"{0}\": algorithms must be some of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA"
    )]
    Algorithm(String),
    /// A scope that no token can hold.
    #[error(
        "authentication.oidc: issuer \"{0}\": a scope must hold visible ASCII without quotes, backslashes and spaces"
    )]
    Scope(String),
    /// The clocks may differ too much.
    #[error("authentication.oidc: issuer \"{0}\": clockSkewSeconds must be at most 60")]
    Skew(String),
    /// Where metadata could not say where it is.
    #[error(
        "hosts.publicUrl must be the https URL (http only on loopback) that callers use, without query, fragment or a slash at its end; authentication.oidc needs it"
    )]
    PublicUrl,
    /// Nobody who may be a delegate.
    #[error("authentication.delegates: \"{0}\" must be a unique serviceaccount:<namespace>:<name> or client:<name>")]
    Delegate(String),
}

/// Checks it all.
pub(super) fn check(settings: &Settings) -> Result<(), IdentityError> {
    let authentication = &settings.authentication;
    if authentication.oidc.len() > MAX || authentication.delegates.len() > MAX {
        return Err(IdentityError::TooMany);
    }
    let public = &settings.hosts.public_url;
    let needed = !authentication.oidc.is_empty();
    if (needed || !public.is_empty()) && !is_public_url(public) {
        return Err(IdentityError::PublicUrl);
    }
    let mut issuers = BTreeSet::new();
    for issuer in &authentication.oidc {
        let name = issuer.issuer.chars().filter(|c| !c.is_control()).take(256).collect::<String>();
        if !is_issuer(settings, &issuer.issuer) || !issuers.insert(&issuer.issuer) {
            return Err(IdentityError::Issuer(name));
        }
        check_issuer(issuer, name)?;
    }
    let mut delegates = BTreeSet::new();
    for delegate in &authentication.delegates {
        if delegate.parsed().is_none() || !delegates.insert(&delegate.subject) {
            let name = delegate.subject.chars().filter(|c| !c.is_control()).take(256).collect();
            return Err(IdentityError::Delegate(name));
        }
    }
    Ok(())
}

fn check_issuer(issuer: &OidcIssuer, name: String) -> Result<(), IdentityError> {
    let known = |algorithm: &String| ALGORITHMS.contains(&algorithm.as_str());
    let usable =
        |scope: &String| !scope.is_empty() && scope.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'\\'));
    if issuer.audiences.is_empty() || issuer.audiences.iter().any(String::is_empty) {
        Err(IdentityError::Audience(name))
    } else if issuer.algorithms.is_empty() || !issuer.algorithms.iter().all(known) {
        Err(IdentityError::Algorithm(name))
    } else if !issuer.scopes.iter().all(usable) {
        Err(IdentityError::Scope(name))
    } else if issuer.clock_skew_seconds > 60 {
        Err(IdentityError::Skew(name))
    } else {
        Ok(())
    }
}

fn is_issuer(settings: &Settings, text: &str) -> bool {
    text.len() <= 512
        && is_plain(text)
        && (text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
            || text.strip_prefix("http://").is_some_and(|rest| {
                let authority = rest.split('/').next().unwrap_or_default();
                let target = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
                target.parse::<HostPort>().is_ok_and(|target| settings.egress.opened(&target))
            }))
}

fn is_public_url(text: &str) -> bool {
    let on_loopback = text.strip_prefix("http://").is_some_and(|rest| {
        let authority = rest.split('/').next().unwrap_or_default();
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        matches!(host, "localhost" | "127.0.0.1" | "[::1]")
    });
    let secure = text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    text.len() <= 512 && is_plain(text) && !text.ends_with('/') && (secure || on_loopback)
}

/// Visible ASCII that neither begins a query or a fragment, nor names a user, nor ends a quoted text.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'@' | b'"' | b'\\' | b'<' | b'>'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(hosts: &str, authentication: &str) -> Result<Settings, String> {
        let text = format!(
            "hosts: {hosts}\negress: {{allowHosts: [\"keycloak.id:8080\"]}}\nauthentication: {authentication}\n"
        );
        Settings::parse(&text).map_err(|error| error.to_string())
    }

    fn issuer(text: &str) -> Result<Settings, String> {
        parse("{publicUrl: https://mcp.example.com}", &format!("{{oidc: [{{{text}}}]}}"))
    }

    #[test]
    fn an_issuer_needs_an_audience_and_the_rest_has_defaults() {
        let settings = issuer("issuer: https://id.example.com, audiences: [aperium]").unwrap();
        let issuer_of = &settings.authentication.oidc[0];
        assert_eq!(issuer_of.algorithms, ["RS256", "ES256", "EdDSA"]);
        assert_eq!((issuer_of.clock_skew_seconds, issuer_of.claims.groups.as_str()), (30, "groups"));
        assert!(!settings.authentication.has_tenants());
        assert!(issuer("issuer: http://keycloak.id:8080/realms/a, audiences: [a]").is_ok(), "an admin allows it");
    }

    #[test]
    fn what_would_weaken_the_check_of_tokens_is_refused() {
        for (bad, says) in [
            ("issuer: http://id.example.com, audiences: [a]", "https"),
            ("issuer: \"https://id.example.com?x\", audiences: [a]", "https"),
            ("issuer: \"https://a@id.example.com\", audiences: [a]", "https"),
            ("issuer: https://id.example.com, audiences: []", "audience"),
            ("issuer: https://id.example.com, audiences: [\"\"]", "audience"),
            ("issuer: https://id.example.com, audiences: [a], algorithms: [HS256]", "algorithms"),
            ("issuer: https://id.example.com, audiences: [a], algorithms: [none]", "algorithms"),
            ("issuer: https://id.example.com, audiences: [a], algorithms: []", "algorithms"),
            ("issuer: https://id.example.com, audiences: [a], clockSkewSeconds: 61", "clockSkewSeconds"),
            ("issuer: https://id.example.com, audiences: [a], scopes: [\"a b\"]", "scope"),
        ] {
            let error = issuer(bad).unwrap_err();
            assert!(error.contains(says), "{bad}: {error}");
        }
        for bad in ["{}", "{publicUrl: http://mcp.example.com}", "{publicUrl: https://mcp.example.com/}"] {
            let error = parse(bad, "{oidc: [{issuer: https://id.example.com, audiences: [a]}]}").unwrap_err();
            assert!(error.contains("publicUrl"), "{bad}: {error}");
        }
    }

    #[test]
    fn only_programs_are_delegates() {
        assert!(parse("{}", "{delegates: [{subject: \"serviceaccount:a:backend\", tenants: [acme]}]}").is_ok());
        for bad in ["\"user:a@b.c\"", "\"*\"", "\"group:ops\"", "\"(loopback)\"", "backend"] {
            let error = parse("{}", &format!("{{delegates: [{{subject: {bad}}}]}}")).unwrap_err();
            assert!(error.contains("delegates"), "{bad}: {error}");
        }
        let settings = parse("{}", "{delegates: [{subject: \"client:ci\", tenants: [acme]}]}").unwrap();
        assert!(settings.authentication.has_tenants());
    }
}
