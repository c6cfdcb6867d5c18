//! A caller → a session and its cookie; a request with the cookie → the caller, as the settings are now.

use super::cookie::Cookie;
use super::{SignInError, csrf};
use crate::access::Access;
use crate::entry::consent::PAGES;
use crate::error::Failure;
use crate::snapshot::Identity;
use crate::state::State;
use aperium_core::caller::{Caller, Principal};
use aperium_core::id::TenantId;
use aperium_platform::oauth;
use aperium_store::{Lives, NewSession, Store};
use http::{HeaderMap, HeaderValue, Method};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where a cookie counts at all. The data path is for tokens: no web page uses it with what a browser adds by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Api,
    Page,
}

impl Place {
    fn of(path: &str) -> Option<Self> {
        match path {
            "/" | "/logout" => Some(Self::Page),
            _ if path.starts_with("/api/") => Some(Self::Api),
            _ if path.starts_with(PAGES) => Some(Self::Page),
            _ => None,
        }
    }
}

/// A browser that has signed in, as one request shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visit {
    /// What its session is found by.
    pub(crate) id: String,
    /// What its forms must bring.
    pub(crate) token: String,
}

/// What a session is for. Of a local user the settings say the rest, whenever it is used.
#[derive(Debug, Serialize, Deserialize)]
enum Kept {
    Oidc { issuer: String, subject: String, email: Option<String>, groups: Vec<String>, tenant: Option<TenantId> },
    Local { name: String, mark: String },
}

impl Kept {
    /// `mark`: of the password, for a local user.
    fn of(caller: &Caller, mark: Option<String>) -> Option<Self> {
        match (&caller.principal, mark) {
            (Principal::User { issuer, subject }, None) => Some(Self::Oidc {
                issuer: issuer.clone(),
                subject: subject.clone(),
                email: caller.email.clone(),
                groups: caller.groups.clone(),
                tenant: caller.tenant.clone(),
            }),
            (Principal::Local(name), Some(mark)) => Some(Self::Local { name: name.clone(), mark }),
            _ => None,
        }
    }

    /// The caller, where people still sign in so.
    fn caller(self, gateway: &State, access: &Access) -> Option<Caller> {
        match self {
            Self::Oidc { issuer, subject, email, groups, tenant } => {
                access.login.oidc.iter().find(|login| login.issuer == issuer)?;
                let mut caller = Caller::new(Principal::User { issuer, subject });
                (caller.email, caller.groups, caller.tenant) = (email, groups, tenant);
                Some(caller)
            }
            Self::Local { name, mark } => {
                let now = gateway.login.mark_of(&access.login, &name)?;
                if csrf::is(&now, &mark) { local(access, &name) } else { None }
            }
        }
    }
}

/// A local user as a caller.
pub(crate) fn local(access: &Access, name: &str) -> Option<Caller> {
    let user = access.login.local.iter().find(|user| user.name == name)?;
    let mut caller = Caller::new(Principal::Local(user.name.clone()));
    (caller.tenant, caller.groups) = (user.tenant.clone(), user.groups.clone());
    Some(caller)
}

/// A session for somebody who was just authenticated, under a new id. The one that the browser had before ends: whoever
/// knows or has set its cookie has nothing of the new one.
///
/// # Errors
/// [`SignInError`]
pub(crate) async fn begin(
    gateway: &State,
    access: &Access,
    caller: &Caller,
    mark: Option<String>,
    headers: &HeaderMap,
) -> Result<HeaderValue, SignInError> {
    let platform = store(gateway).ok_or(SignInError::NoStore)?.platform();
    let secret = oauth::random().map_err(|_| SignInError::Sealed)?;
    let (secret, secure) = (secret.expose_secret(), access.secure());
    let content = serde_json::to_vec(&Kept::of(caller, mark).ok_or(SignInError::Unknown)?);
    let content = content.map_err(|_| SignInError::Sealed)?;
    let (id, person) = (csrf::id(secret), caller.principal.to_string());
    if let Some(before) = Cookie::Session.read(headers, secure) {
        platform.end_session(&csrf::id(before)).await?;
    }
    let new = NewSession { id: &id, person: &person, content: &content };
    platform.begin_session(&new, lives(access)).await?;
    Cookie::Session.set(secret, secure, None).ok_or(SignInError::Sealed)
}

/// Who a request's cookie is of; `None`: of nobody.
///
/// # Errors
/// [`Failure::Origin`] and [`Failure::Forbidden`] where the request was not meant by the person,
/// [`Failure::AuthenticationDown`] while sessions cannot be looked up.
pub(crate) async fn visit(
    gateway: &State,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Result<Option<(Arc<Identity>, Arc<Visit>)>, Failure> {
    let Some(place) = Place::of(path) else { return Ok(None) };
    let access = gateway.access.load_full();
    let secure = access.secure();
    let Some(secret) = Cookie::Session.read(headers, secure) else { return Ok(None) };
    let Some(store) = store(gateway) else { return Ok(None) };
    csrf::from_here(method, headers, secure, place == Place::Page)?;
    let visit = Visit { id: csrf::id(secret), token: csrf::token(secret) };
    let found = store.platform().session(&visit.id, lives(&access)).await;
    let found = found.map_err(|error| Failure::AuthenticationDown(format!("sessions: {}", error.reason())))?;
    let kept: Option<Kept> = found.and_then(|session| serde_json::from_slice(&session.content).ok());
    let Some(caller) = kept.and_then(|kept| kept.caller(gateway, &access)) else { return Ok(None) };
    // A page brings its token in the form, which only its handler reads.
    if place == Place::Api && !csrf::is_safe(method) {
        let token = headers.get(csrf::HEADER).and_then(|token| token.to_str().ok()).unwrap_or_default();
        if !csrf::is(&visit.token, token) {
            return Err(Failure::Forbidden(format!(
                "access denied: send the token of this session as {}",
                csrf::HEADER
            )));
        }
    }
    Ok(Some((Identity::new(caller), Arc::new(visit))))
}

/// Ends it, on every replica.
///
/// # Errors
/// [`SignInError`]
pub(crate) async fn end(gateway: &State, visit: &Visit) -> Result<(), SignInError> {
    store(gateway).ok_or(SignInError::NoStore)?.platform().end_session(&visit.id).await?;
    Ok(())
}

pub(super) fn store(gateway: &State) -> Option<&Store> {
    gateway.database.as_ref().map(|database| database.store())
}

fn lives(access: &Access) -> Lives {
    let ms = |minutes: u32| i64::from(minutes) * 60_000;
    Lives { idle_ms: ms(access.login.idle_minutes), absolute_ms: ms(access.login.absolute_minutes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_counts_for_pages_and_the_api_alone() {
        for path in ["/", "/logout", "/aperture/auth/github/connect"] {
            assert_eq!(Place::of(path), Some(Place::Page), "{path}");
        }
        assert_eq!(Place::of("/api/whoami"), Some(Place::Api));
        for path in ["/v1/mcp", "/v1/mcp/github", "/v1/connectors/github", "/metrics", "/api", "/login", "/aperture"] {
            assert_eq!(Place::of(path), None, "{path}");
        }
    }
}
