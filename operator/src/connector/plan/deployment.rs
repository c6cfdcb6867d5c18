//! The pods. Where an autoscaler decides how many, `replicas` is not ours and left out.

use crate::connector::validate::ValidatedConnector;
use crate::names::Names;
use serde_json::{Value, json};

pub(super) fn of(valid: &ValidatedConnector<'_>, replicas: Option<i32>) -> Value {
    let mut spec = json!({
        "selector": {"matchLabels": Names::selector(&valid.name)},
        // A new pod must be ready before an old one goes: an update that cannot start takes nothing away.
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "revisionHistoryLimit": 2,
        "progressDeadlineSeconds": 600,
        "template": valid.pod_template,
    });
    if let Some(replicas) = replicas {
        spec["replicas"] = json!(replicas);
    }
    json!({"spec": spec})
}
