//! `POST /api/explain`: may somebody do this, by which Grant, and if not, why not. Whoever is not an admin asks about
//! themselves.

use super::{Answer, Asker, Body, Error, ok};
use crate::error::Failure;
use crate::explain::{Asked, Explanation, Question, explain};
use crate::state::State;
use aperium_core::caller::Caller;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(ask))
}

#[utoipa::path(
    post, path = "/api/explain", operation_id = "explain", tag = "grants", summary = "Who may do something, by which Grant, and if not, why not",
    request_body = Asked,
    responses((status = 200, body = Explanation), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn ask(asker: Asker, Body(asked): Body<Asked>) -> Answer {
    let admin = asker.view.is_admin();
    let caller = &asker.view.identity().caller;
    let delegate = caller.delegate.as_deref().map(Caller::subjects);
    let subjects = match asked.subjects.as_slice() {
        [] => caller.subjects(),
        _ if !admin => return Err(Failure::NotAdmin.into()),
        _ => asked.subjects().map_err(Failure::Rejected)?,
    };
    let category = asked.category().map_err(Failure::Rejected)?;
    let question = Question {
        subjects: &subjects,
        delegate: delegate.as_deref(),
        connector: &asked.connector,
        category,
        name: &asked.name,
    };
    ok(&explain(&asker.snapshot, &question, admin))
}
