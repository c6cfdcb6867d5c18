//! Scales the Deployment by CPU.

use crate::connector::validate::ValidatedConnector;
use aperium_core::name::child_name;
use aperium_crds::connector::Autoscaling;
use serde_json::{Value, json};

pub(super) fn of(valid: &ValidatedConnector<'_>, autoscaling: &Autoscaling) -> Value {
    json!({"spec": {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": child_name(&valid.name)},
        "minReplicas": autoscaling.min_replicas,
        "maxReplicas": autoscaling.max_replicas,
        "metrics": [{"type": "Resource", "resource": {
            "name": "cpu",
            "target": {"type": "Utilization", "averageUtilization": autoscaling.target_cpu_utilization_percentage},
        }}],
    }})
}
