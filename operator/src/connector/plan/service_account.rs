//! The identity of the pods: it may do nothing, and no token of it is mounted.

use crate::names::Names;
use serde_json::{Value, json};

pub(super) fn of(names: &Names) -> Value {
    let secrets = &names.settings.services.image_pull_secrets;
    let mut account = json!({"automountServiceAccountToken": false});
    if !secrets.is_empty() {
        account["imagePullSecrets"] = secrets.iter().map(|name| json!({"name": name})).collect();
    }
    account
}
