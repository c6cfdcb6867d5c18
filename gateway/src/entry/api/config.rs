//! `GET` and `PUT /api/config`, `POST /aperture/config:validate`: all configuration as one document in the seeds' shape.
//!
//! Shown for every source, always without secrets. Saved where the document itself is the source; everywhere else the
//! resources are, and they are changed one by one.

use super::{Admin, ApiFailure, Body, Error, change, ok};
use crate::catalog::Catalog;
use crate::document::{DocumentError, Finding, Reading, Severity, Source, export, store};
use crate::error::{Failure, json};
use crate::snapshot::{Snapshot, View};
use crate::state::State as Gateway;
use crate::writer::Writer;
use aperium_core::caller::Principal;
use aperium_core::grant::{CallerGrants, Role};
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<Gateway>> {
    OpenApiRouter::new().routes(routes!(show, save)).routes(routes!(validate))
}

/// The configuration as a document.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Document)]
struct Shown {
    /// The text (HuJSON); every secret is `"***"`.
    config: String,
    /// What a change must name.
    hash: String,
}

/// A document to be saved.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewDocument)]
struct Wanted {
    /// The text (JSON or HuJSON); a `"***"` that came with it keeps the value of before.
    config: String,
    /// The hash that came with the text which was changed.
    hash: String,
}

/// What was saved.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DocumentSaved)]
struct Saved {
    success: bool,
    /// What the next change must name.
    new_hash: String,
}

/// A document that is not saved.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DocumentRefused)]
struct NotSaved<'a> {
    success: bool,
    /// All findings in one line.
    error: &'a str,
    /// Each with severity, message, path and line.
    findings: &'a [Finding],
    request_id: &'a str,
}

/// A document to be looked at.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CheckedDocument)]
struct Looked {
    /// The text.
    config: String,
}

/// What is wrong with it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "PascalCase")]
#[schema(as = DocumentVerdict)]
struct Verdict {
    /// Whether it could be saved.
    valid: bool,
    /// Why not: warnings are errors here.
    errors: Vec<String>,
    /// The same and notes, each with severity, message, path and line.
    findings: Vec<Finding>,
}

#[utoipa::path(
    get, path = "/api/config", operation_id = "getConfig", tag = "configuration",
    summary = "All configuration as one document, without secrets (admins)",
    responses((status = 200, body = Shown), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn show(State(gateway): State<Arc<Gateway>>, Admin(asker): Admin) -> Result<Response, ApiFailure> {
    let (config, hash) = shown(&gateway, &asker.snapshot);
    ok(&Shown { config, hash })
}

fn shown(gateway: &Gateway, snapshot: &Snapshot) -> (String, String) {
    if let Writer::Document(document) = &gateway.writer {
        return document.shown();
    }
    let catalog = &snapshot.catalog;
    let export = export(Source {
        resources: &catalog.resources,
        secrets: None,
        system_namespace: gateway.access.load().namespace(),
        accept_registrations: catalog.settings.registration.accept,
    });
    let hash = hex::encode(Sha256::digest(&export.text));
    (export.text, hash)
}

#[utoipa::path(
    put, path = "/api/config", operation_id = "putConfig", tag = "configuration",
    summary = "Saves the document, where it is the source (admins)", request_body = Wanted,
    responses((status = 200, body = Saved), (status = 422, body = NotSaved<'_>), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn save(
    State(gateway): State<Arc<Gateway>>,
    Admin(asker): Admin,
    headers: HeaderMap,
    Body(wanted): Body<Wanted>,
) -> Result<Response, ApiFailure> {
    let Writer::Document(document) = &gateway.writer else {
        let (by, how) = match gateway.writer {
            Writer::Cluster(_) => ("Kubernetes resources", "kubectl, Helm or GitOps"),
            _ => ("a folder of resources", "its files"),
        };
        let message = format!(
            "managed by {by}: change Connectors and Grants with {how}, or with PUT /api/connectors/<id> and /api/grants/<name>"
        );
        return Err(Failure::Conflict(message).into());
    };
    let _one = gateway.changing.lock().await;
    change::still_admin(&gateway, &asker)?;
    let agree = |reading: &Reading| stays_admin(&asker.view, reading);
    match document.replace(&wanted.config, &wanted.hash, agree) {
        Ok(new_hash) => {
            served(&gateway, &document.current().reading).await;
            tracing::info!(by = %asker.view.identity().caller.principal, "configuration saved");
            ok(&Saved { success: true, new_hash })
        }
        Err(NotTaken::Failure(failure)) => Err(failure.into()),
        Err(NotTaken::Document(DocumentError::Refused(findings))) => {
            let error = DocumentError::Refused(findings.clone()).to_string();
            let request_id = headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
            let body = NotSaved { success: false, error: &error, findings: &findings, request_id };
            let body = serde_json::to_vec(&body).unwrap_or_default();
            Ok(json(StatusCode::UNPROCESSABLE_ENTITY, body))
        }
        Err(NotTaken::Document(stale @ DocumentError::Stale)) => Err(Failure::Stale(stale.to_string()).into()),
        Err(NotTaken::Document(file @ DocumentError::File { .. })) => {
            let outside = "the configuration file cannot be written: nothing was saved";
            Err(Failure::Unavailable { outside, inside: file.to_string() }.into())
        }
    }
}

/// Why a document was not taken.
enum NotTaken {
    Document(DocumentError),
    Failure(Failure),
}

impl From<DocumentError> for NotTaken {
    fn from(error: DocumentError) -> Self {
        Self::Document(error)
    }
}

/// Nobody locks themselves out.
fn stays_admin(view: &View, reading: &Reading) -> Result<(), NotTaken> {
    let caller = &view.identity().caller;
    if caller.principal == Principal::Loopback {
        return Ok(());
    }
    let catalog = Catalog::build(&reading.folder.resources, Arc::default(), "");
    match CallerGrants::of(caller, catalog.grants.iter()) {
        Ok(grants) if grants.role() == Role::Admin => Ok(()),
        _ => {
            let message = format!(
                "this would take the role admin from {}, who is saving it: nothing was saved; keep a grant with role admin",
                caller.principal
            );
            Err(NotTaken::Failure(Failure::Invalid(message)))
        }
    }
}

/// Waits until what was saved is served, so that whoever saved it sees it; at most two seconds.
async fn served(gateway: &Gateway, reading: &Reading) {
    let wanted = &reading.folder.resources;
    for _ in 0..200 {
        let snapshot = gateway.snapshot.load_full();
        let now = &snapshot.catalog.resources;
        let same = |(a, b): (&Arc<_>, &Arc<_>)| Arc::ptr_eq(a, b);
        if now.connectors.len() == wanted.connectors.len()
            && now.grants.len() == wanted.grants.len()
            && now.connectors.iter().zip(&wanted.connectors).all(same)
            && now.grants.iter().zip(&wanted.grants).all(|(a, b)| Arc::ptr_eq(a, b))
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[utoipa::path(
    post, path = "/aperture/config:validate", operation_id = "validateConfig", tag = "configuration",
    summary = "What would stand against saving a document (admins)", request_body = Looked,
    responses((status = 200, body = Verdict), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn validate(
    State(gateway): State<Arc<Gateway>>,
    Admin(asker): Admin,
    Body(looked): Body<Looked>,
) -> Result<Response, ApiFailure> {
    let findings = match &gateway.writer {
        Writer::Document(document) => document.validate(&looked.config),
        _ => {
            let egress = &asker.snapshot.catalog.settings.egress;
            store::validate(&looked.config, &shown(&gateway, &asker.snapshot).0, egress)
        }
    };
    let errors: Vec<String> =
        findings.iter().filter(|finding| finding.severity == Severity::Error).map(|f| f.message.clone()).collect();
    ok(&Verdict { valid: errors.is_empty(), errors, findings })
}
