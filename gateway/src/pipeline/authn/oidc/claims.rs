//! Verified claims → a caller.

use aperium_core::caller::{Caller, Principal};
use aperium_core::id::TenantId;
use aperium_crds::settings::OidcIssuer;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::time::{Duration, SystemTime};
use subtle::ConstantTimeEq as _;

/// The longest subject (OpenID Connect Core §2), and the longest group and e-mail.
const MAX_TEXT: usize = 255;
/// Groups of one caller; more are left out.
const MAX_GROUPS: usize = 256;

/// The claims of a token whose signature, issuer, audience and times were good.
#[derive(Debug, Deserialize)]
pub(super) struct Verified(Map<String, Value>);

impl Verified {
    /// The caller; `None` where the subject is none that can be written.
    pub(super) fn caller(&self, settings: &OidcIssuer) -> Option<Caller> {
        let subject = self.text("sub").filter(|text| is_plain(text))?;
        let principal = Principal::User { issuer: settings.issuer.clone(), subject: subject.to_owned() };
        let claims = &settings.claims;
        let mut caller = Caller::new(principal);
        // What the issuer has not verified is only what somebody typed in.
        if self.0.get("email_verified") == Some(&Value::Bool(true)) {
            caller.email = self.text(&claims.email).filter(|text| is_plain(text)).map(str::to_owned);
        }
        caller.groups = match self.get(&claims.groups) {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        caller.groups.retain(|group| is_plain(group));
        caller.groups.truncate(MAX_GROUPS);
        // One that is no tenant is none: such a caller calls nothing.
        caller.tenant = self.text(&claims.tenant).and_then(|text| TenantId::parse(text).ok());
        Some(caller)
    }

    /// Whether the token has all these scopes (`scope`, RFC 9068; `scp` of some issuers).
    pub(super) fn holds(&self, scopes: &[String]) -> bool {
        let held: Vec<&str> = match self.0.get("scope").or_else(|| self.0.get("scp")) {
            Some(Value::String(text)) => text.split(' ').collect(),
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        scopes.iter().all(|scope| held.contains(&scope.as_str()))
    }

    /// How long it is still good, without regard to clocks that differ.
    pub(super) fn left(&self) -> Duration {
        let ends = self.0.get("exp").and_then(Value::as_f64).filter(|ends| ends.is_finite()).unwrap_or_default();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Duration::try_from_secs_f64((ends - now).clamp(0.0, 3600.0)).unwrap_or_default()
    }

    /// Whether an ID token is this client's alone and answers its nonce (OpenID Connect Core §3.1.3.7).
    pub(super) fn is_for(&self, client: &str, nonce: &str) -> bool {
        let alone = match self.0.get("aud") {
            Some(Value::String(one)) => one == client,
            Some(Value::Array(many)) => many.len() == 1 || self.0.contains_key("azp"),
            _ => false,
        };
        let party = self.0.get("azp").is_none_or(|party| party == client);
        let said = self.0.get("nonce").and_then(Value::as_str).unwrap_or_default();
        alone && party && !nonce.is_empty() && bool::from(said.as_bytes().ct_eq(nonce.as_bytes()))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    fn get(&self, name: &str) -> Option<&Value> {
        let Some(path) = name.strip_prefix('/') else { return self.0.get(name) };
        let mut segments = path.split('/');
        let first = self.0.get(segments.next()?)?;
        segments.try_fold(first, |value, segment| value.get(segment))
    }
}

/// What can be part of a key or a line of a log.
fn is_plain(text: &str) -> bool {
    (1..=MAX_TEXT).contains(&text.len()) && !text.contains(char::is_control)
}
