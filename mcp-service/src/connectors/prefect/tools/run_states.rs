//! Cancel and retry: the two changes of state that an agent may ask for.
//!
//! Prefect answers HTTP 200 whatever it decides; the decision is the field `status`.

use aperium_core::effect::Effect;
use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::flow_runs::{self, OneFlowRun};
use crate::connector::{ErrorCode, ToolError, Upstream};
use crate::connectors::prefect::address::Endpoint;
use crate::connectors::prefect::args::{Id, StateType};
use crate::connectors::prefect::client::Client;
use crate::connectors::prefect::types::State;

/// The state that a run has now.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Changed {
    flow_run_id: Id,
    state: State,
}

/// The body of `POST /flow_runs/{id}/set_state`. `force` would pass by the rules of orchestration; it is never set.
#[derive(Serialize)]
struct SetState {
    state: Proposed,
    force: bool,
}

#[derive(Serialize)]
struct Proposed {
    #[serde(rename = "type")]
    kind: StateType,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'static str>,
    message: &'static str,
}

/// What Prefect decided.
#[derive(Debug, Deserialize)]
struct Orchestration {
    status: Status,
    state: Option<State>,
    #[serde(default)]
    details: Details,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Status {
    Accept,
    Reject,
    Abort,
    Wait,
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Default, Deserialize)]
struct Details {
    reason: Option<String>,
}

/// Cancels a run. What runs already is CANCELLING until its worker has stopped it.
pub(in super::super) async fn cancel_flow_run(up: &Upstream, args: OneFlowRun) -> Result<Changed, ToolError> {
    let client = Client::of(up).await?;
    let proposed = Proposed { kind: StateType::Cancelling, name: None, message: "Cancelled through Aperium" };
    let answer = set_state(&client, &args.flow_run, proposed, Effect::Destructive).await?;
    let state = match answer {
        // A run that nobody has picked up yet has nothing to be stopped: Prefect "rejects" CANCELLING and cancels it.
        Orchestration { status: Status::Reject, state: Some(state), .. } if state.kind == StateType::Cancelled => state,
        other => other.accepted()?,
    };
    Ok(Changed { flow_run_id: args.flow_run, state })
}

/// Runs a finished run of a deployment once more.
pub(in super::super) async fn retry_flow_run(up: &Upstream, args: OneFlowRun) -> Result<Changed, ToolError> {
    let client = Client::of(up).await?;
    // Prefect would also reschedule a run that is still running, and would then execute it twice at the same time.
    let run = flow_runs::read(&client, &args.flow_run).await?.summary;
    let conflict = |why: &str| Err(ToolError::new(ErrorCode::Conflict, why));
    if !run.state.as_ref().is_some_and(|state| state.kind.is_terminal()) {
        return conflict("only a run that is over (COMPLETED, FAILED, CRASHED, CANCELLED) can be retried");
    }
    if run.deployment_id.is_none() {
        return conflict("a run without a deployment cannot be retried: nobody would pick it up");
    }
    let name = Some("AwaitingRetry");
    let proposed = Proposed { kind: StateType::Scheduled, name, message: "Retried through Aperium" };
    let state = set_state(&client, &args.flow_run, proposed, Effect::Write).await?.accepted()?;
    Ok(Changed { flow_run_id: args.flow_run, state })
}

async fn set_state(
    client: &Client<'_>,
    flow_run: &Id,
    state: Proposed,
    effect: Effect,
) -> Result<Orchestration, ToolError> {
    let endpoint = Endpoint::new("/flow_runs").id(flow_run).then("/set_state");
    client.change(Method::POST, &endpoint, Some(&SetState { state, force: false }), effect).await?.json()
}

// === impl Orchestration ===

impl Orchestration {
    /// The new state, when Prefect made the change that was asked for.
    fn accepted(self) -> Result<State, ToolError> {
        let word = match self.status {
            Status::Accept => {
                return self.state.ok_or_else(|| unknown("Prefect accepted the change but names no state"));
            }
            Status::Reject => "REJECT",
            Status::Abort => "ABORT",
            Status::Wait => "WAIT",
            Status::Unknown => return Err(unknown("Prefect answered with a status that is not known")),
        };
        let mut reason = self.details.reason.unwrap_or_default();
        crate::connectors::prefect::types::cut(&mut reason, 300);
        let message = format!("Prefect did not make the change ({word}): {reason}");
        Err(ToolError::new(ErrorCode::Conflict, message).with_upstream_code(word))
    }
}

fn unknown(what: &str) -> ToolError {
    ToolError::new(ErrorCode::OutcomeUnknown, format!("{what}: look at the flow run before you repeat it"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decided(answer: serde_json::Value) -> Result<State, ToolError> {
        serde_json::from_value::<Orchestration>(answer).unwrap().accepted()
    }

    #[test]
    fn only_accept_is_success() {
        let state = json!({"type": "CANCELLING", "name": "Cancelling"});
        assert_eq!(decided(json!({"status": "ACCEPT", "state": state})).unwrap().kind, StateType::Cancelling);
        for status in ["REJECT", "ABORT", "WAIT"] {
            let answer = json!({"status": status, "state": state, "details": {"type": "x", "reason": "because"}});
            let error = decided(answer).unwrap_err();
            assert_eq!((error.code, error.upstream_code.as_deref()), (ErrorCode::Conflict, Some(status)));
            assert!(error.message.contains("because"));
        }
    }

    #[test]
    fn an_answer_that_says_neither_leaves_the_outcome_unknown() {
        for answer in [json!({"status": "PERHAPS"}), json!({"status": "ACCEPT", "state": null})] {
            assert_eq!(decided(answer).unwrap_err().code, ErrorCode::OutcomeUnknown);
        }
    }
}
