//! Request → who calls, or 401. Nothing about what they may.

use crate::error::Failure;
use crate::snapshot::Identity;
use crate::state::State as Gateway;
use crate::trail;
use aperium_core::caller::{Caller, Principal};
use aperium_platform::bearer;
use aperium_platform::digest::sha256;
use http::{HeaderMap, header};
use std::sync::{Arc, LazyLock};

pub(crate) mod challenge;
pub(crate) mod delegate;
pub(crate) mod oidc;
pub(crate) mod static_tokens;
pub(crate) mod token_review;

/// The longest token that is looked at: ServiceAccount tokens hold about 1 KiB.
const MAX_TOKEN: usize = 16 * 1024;

static LOOPBACK: LazyLock<Arc<Identity>> = LazyLock::new(|| Identity::new(Caller::new(Principal::Loopback)));

/// Who calls.
///
/// # Errors
/// [`Failure::Unauthenticated`], [`Failure::AuthenticationDown`], [`Failure::InsufficientScope`], and what
/// [`delegate::Delegates::acting`] says.
pub(crate) async fn identify(gateway: &Gateway, headers: &HeaderMap) -> Result<Arc<Identity>, Failure> {
    let identity = authenticate(gateway, headers).await?;
    // Whoever may not act for others is known all the same.
    let acting = gateway.access.load().delegates.acting(Arc::clone(&identity), headers);
    acting.inspect_err(|_| trail::called_by(&identity))
}

async fn authenticate(gateway: &Gateway, headers: &HeaderMap) -> Result<Arc<Identity>, Failure> {
    let access = gateway.access.load();
    if !headers.contains_key(header::AUTHORIZATION) {
        return if access.loopback() {
            Ok(Arc::clone(&LOOPBACK))
        } else {
            Err(Failure::Unauthenticated { presented: false })
        };
    }
    let refused = Failure::Unauthenticated { presented: true };
    let token = bearer::presented(headers).filter(|token| token.len() <= MAX_TOKEN).ok_or(refused.clone())?;
    let digest = sha256(token.as_bytes());
    if let Some(identity) = access.clients.identify(&digest).or_else(|| access.oidc.remembered(&digest)) {
        return Ok(identity);
    }
    let (oidc, settings) = (Arc::clone(&access.oidc), access.service_accounts.clone());
    // Out of the guard before anything is awaited.
    drop(access);
    // On the heap: a token is met for the first time once in its life.
    Box::pin(async {
        if let Some(identity) = oidc.identify(token, digest).await? {
            return Ok(identity);
        }
        match &gateway.reviewer {
            Some(reviewer) if settings.enabled => reviewer.identify(token, digest, &settings).await?.ok_or(refused),
            _ => Err(refused),
        }
    })
    .await
}
