//! A change → whether it may be written: what is a warning when resources are read is an error when they are saved.
//! Pure.

use super::{Change, Kind, Object};
use crate::catalog::{Catalog, Resources, key_of};
use aperium_core::caller::{Caller, Principal};
use aperium_core::grant::{CallerGrants, Role};
use aperium_crds::condition::reasons;
use std::sync::Arc;

/// Checks a change against all that is configured.
///
/// # Errors
/// What is wrong, for people.
pub(crate) fn check(catalog: &Catalog, change: &Change, caller: &Caller, system_namespace: &str) -> Result<(), String> {
    let resources = changed(&catalog.resources, change, system_namespace);
    let after = Catalog::build(&resources, Arc::clone(&catalog.settings), system_namespace);
    let key = &change.key;
    match (&change.object, change.kind) {
        (Some(_), Kind::Connector) => {
            // Suspending is a change like any other.
            if let Some(why) = after.refused.get(key).filter(|why| why.reason != reasons::SUSPENDED) {
                return Err(why.message.clone());
            }
        }
        (Some(_), Kind::Grant) => {
            if !after.grants.iter().any(|rule| rule.name == key.to_string()) {
                return Err("the Grant would count for nothing: its subjects or patterns are malformed, or count only in the system namespace".to_owned());
            }
        }
        (None, _) => {}
    }
    if change.kind == Kind::Grant && caller.principal != Principal::Loopback {
        stays_admin(&after, caller)?;
    }
    Ok(())
}

/// Nobody locks themselves out.
fn stays_admin(after: &Catalog, caller: &Caller) -> Result<(), String> {
    match CallerGrants::of(caller, after.grants.iter()) {
        Ok(grants) if grants.role() == Role::Admin => Ok(()),
        _ => Err(format!(
            "this would take the role admin from {}, who is making the change: nothing was saved; keep a grant with role admin",
            caller.principal
        )),
    }
}

/// All resources as they would be.
fn changed(before: &Resources, change: &Change, system_namespace: &str) -> Resources {
    let mut after = before.clone();
    let is_it = |metadata: &kube::api::ObjectMeta| {
        key_of(metadata.namespace.as_deref(), metadata.name.as_deref(), system_namespace) == change.key
    };
    match change.kind {
        Kind::Connector => after.connectors.retain(|connector| !is_it(&connector.metadata)),
        Kind::Grant => after.grants.retain(|grant| !is_it(&grant.metadata)),
    }
    match change.object.clone() {
        Some(Object::Connector(mut connector)) => {
            // One that is replaced keeps its age: of two with one id the older is served.
            let old = before.connectors.iter().find(|connector| is_it(&connector.metadata));
            connector.metadata.creation_timestamp =
                old.map_or_else(newest, |old| old.metadata.creation_timestamp.clone());
            after.connectors.push(Arc::new(*connector));
        }
        Some(Object::Grant(grant)) => after.grants.push(Arc::new(*grant)),
        None => {}
    }
    after
}

/// One that is new is the youngest.
fn newest() -> Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time> {
    Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(k8s_openapi::jiff::Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ResourceKey;
    use aperium_crds::structural;
    use serde_json::{Value, json};

    fn manifest(kind: &str, name: &str, spec: &Value) -> Value {
        json!({ "apiVersion": "aperium.dev/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec })
    }

    fn change(kind: Kind, name: &str, spec: Option<&Value>) -> Change {
        let object = spec.map(|spec| {
            let manifest = manifest(kind.as_str(), name, spec);
            match kind {
                Kind::Connector => Object::Connector(Box::new(structural::connector(&manifest).unwrap())),
                Kind::Grant => Object::Grant(Box::new(structural::grant(&manifest).unwrap())),
            }
        });
        let key = ResourceKey { namespace: "system".into(), name: name.into() };
        Change { kind, key, version: None, object }
    }

    fn catalog() -> Catalog {
        let admin = json!({ "subjects": ["client:ci"], "role": "admin" });
        let grant = structural::grant(&manifest("Grant", "admins", &admin)).unwrap();
        let spec = json!({ "protocol": "mcp", "url": "https://example.com", "id": "erp" });
        let connector = structural::connector(&manifest("Connector", "odoo", &spec)).unwrap();
        let resources = Resources { connectors: vec![Arc::new(connector)], grants: vec![Arc::new(grant)] };
        Catalog::build(&resources, Arc::default(), "system")
    }

    fn ask(change: &Change) -> Result<(), String> {
        check(&catalog(), change, &Caller::new(Principal::Client("ci".into())), "system")
    }

    #[test]
    fn a_second_connector_with_the_same_id_is_refused_and_a_replacement_is_not() {
        let spec = json!({ "protocol": "mcp", "url": "https://example.com/2", "id": "ERP" });
        assert!(ask(&change(Kind::Connector, "another", Some(&spec))).unwrap_err().contains("belongs to the older"));
        assert_eq!(ask(&change(Kind::Connector, "odoo", Some(&spec))), Ok(()));
    }

    #[test]
    fn nobody_takes_the_role_admin_from_themselves() {
        let user = json!({ "subjects": ["client:ci"] });
        for change in [change(Kind::Grant, "admins", Some(&user)), change(Kind::Grant, "admins", None)] {
            assert!(ask(&change).unwrap_err().contains("role admin"));
            let machine = Caller::new(Principal::Loopback);
            assert_eq!(check(&catalog(), &change, &machine, "system"), Ok(()), "whoever is at the machine stays admin");
        }
        assert_eq!(ask(&change(Kind::Grant, "more", Some(&user))), Ok(()));
    }
}
