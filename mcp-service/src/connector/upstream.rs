//! What a handler may use: the credentials of one tenant, the settings, the guarded clients, and nothing else.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aperium_core::id::RequestId;
use aperium_platform::egress::{ExternalClient, GuardedDialer};
use aperium_platform::trial::Step;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OnceCell;

use super::error::ToolError;

/// The fields of one set of credentials, by name. Zeroized when dropped; never printed.
#[derive(Clone, Default)]
pub struct Fields(BTreeMap<String, SecretString>);

impl Fields {
    /// One field; an empty value counts as missing.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&SecretString> {
        self.0.get(name)
    }

    /// Whether two sets hold the same values (for noticing a change, not for authentication).
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).all(|((name, value), (other_name, other_value))| {
                name == other_name && value.expose_secret() == other_value.expose_secret()
            })
    }
}

impl FromIterator<(String, SecretString)> for Fields {
    fn from_iter<I: IntoIterator<Item = (String, SecretString)>>(fields: I) -> Self {
        Self(fields.into_iter().filter(|(_, value)| !value.expose_secret().is_empty()).collect())
    }
}

impl std::fmt::Debug for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Names only: a value must never reach a log.
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Everything that an [`Upstream`] is made of.
pub struct UpstreamParts {
    /// The credentials.
    pub fields: Fields,
    /// What `Info::settings` parsed.
    pub settings: Arc<dyn Any + Send + Sync>,
    /// HTTP to the hosts that an admin configured.
    pub http: ExternalClient,
    /// Plain connections to such hosts.
    pub dialer: GuardedDialer,
    /// Whether the service runs inside `aperium up` on somebody's own machine.
    pub local: bool,
}

struct Bound {
    parts: UpstreamParts,
    session: OnceCell<Arc<dyn Any + Send + Sync>>,
}

/// The upstream of one call: bound to one set of credentials. Cheap to clone.
#[derive(Clone)]
pub struct Upstream {
    bound: Arc<Bound>,
    request: RequestId,
    deadline: Instant,
}

impl Upstream {
    /// Binds credentials, settings and clients together. A change of any of them means a new `Upstream`.
    #[must_use]
    pub fn new(parts: UpstreamParts, request: RequestId, deadline: Instant) -> Self {
        Self { bound: Arc::new(Bound { parts, session: OnceCell::new() }), request, deadline }
    }

    /// The same upstream for another call.
    #[must_use]
    pub fn for_call(&self, request: RequestId, deadline: Instant) -> Self {
        Self { bound: Arc::clone(&self.bound), request, deadline }
    }

    /// A credential that the tool cannot do without.
    ///
    /// # Errors
    /// `auth_failed` that names the missing field.
    pub fn secret(&self, field: &str) -> Result<&SecretString, ToolError> {
        self.optional_secret(field).ok_or_else(|| {
            ToolError::auth_failed(format!("the credential field {field:?} is missing")).at(Step::Fields)
        })
    }

    /// A credential that may be absent.
    #[must_use]
    pub fn optional_secret(&self, field: &str) -> Option<&SecretString> {
        self.bound.parts.fields.get(field)
    }

    /// A field that is no secret, such as a host; surrounding white space is removed.
    ///
    /// # Errors
    /// `auth_failed` that names the missing field.
    pub fn text(&self, field: &str) -> Result<&str, ToolError> {
        self.secret(field).map(|value| value.expose_secret().trim())
    }

    /// A field that is no secret and may be absent.
    #[must_use]
    pub fn optional_text(&self, field: &str) -> Option<&str> {
        self.optional_secret(field).map(|value| value.expose_secret().trim()).filter(|value| !value.is_empty())
    }

    /// The settings of this connector.
    ///
    /// # Errors
    /// When `T` is not the type named in `Info::settings`.
    pub fn settings<T: Send + Sync + 'static>(&self) -> Result<&T, ToolError> {
        self.bound
            .parts
            .settings
            .downcast_ref::<T>()
            .ok_or_else(|| ToolError::upstream("the settings of this connector have another type"))
    }

    /// What a connector keeps for as long as these credentials hold: a connection pool, an access token. Made by the
    /// first call that needs it, shared by all, dropped with the credentials. One type per connector.
    ///
    /// # Errors
    /// What `make` says; the next call tries again.
    pub async fn session<T, F>(&self, make: impl FnOnce() -> F + Send) -> Result<Arc<T>, ToolError>
    where
        T: Send + Sync + 'static,
        F: Future<Output = Result<T, ToolError>> + Send,
    {
        let made = self
            .bound
            .session
            .get_or_try_init(|| async { make().await.map(|t| Arc::new(t) as Arc<dyn Any + Send + Sync>) })
            .await?;
        Arc::clone(made)
            .downcast::<T>()
            .map_err(|_| ToolError::upstream("the session of this connector has another type"))
    }

    /// HTTP to hosts that an admin configured. Prefer [`Upstream::send`], which caps and maps.
    #[must_use]
    pub fn http(&self) -> &ExternalClient {
        &self.bound.parts.http
    }

    /// Plain connections to hosts that an admin configured, for protocols other than HTTP.
    #[must_use]
    pub fn dialer(&self) -> &GuardedDialer {
        &self.bound.parts.dialer
    }

    /// Whether the service runs inside `aperium up`: only then may a connector touch local files.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.bound.parts.local
    }

    /// The id of this call, for logs and for the upstream.
    #[must_use]
    pub fn request_id(&self) -> &RequestId {
        &self.request
    }

    /// How much time this call still has. The service enforces it; a connector may hand it on to the upstream.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream")
            .field("fields", &self.bound.parts.fields)
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}
