//! `GET/PUT/DELETE /api/tenants/<tenant>/connectors/<id>/credentials`: what a tenant's credentials for a connector are,
//! for admins; `POST …/test` has them tried before they are saved. Values go in and never come out.

use super::connectors::key_of;
use super::{Admin, Answer, Body, Error, no_content, ok};
use crate::broker::mint::Who;
use crate::broker::trial::TrialError;
use crate::database;
use crate::error::Failure;
use crate::registry::modules::{self, Field};
use crate::snapshot::Snapshot;
use crate::state::State;
use aperium_core::id::{ConnectorId, TenantId};
use aperium_crds::connector::CredentialSource;
use aperium_platform::trial::{Outcome, Step, Trial, Tried};
use aperium_store::credentials::{About, PutError, State as Standing};
use aperium_store::{Store, now_ms};
use axum::extract::{Path, State as Given};
use http::HeaderMap;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(show, save, revoke)).routes(routes!(test))
}

/// The credentials of a tenant for a connector, without their values.
#[derive(Debug, Serialize, ToSchema)]
struct Shown {
    tenant: String,
    connector: String,
    /// What the connector asks for; empty if it is not a built-in one.
    fields: Vec<ShownField>,
    /// What is stored; nothing was ever saved without it.
    credential: Option<ShownCredential>,
}

/// One field, without its value.
#[derive(Debug, Serialize, ToSchema)]
struct ShownField {
    name: &'static str,
    title: &'static str,
    help: &'static str,
    /// Whether the service is not ready without it.
    required: bool,
    /// Whether forms hide what is typed.
    secret: bool,
}

/// What is stored.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ShownCredential {
    /// Grows with each change.
    version: i64,
    /// `active`, `expired` or `revoked`.
    state: &'static str,
    /// Names of the fields that have a value.
    set: Vec<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    saved_at: Option<Timestamp>,
    /// The admin who saved it.
    saved_by: String,
    /// From when on it is not given to the connector any more.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// When the connector got it last, to within a minute.
    #[schema(value_type = Option<String>, format = DateTime)]
    used_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
    /// Whether the last probe of this version could use it; nothing while none has been made.
    works: Option<bool>,
    /// Why it could not, in `PascalCase`.
    problem: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    checked_at: Option<Timestamp>,
}

/// What became of a trial.
#[derive(Debug, Serialize, ToSchema)]
struct Tested {
    /// Whether the credentials can be used.
    works: bool,
    /// The steps on the way to the upstream, in their order. Behind one that failed none was reached.
    steps: Vec<TestedStep>,
}

/// One step.
#[derive(Debug, Serialize, ToSchema)]
struct TestedStep {
    /// `fields`, `dns`, `policy`, `tcp`, `tls`, `auth` or `tools`.
    #[schema(value_type = String)]
    step: Step,
    /// `ok`, `failed` or `skipped`.
    #[schema(value_type = String)]
    outcome: Outcome,
    /// For people.
    message: String,
}

impl Tested {
    fn of(trial: Trial) -> Self {
        let works = trial.works();
        let steps = trial.steps.into_iter();
        Self {
            works,
            steps: steps.map(|Tried { step, outcome, message }| TestedStep { step, outcome, message }).collect(),
        }
    }
}

/// All fields of the new version; what is left out is not kept from the one before.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// Values by field. They are never shown again.
    #[schema(value_type = BTreeMap<String, String>, write_only)]
    fields: BTreeMap<String, SecretString>,
    /// From when on the credential is not to be used any more.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// Tenant and connector of the path, checked.
struct Place<'a> {
    store: &'a Store,
    tenant: TenantId,
    connector: ConnectorId,
    /// What the connector asks for; none if it is not a built-in one.
    fields: Option<&'static [Field]>,
}

#[utoipa::path(
    get, path = "/api/tenants/{tenant}/connectors/{id}/credentials", operation_id = "getCredentials", tag = "credentials", summary = "What is known of a tenant's credentials for a connector, without values (admins)",
    params(("tenant" = String, Path, description = "The tenant"), ("id" = String, Path, description = "The connector's id")),
    responses((status = 200, body = Shown), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn show(Given(gateway): Given<Arc<State>>, Admin(asker): Admin, Path(path): Path<(String, String)>) -> Answer {
    let place = place(&gateway, &asker.snapshot, &path)?;
    shown(&place).await
}

#[utoipa::path(
    put, path = "/api/tenants/{tenant}/connectors/{id}/credentials", operation_id = "putCredentials", tag = "credentials", summary = "Saves a tenant's credentials for a connector as a new version (admins)",
    params(("tenant" = String, Path, description = "The tenant"), ("id" = String, Path, description = "The connector's id")),
    request_body = Wanted,
    responses((status = 200, body = Shown, description = "Saved"), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn save(
    Given(gateway): Given<Arc<State>>,
    Admin(asker): Admin,
    Path(path): Path<(String, String)>,
    Body(wanted): Body<Wanted>,
) -> Answer {
    let place = place(&gateway, &asker.snapshot, &path)?;
    check(&place, &wanted)?;
    let by = asker.view.identity().caller.principal.to_string();
    let expires = wanted.expires_at.map(Timestamp::as_millisecond);
    let tenant = place.store.tenant(&place.tenant);
    match tenant.put_credential(&place.connector, &wanted.fields, expires, &by).await {
        Ok(version) => {
            tracing::info!(tenant = %place.tenant, connector = %place.connector, version, by, "credentials saved");
            shown(&place).await
        }
        Err(PutError::Store(error)) => Err(database::failure(&error).into()),
        Err(error) => Err(Failure::Invalid(error.to_string()).into()),
    }
}

#[utoipa::path(
    post, path = "/api/tenants/{tenant}/connectors/{id}/credentials/test", operation_id = "testCredentials", tag = "credentials", summary = "Has credentials tried step by step, without saving them (admins)",
    params(("tenant" = String, Path, description = "The tenant"), ("id" = String, Path, description = "The connector's id")),
    request_body = Wanted,
    responses((status = 200, body = Tested, description = "Tried, whether they work or not"), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn test(
    Given(gateway): Given<Arc<State>>,
    Admin(asker): Admin,
    Path(path): Path<(String, String)>,
    headers: HeaderMap,
    Body(wanted): Body<Wanted>,
) -> Answer {
    let place = place(&gateway, &asker.snapshot, &path)?;
    check(&place, &wanted)?;
    let served = asker.snapshot.position(&place.connector).and_then(|position| asker.snapshot.at(position));
    let entry = served.ok_or_else(|| {
        Failure::Conflict(format!("\"{}\" is configured and not served: see its status", place.connector))
    })?;
    let request_id = headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let who = Who::of(&asker.view.identity().caller, place.tenant.clone(), request_id);
    let trial = gateway.broker.try_out(entry, who, &wanted.fields).await.map_err(untried)?;
    tracing::info!(request_id, tenant = %place.tenant, connector = %place.connector, works = trial.works(), "credentials tried");
    ok(&Tested::of(trial))
}

#[utoipa::path(
    delete, path = "/api/tenants/{tenant}/connectors/{id}/credentials", operation_id = "deleteCredentials", tag = "credentials", summary = "Revokes a tenant's credentials for a connector: their values are gone (admins)",
    params(("tenant" = String, Path, description = "The tenant"), ("id" = String, Path, description = "The connector's id")),
    responses((status = 204, description = "Revoked"), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn revoke(Given(gateway): Given<Arc<State>>, Admin(asker): Admin, Path(path): Path<(String, String)>) -> Answer {
    let place = place(&gateway, &asker.snapshot, &path)?;
    let revoked = place.store.tenant(&place.tenant).revoke_credential(&place.connector).await;
    if !revoked.map_err(|error| database::failure(&error))? {
        return Err(Failure::NotFound.into());
    }
    tracing::info!(tenant = %place.tenant, connector = %place.connector, by = %asker.view.identity().caller.principal, "credentials revoked");
    Ok(no_content())
}

fn untried(error: TrialError) -> Failure {
    match error {
        TrialError::Busy => Failure::TooMany(error.to_string()),
        TrialError::NoPod => Failure::Unavailable {
            outside: "no pod of the service answers: look at the connector's status",
            inside: error.to_string(),
        },
        TrialError::Seal(reason) => Failure::Unavailable {
            outside: "the values could not be sealed: try again later",
            inside: reason.to_owned(),
        },
    }
}

fn place<'a>(gateway: &'a State, snapshot: &Snapshot, path: &(String, String)) -> Result<Place<'a>, Failure> {
    let tenant = TenantId::parse(&path.0).map_err(|error| Failure::Invalid(error.to_string()))?;
    let connector = ConnectorId::parse(&path.1).map_err(|_| Failure::NotFound)?;
    let key = key_of(snapshot, &connector, None).ok_or(Failure::NotFound)?;
    let resource = snapshot.catalog.connector(&key).ok_or(Failure::NotFound)?;
    let service = resource.spec.service.as_ref();
    let service =
        service.filter(|service| service.credentials.source == CredentialSource::Platform).ok_or_else(|| {
            Failure::Conflict(format!(
                "\"{connector}\" takes no stored credentials: its own are named in its Connector"
            ))
        })?;
    let only = service.tenant.as_ref().is_none_or(|only| only == tenant.as_str());
    if !only {
        return Err(Failure::Conflict(format!("\"{connector}\" serves one tenant, which is another")));
    }
    let database = gateway.database.as_ref().ok_or_else(database::missing)?;
    Ok(Place { store: database.store(), tenant, connector, fields: modules::fields(&service.module) })
}

/// What the connector asks for must be there, and nothing else.
fn check(place: &Place<'_>, wanted: &Wanted) -> Result<(), Failure> {
    if wanted.expires_at.is_some_and(|at| at.as_millisecond() <= now_ms()) {
        return Err(Failure::Invalid("expires_at is in the past".to_owned()));
    }
    let Some(fields) = place.fields else { return Ok(()) };
    let missing = fields.iter().find(|field| field.required && !wanted.fields.contains_key(&field.name));
    if let Some(field) = missing {
        return Err(Failure::Invalid(format!("the field \"{}\" is missing", field.name)));
    }
    if wanted.fields.keys().any(|name| !fields.iter().any(|field| field.name == *name)) {
        let known: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        return Err(Failure::Invalid(format!(
            "there is a field that the connector does not know; it knows {}",
            known.join(", ")
        )));
    }
    Ok(())
}

async fn shown(place: &Place<'_>) -> Answer {
    let about = place.store.tenant(&place.tenant).credential(&place.connector).await;
    let about = about.map_err(|error| database::failure(&error))?;
    ok(&Shown {
        tenant: place.tenant.to_string(),
        connector: place.connector.to_string(),
        fields: place.fields.unwrap_or_default().iter().map(ShownField::of).collect(),
        credential: about.map(ShownCredential::of),
    })
}

impl ShownField {
    fn of(field: &'static Field) -> Self {
        let Field { name, title, help, required, secret } = field;
        Self { name, title, help, required: *required, secret: *secret }
    }
}

impl ShownCredential {
    pub(super) fn of(about: About) -> Self {
        let at = |ms: i64| Timestamp::from_millisecond(ms).ok();
        let state = match about.state(now_ms()) {
            Standing::Active => "active",
            Standing::Expired => "expired",
            Standing::Revoked => "revoked",
        };
        Self {
            version: about.version,
            state,
            set: about.fields,
            saved_at: at(about.saved_ms),
            saved_by: about.saved_by,
            expires_at: about.expires_ms.and_then(at),
            used_at: about.used_ms.and_then(at),
            revoked_at: about.revoked_ms.and_then(at),
            works: about.checked.as_ref().map(|checked| checked.reason.is_none()),
            checked_at: about.checked.as_ref().and_then(|checked| at(checked.at_ms)),
            problem: about.checked.and_then(|checked| checked.reason),
        }
    }
}
