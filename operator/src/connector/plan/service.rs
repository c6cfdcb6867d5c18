//! The name under which the gateway and backends reach the pods.

use crate::connector::validate::ValidatedConnector;
use crate::names::Names;
use serde_json::{Value, json};

pub(super) fn of(valid: &ValidatedConnector<'_>) -> Value {
    json!({"spec": {
        "type": "ClusterIP",
        "selector": Names::selector(&valid.name),
        "ports": [{"name": "http", "port": valid.port, "protocol": "TCP", "targetPort": "http", "appProtocol": "http"}],
    }})
}
