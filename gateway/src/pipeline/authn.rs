//! Request → who calls, or 401. Nothing about what they may.

use crate::error::Failure;
use crate::snapshot::Identity;
use crate::state::State as Gateway;
use crate::trail;
use aperium_core::caller::{Caller, Principal};
use aperium_platform::bearer;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, header};
use std::sync::{Arc, LazyLock};

pub(crate) mod static_tokens;
pub(crate) mod token_review;

/// The longest token that is looked at: ServiceAccount tokens hold about 1 KiB.
const MAX_TOKEN: usize = 16 * 1024;

static LOOPBACK: LazyLock<Arc<Identity>> = LazyLock::new(|| Identity::new(Caller::new(Principal::Loopback)));

/// Middleware: puts the caller's [`Identity`] into the request's extensions.
pub(crate) async fn authenticate(State(gateway): State<Arc<Gateway>>, mut request: Request, next: Next) -> Response {
    match identify(&gateway, request.headers()).await {
        Ok(identity) => {
            trail::called_by(&identity);
            request.extensions_mut().insert(identity);
            // It has done its work; nothing behind this line can pass it on.
            request.headers_mut().remove(header::AUTHORIZATION);
            next.run(request).await
        }
        Err(failure) => gateway.refuse(&failure),
    }
}

/// Who calls.
///
/// # Errors
/// [`Failure::Unauthenticated`], [`Failure::AuthenticationDown`].
async fn identify(gateway: &Gateway, headers: &HeaderMap) -> Result<Arc<Identity>, Failure> {
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
