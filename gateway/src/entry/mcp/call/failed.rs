//! Why there is no answer of the upstream, as the caller reads it.

use crate::entry::mcp::authorize::{Back, Prompt, Question, Why};
use crate::error::{self, json, rpc_error, rpc_result};
use crate::pipeline::action::Action;
use crate::pipeline::upstream::UpstreamError;
use crate::snapshot::{Entry, Health};
use aperium_core::caller::Caller;
use axum::response::Response;
use http::StatusCode;
use serde_json::value::RawValue;

/// A failure as the caller reads it.
pub(super) struct Failed {
    code: &'static str,
    message: String,
    pub(super) outcome: &'static str,
    /// Instead of the message, for a client that can ask its user.
    question: Option<Question>,
}

impl Failed {
    pub(super) fn new(code: &'static str, message: String, outcome: &'static str) -> Self {
        Self { code, message, outcome, question: None }
    }
}

pub(super) fn unavailable(action: Action, connector: &str, error: &UpstreamError, request_id: &str) -> Failed {
    let why = error.outside();
    if action == Action::Call && error.outcome_unknown() {
        // The call may have been carried out: a model must not take this for "nothing happened".
        let message = format!(
            "connector {connector} is unavailable ({why}), the outcome of the call is unknown, request id {request_id}"
        );
        return Failed::new("outcome_unknown", message, "outcome_unknown");
    }
    let message = format!("connector {connector} is unavailable ({why}), request id {request_id}");
    Failed::new("upstream_unavailable", message, "unavailable")
}

/// The caller has to authorise the gateway: the answer says where.
pub(super) fn unauthorised(prompt: &Prompt, why: Why, request_id: &str) -> Failed {
    let question = prompt.question(why);
    let outcome = if question.is_some() { "input_required" } else { "needs_auth" };
    Failed { code: "authorization_required", message: prompt.text(why, request_id), outcome, question }
}

/// The user does not want to.
pub(super) fn declined(entry: &Entry, request_id: &str) -> Failed {
    let id = &entry.config.id;
    let message = format!("the user has not authorised connector {id}, request id {request_id}");
    Failed::new("authorization_declined", message, "needs_auth")
}

/// Nobody has authorised the gateway yet, so nobody knows what there is.
pub(super) async fn unauthorised_yet(prompt: &Prompt, caller: &Caller, entry: &Entry, request_id: &str) -> Failed {
    match prompt.back() {
        Some(Back::Declined) => return declined(entry, request_id),
        Some(Back::Accepted) => prompt.wait(caller).await,
        None => {}
    }
    match prompt.missing(caller).await {
        Some(why) => unauthorised(prompt, why, request_id),
        None => not_discovered(entry, request_id),
    }
}

pub(super) fn not_discovered(entry: &Entry, request_id: &str) -> Failed {
    let why = match &entry.health {
        Health::Unavailable { outside, .. } => outside.as_str(),
        _ => "not discovered yet",
    };
    let message = format!("connector {} is unavailable ({why}), request id {request_id}", entry.config.id);
    Failed::new("upstream_unavailable", message, "unavailable")
}

/// A failure as the last message: a tool's is shown to a model, any other is an error.
pub(super) fn failed_message(action: Action, id: &RawValue, failed: &Failed, request_id: &str) -> Vec<u8> {
    if let Some(question) = &failed.question {
        return question.write(id);
    }
    match action {
        Action::Call => rpc_result(id, &error::tool_error(failed.code, &failed.message, request_id)),
        _ => rpc_error(Some(id), &error::upstream_error(failed.code, &failed.message, request_id)),
    }
}

pub(super) fn failed_answer(action: Action, id: &RawValue, failed: &Failed, request_id: &str) -> Response {
    json(StatusCode::OK, failed_message(action, id, failed, request_id))
}
