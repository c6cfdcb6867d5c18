//! What a lease says, and whether that fits a call: pure.

use super::{CLOCK_SKEW, LeaseError, MAX_LIFETIME};
use aperium_core::id::{ConnectorId, ConnectorName, RequestId, TenantId};
use aperium_core::name::child_name;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The service that a lease is for: `<namespace>/<ServiceAccount>`, which is that of its pods.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Audience(Box<str>);

/// A text is no `<namespace>/<ServiceAccount>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an audience is <namespace>/<name>")]
pub struct AudienceError;

impl Audience {
    /// The service of a Connector.
    #[must_use]
    pub fn of(namespace: &str, connector: &ConnectorName) -> Self {
        Self::service_account(namespace, &child_name(connector))
    }

    /// Whoever runs under this ServiceAccount.
    #[must_use]
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Self(format!("{namespace}/{name}").into())
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`AudienceError`].
    pub fn parse(text: &str) -> Result<Self, AudienceError> {
        let label = |part: &str, limit: usize| {
            (1..=limit).contains(&part.len())
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
        };
        match text.split_once('/') {
            Some((namespace, name)) if label(namespace, 63) && label(name, 253) => Ok(Self(text.into())),
            _ => Err(AudienceError),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Audience {
    type Error = AudienceError;
    fn try_from(text: String) -> Result<Self, AudienceError> {
        Self::parse(&text)
    }
}

impl From<Audience> for String {
    fn from(audience: Audience) -> Self {
        audience.0.into()
    }
}

/// What makes a lease the only one of its kind: 128 random bits in hex.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LeaseId(Box<str>);

impl LeaseId {
    pub(super) fn of(random: [u8; 16]) -> Self {
        Self(random.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
    }

    /// The text: 32 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for LeaseId {
    type Error = LeaseError;
    fn try_from(text: String) -> Result<Self, LeaseError> {
        let good = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if good { Ok(Self(text.into())) } else { Err(LeaseError::Malformed) }
    }
}

impl From<LeaseId> for String {
    fn from(id: LeaseId) -> Self {
        id.0.into()
    }
}

/// Milliseconds since 1970, as this machine's clock has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now(pub u64);

impl Now {
    /// The clock.
    #[must_use]
    pub fn clock() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(millis(since))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What a call is for; the rest of a lease is made when it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The service that is called.
    pub audience: Audience,
    /// The Connector's id.
    pub connector: ConnectorId,
    /// The tool by the service's own name.
    pub tool: String,
    /// Whose credential may be used.
    pub tenant: TenantId,
    /// Who calls.
    pub user: String,
    /// The delegate that acts for them, where there is one.
    pub delegate: Option<String>,
    /// The request that caused the call.
    pub request: RequestId,
    /// The version of the tenant's credential; another version is another credential.
    pub version: u64,
}

/// What a lease says. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Unlike that of any other lease.
    #[serde(rename = "jti")]
    pub id: LeaseId,
    /// The service that is called.
    #[serde(rename = "aud")]
    pub audience: Audience,
    /// The Connector's id.
    #[serde(rename = "con")]
    pub connector: ConnectorId,
    /// The tool by the service's own name.
    pub tool: String,
    /// Whose credential may be used.
    #[serde(rename = "ten")]
    pub tenant: TenantId,
    /// Who calls.
    #[serde(rename = "sub")]
    pub user: String,
    /// The delegate that acts for them, where there is one.
    #[serde(rename = "act", default, skip_serializing_if = "Option::is_none")]
    pub delegate: Option<String>,
    /// The request that caused the call.
    #[serde(rename = "rid")]
    pub request: String,
    /// The version of the tenant's credential.
    #[serde(rename = "ver")]
    pub version: u64,
    /// When it was made.
    #[serde(rename = "iat")]
    pub issued: u64,
    /// When it ends.
    #[serde(rename = "exp")]
    pub expires: u64,
}

impl Claims {
    pub(super) fn new(scope: &Scope, id: LeaseId, now: Now, lifetime: Duration) -> Self {
        Self {
            id,
            audience: scope.audience.clone(),
            connector: scope.connector.clone(),
            tool: scope.tool.clone(),
            tenant: scope.tenant.clone(),
            user: scope.user.clone(),
            delegate: scope.delegate.clone(),
            request: scope.request.as_str().to_owned(),
            version: scope.version,
            issued: now.0,
            expires: now.0.saturating_add(millis(lifetime.min(MAX_LIFETIME))),
        }
    }

    /// Whether the lease is valid now, give or take the skew of the clocks.
    ///
    /// # Errors
    /// [`LeaseError::Expired`], [`LeaseError::Time`].
    pub fn check_time(&self, now: Now) -> Result<(), LeaseError> {
        let skew = millis(CLOCK_SKEW);
        let lives = self.expires.checked_sub(self.issued).ok_or(LeaseError::Time)?;
        if lives > millis(MAX_LIFETIME) || self.issued > now.0.saturating_add(skew) {
            return Err(LeaseError::Time);
        }
        if self.expires.saturating_add(skew) <= now.0 { Err(LeaseError::Expired) } else { Ok(()) }
    }

    /// Whether the lease is for this service, connector and tool.
    ///
    /// # Errors
    /// [`LeaseError::Audience`], [`LeaseError::Connector`], [`LeaseError::Tool`].
    pub fn check_use(&self, audience: &Audience, connector: &ConnectorId, tool: &str) -> Result<(), LeaseError> {
        if self.audience != *audience {
            return Err(LeaseError::Audience);
        }
        if self.connector != *connector {
            return Err(LeaseError::Connector);
        }
        if self.tool == tool { Ok(()) } else { Err(LeaseError::Tool) }
    }

    /// Until when a redeemed lease must be remembered: after that its time alone refuses it.
    #[must_use]
    pub fn forgotten_at(&self) -> u64 {
        self.expires.saturating_add(millis(CLOCK_SKEW))
    }
}
