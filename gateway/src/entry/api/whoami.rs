//! `GET /api/whoami`: who the gateway takes the caller for, and what that gives.

use super::{Answer, Asker, Error, ok};
use crate::state::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(whoami))
}

/// Who the caller is.
#[derive(Debug, Serialize, ToSchema)]
struct Whoami<'a> {
    /// The principal: spelled as a subject of a Grant, or `oidc:<issuer>#<subject>`.
    principal: String,
    /// The e-mail that the issuer has verified.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    /// The delegate that asks on the caller's behalf.
    #[serde(skip_serializing_if = "Option::is_none")]
    delegate: Option<String>,
    /// The tenant, where the caller has one.
    tenant: Option<&'a str>,
    /// The groups that the authentication names.
    groups: &'a [String],
    /// The tags that the settings give.
    tags: &'a [String],
    /// The highest role that the grants give.
    role: &'static str,
    /// Whether the caller may use dynamic registration.
    register: bool,
    /// The grants that match the caller.
    grants: Vec<Granted<'a>>,
}

/// One Grant that matches the caller.
#[derive(Debug, Serialize, ToSchema)]
struct Granted<'a> {
    /// `<namespace>/<name>`.
    name: &'a str,
    /// The role that it gives.
    role: &'static str,
    /// What it opens.
    connectors: Vec<&'a str>,
}

#[utoipa::path(
    get, path = "/api/whoami", operation_id = "whoami", tag = "callers", summary = "Who the gateway takes the caller for",
    responses((status = 200, body = Whoami<'_>), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn whoami(asker: Asker) -> Answer {
    let caller = &asker.view.identity().caller;
    let grants = asker.view.rules().map(|rule| Granted {
        name: &rule.name,
        role: rule.role.as_str(),
        connectors: rule.patterns.iter().map(|pattern| pattern.as_str()).collect(),
    });
    ok(&Whoami {
        principal: caller.principal.to_string(),
        email: caller.email.as_deref(),
        delegate: caller.delegate.as_ref().map(|delegate| delegate.principal.to_string()),
        tenant: caller.tenant.as_ref().map(|tenant| tenant.as_str()),
        groups: &caller.groups,
        tags: &caller.tags,
        role: asker.view.role().as_str(),
        register: asker.view.may_register(),
        grants: grants.collect(),
    })
}
