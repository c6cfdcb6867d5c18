//! The filters of Prefect's list endpoints, typed: the server ignores a filter under a wrong name and then answers with
//! everything, so a name must not be able to be wrong.

use serde::Serialize;

use super::args::{DeploymentRef, Id, Moment, StateType};

/// The body of `POST /{flows,deployments,flow_runs,task_runs,work_pools}/{filter,count}`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Filters {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flows: Option<Flows>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deployments: Option<Deployments>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flow_runs: Option<FlowRuns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) task_runs: Option<TaskRuns>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) work_pools: Option<WorkPools>,
}

/// Which flows.
#[derive(Debug, Default, Serialize)]
pub(super) struct Flows {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Any<Id>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Name>,
}

/// Which deployments.
#[derive(Debug, Default, Serialize)]
pub(super) struct Deployments {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Any<Id>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Name>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) paused: Option<Is>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tags: Option<All>,
}

/// Which flow runs.
#[derive(Debug, Default, Serialize)]
pub(super) struct FlowRuns {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<Any<Id>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<State>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tags: Option<All>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expected_start_time: Option<Between>,
}

/// Which task runs.
#[derive(Debug, Default, Serialize)]
pub(super) struct TaskRuns {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<State>,
}

/// Which work pools.
#[derive(Debug, Serialize)]
pub(super) struct WorkPools {
    pub(super) name: Name,
}

/// In which state.
#[derive(Debug, Default, Serialize)]
pub(super) struct State {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<Any<StateType>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Any<String>>,
}

/// One of these values.
#[derive(Debug, Serialize)]
pub(super) struct Any<T> {
    pub(super) any_: Vec<T>,
}

/// All of these values.
#[derive(Debug, Serialize)]
pub(super) struct All {
    pub(super) all_: Vec<String>,
}

/// This value.
#[derive(Debug, Serialize)]
pub(super) struct Is {
    pub(super) eq_: bool,
}

/// By name.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Name {
    /// Exactly one of these.
    Exactly(Any<String>),
    /// Holds this text, upper and lower case alike.
    Like { like_: String },
}

/// Within these times, both included.
#[derive(Debug, Serialize)]
pub(super) struct Between {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) after_: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) before_: Option<Moment>,
}

/// The body of `POST /logs/filter`.
#[derive(Debug, Serialize)]
pub(super) struct LogFilters {
    pub(super) logs: Logs,
}

/// Which log lines.
#[derive(Debug, Serialize)]
pub(super) struct Logs {
    pub(super) flow_run_id: Any<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) level: Option<AtLeast>,
}

/// This number or more.
#[derive(Debug, Serialize)]
pub(super) struct AtLeast {
    pub(super) ge_: u32,
}

/// The body of `POST /automations/filter`.
#[derive(Debug, Serialize)]
pub(super) struct AutomationFilters {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) automations: Option<Automations>,
}

/// Which automations.
#[derive(Debug, Serialize)]
pub(super) struct Automations {
    pub(super) name: Any<String>,
}

/// The body of `POST /events/filter`.
#[derive(Debug, Serialize)]
pub(super) struct EventFilters {
    pub(super) filter: Events,
    pub(super) limit: u32,
}

/// Which events.
#[derive(Debug, Serialize)]
pub(super) struct Events {
    pub(super) occurred: Occurred,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event: Option<EventName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) any_resource: Option<AnyResource>,
    pub(super) order: &'static str,
}

/// Within these times, both included.
#[derive(Debug, Serialize)]
pub(super) struct Occurred {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<Moment>,
}

/// Events whose name starts with one of these.
#[derive(Debug, Serialize)]
pub(super) struct EventName {
    pub(super) prefix: Vec<String>,
}

/// Events about, or related to, one of these.
#[derive(Debug, Serialize)]
pub(super) struct AnyResource {
    pub(super) id: Vec<String>,
}

// === impl Name ===

impl Name {
    /// Exactly this one.
    pub(super) fn exactly(name: &str) -> Self {
        Self::Exactly(Any { any_: vec![name.to_owned()] })
    }

    /// Holds this text.
    pub(super) fn like(text: &str) -> Self {
        Self::Like { like_: text.to_owned() }
    }
}

// === impl Filters ===

impl Filters {
    /// Only what belongs to this deployment.
    pub(super) fn of_deployment(mut self, deployment: &DeploymentRef) -> Self {
        match deployment {
            DeploymentRef::Id(id) => {
                self.deployments = Some(Deployments { id: Some(Any { any_: vec![*id] }), ..Deployments::default() });
                self
            }
            DeploymentRef::Name { flow, deployment } => {
                let name = Some(Name::exactly(deployment));
                self.deployments = Some(Deployments { name, ..Deployments::default() });
                self.of_flow(flow)
            }
        }
    }

    /// Only what belongs to this flow.
    pub(super) fn of_flow(mut self, name: &str) -> Self {
        self.flows = Some(Flows { name: Some(Name::exactly(name)), ..Flows::default() });
        self
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(filters: impl Serialize) -> serde_json::Value {
        serde_json::to_value(filters).unwrap()
    }

    #[test]
    fn nothing_asked_for_is_an_empty_filter() {
        assert_eq!(written(Filters::default()), json!({}));
        assert_eq!(written(AutomationFilters { automations: None }), json!({}));
    }

    #[test]
    fn a_deployment_is_filtered_by_its_id_or_by_both_names() {
        let id = "360ed2bb-1fb6-4aad-b32c-c7e92f76443a";
        let by = |text| written(Filters::default().of_deployment(&DeploymentRef::parse(text).unwrap()));
        assert_eq!(by(id), json!({"deployments": {"id": {"any_": [id]}}}));
        let names = json!({"flows": {"name": {"any_": ["f"]}}, "deployments": {"name": {"any_": ["d"]}}});
        assert_eq!(by("f/d"), names);
    }

    #[test]
    fn a_state_is_filtered_by_type_and_name() {
        let state = State {
            kind: Some(Any { any_: vec![StateType::Scheduled] }),
            name: Some(Any { any_: vec!["Late".to_owned()] }),
        };
        assert_eq!(written(state), json!({"type": {"any_": ["SCHEDULED"]}, "name": {"any_": ["Late"]}}));
        assert_eq!(written(Name::like("50%")), json!({"like_": "50%"}));
    }
}
