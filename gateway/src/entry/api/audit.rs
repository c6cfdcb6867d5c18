//! `GET /api/audit`: what is on record, for admins and auditors, newest first.

use super::{Answer, Asker, Error, Query, ok};
use crate::database;
use crate::error::Failure;
use crate::snapshot::View;
use crate::state::State;
use aperium_core::grant::Role;
use aperium_core::id::TenantId;
use aperium_store::audit::{Decision, Filter, Line, Page, Place};
use aperium_store::{Store, StoreError};
use axum::extract::State as Given;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Records of a page, unless the caller wants fewer or more.
const LIMIT: usize = 100;
/// Records of a page at most.
const MAX_LIMIT: usize = 1000;

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Which records.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Not before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
    /// The tenant. Without it an admin, and an auditor who has no tenant, see all; an auditor with a tenant sees that one.
    tenant: Option<String>,
    /// The connector's id.
    connector: Option<String>,
    /// On whose behalf: as `principal` is written in a record, or the e-mail in it.
    user: Option<String>,
    /// `allowed`, `denied` or `unauthenticated`.
    decision: Option<Decided>,
    /// The `next` of the page before.
    cursor: Option<String>,
    /// Records at most, 1 to 1000. Default 100.
    limit: Option<usize>,
}

/// What was decided.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Decided {
    Allowed,
    Denied,
    Unauthenticated,
}

/// Records, newest first.
#[derive(Debug, Serialize, ToSchema)]
struct Records {
    /// As they are stored; what each field means is in docs/audit.md.
    #[schema(value_type = Vec<serde_json::Value>)]
    records: Vec<Line>,
    /// The cursor of the next page; null after the last. With filters a page may hold few records, or none, and yet not be
    /// the last.
    next: Option<String>,
}

#[utoipa::path(
    get, path = "/api/audit", operation_id = "listAudit", tag = "audit", summary = "What is on record (admins and auditors)",
    params(Wanted),
    responses((status = 200, body = Records), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn list(Given(gateway): Given<Arc<State>>, asker: Asker, Query(wanted): Query<Wanted>) -> Answer {
    let tenant = whose(&asker.view, wanted.tenant.as_deref())?;
    let limit = wanted.limit.unwrap_or(LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Failure::Invalid(format!("`limit` must be 1 to {MAX_LIMIT}")).into());
    }
    let refused = || Failure::Invalid("`cursor` must be the `next` of the page before".to_owned());
    let after = wanted.cursor.as_deref().map(|cursor| place(cursor).ok_or_else(refused)).transpose()?;
    let Some(database) = gateway.database.as_ref().filter(|_| gateway.audit.is_on()) else {
        return Err(Failure::Conflict("there is no audit log: it needs the platform database".to_owned()).into());
    };
    let filter = Filter {
        from_ms: wanted.from.map(Timestamp::as_millisecond),
        to_ms: wanted.to.map(Timestamp::as_millisecond),
        connector: wanted.connector,
        principal: wanted.user,
        decision: wanted.decision.map(|decided| match decided {
            Decided::Allowed => Decision::Allowed,
            Decided::Denied => Decision::Denied,
            Decided::Unauthenticated => Decision::Unauthenticated,
        }),
    };
    let page = page(database.store(), tenant.as_ref(), &filter, after, limit).await;
    let page = page.map_err(|error| database::failure(&error))?;
    ok(&Records { records: page.lines, next: page.next.as_ref().map(cursor) })
}

/// Whose records the caller may read, of those that it asks for; `None`: all.
fn whose(view: &View, wanted: Option<&str>) -> Result<Option<TenantId>, Failure> {
    let parsed = wanted.map(TenantId::parse).transpose();
    let wanted = parsed.map_err(|error| Failure::Invalid(error.to_string()))?;
    match (view.role(), &view.identity().caller.tenant) {
        (Role::Admin, _) | (Role::Auditor, None) => Ok(wanted),
        (Role::Auditor, Some(own)) if wanted.as_ref().is_none_or(|wanted| wanted == own) => Ok(Some(own.clone())),
        (Role::Auditor, Some(_)) => {
            Err(Failure::Forbidden("access denied: an auditor of a tenant reads its records alone".to_owned()))
        }
        (Role::User, _) => Err(Failure::Forbidden("access denied: this needs the role auditor or admin".to_owned())),
    }
}

async fn page(
    store: &Store,
    tenant: Option<&TenantId>,
    filter: &Filter,
    after: Option<Place>,
    limit: usize,
) -> Result<Page, StoreError> {
    match tenant {
        Some(tenant) => store.tenant(tenant).audit_records(filter, after, limit).await,
        None => store.every_tenant().audit_records(filter, after, limit).await,
    }
}

/// Nothing in it is secret: whoever has it has read the record that it names.
fn cursor(place: &Place) -> String {
    let Place { time_ms, tenant, replica, seq } = place;
    URL_SAFE_NO_PAD.encode(format!("{time_ms} {seq} {tenant} {replica}"))
}

fn place(cursor: &str) -> Option<Place> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
    let mut parts = text.splitn(4, ' ');
    let mut next = || parts.next();
    let (time_ms, seq) = (next()?.parse().ok()?, next()?.parse().ok()?);
    // PostgreSQL takes no text with this character.
    let (tenant, replica) = (next()?.to_owned(), next()?.to_owned());
    (!text.contains('\0')).then_some(Place { time_ms, tenant, replica, seq })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_the_place_that_it_names() {
        for tenant in ["", "acme"] {
            let there = Place { time_ms: -1, tenant: tenant.into(), replica: "gw-1-ab".into(), seq: i64::MIN };
            assert_eq!(place(&cursor(&there)), Some(there));
        }
        for bad in ["", "x", "%", &URL_SAFE_NO_PAD.encode("1 2 acme"), &URL_SAFE_NO_PAD.encode("1 2 a\0 b")] {
            assert_eq!(place(bad), None, "{bad}");
        }
    }
}
