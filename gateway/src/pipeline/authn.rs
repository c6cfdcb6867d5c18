//! Request → who calls, or 401. Nothing about what they may.

use crate::error::Failure;
use crate::snapshot::Identity;
use crate::state::State as Gateway;
use aperium_core::caller::{Caller, Principal};
use aperium_platform::bearer;
use http::{HeaderMap, header};
use std::sync::{Arc, LazyLock};

pub(crate) mod static_tokens;
pub(crate) mod token_review;

/// The longest token that is looked at: ServiceAccount tokens hold about 1 KiB.
const MAX_TOKEN: usize = 16 * 1024;

static LOOPBACK: LazyLock<Arc<Identity>> = LazyLock::new(|| Identity::new(Caller::new(Principal::Loopback)));

/// Who calls.
///
/// # Errors
/// [`Failure::Unauthenticated`], [`Failure::AuthenticationDown`].
pub(crate) async fn identify(gateway: &Gateway, headers: &HeaderMap) -> Result<Arc<Identity>, Failure> {
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
    if let Some(identity) = access.clients.identify(token) {
        return Ok(identity);
    }
    match &gateway.reviewer {
        Some(reviewer) if access.service_accounts.enabled => {
            let settings = access.service_accounts.clone();
            drop(access);
            reviewer.identify(token, &settings).await?.ok_or(refused)
        }
        _ => Err(refused),
    }
}
