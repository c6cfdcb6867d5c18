//! At most one pod may be evicted at a time. With a single pod there is no budget: it would block every drain.

use crate::connector::validate::ValidatedConnector;
use crate::names::Names;
use serde_json::{Value, json};

pub(super) fn of(valid: &ValidatedConnector<'_>) -> Value {
    json!({"spec": {
        "maxUnavailable": 1,
        "selector": {"matchLabels": Names::selector(&valid.name)},
        // A pod that is not ready protects nobody and must not keep a node from being drained.
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }})
}
