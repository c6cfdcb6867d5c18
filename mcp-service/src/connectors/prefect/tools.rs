//! The handlers of the tools, one file per thing they are about.

pub(super) mod automations;
pub(super) mod dashboard;
pub(super) mod deployments;
pub(super) mod events;
pub(super) mod flow_runs;
pub(super) mod flows;
pub(super) mod logs;
pub(super) mod run_states;
pub(super) mod task_runs;
pub(super) mod variables;
pub(super) mod work_pools;
