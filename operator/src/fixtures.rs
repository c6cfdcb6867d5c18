//! Values for the tests of the pure steps.

use crate::connector::dereference::{Referenced, SecretState};
use crate::connector::validate::{Refusal, ValidatedConnector, validate};
use crate::names::Names;
use aperium_crds::Connector;
use serde_json::{Value, json};

/// Names of a plain installation.
pub(crate) fn names() -> Names {
    Names {
        system_namespace: "aperium-system".to_owned(),
        cluster_domain: "cluster.local".to_owned(),
        settings: Default::default(),
        egress: Default::default(),
        ranges_known: true,
    }
}

/// A Connector `odoo` with these fields of its spec and of its service on top.
pub(crate) fn connector(spec: Value, service: Value) -> Connector {
    let mut object = json!({
        "apiVersion": "aperium.dev/v1alpha1", "kind": "Connector",
        "metadata": {"name": "odoo", "namespace": "team", "uid": "u-1", "generation": 4},
        "spec": {"protocol": "mcp", "service": {"module": "odoo"}},
    });
    for (target, more) in [("/spec", spec), ("/spec/service", service)] {
        let target = object.pointer_mut(target).unwrap().as_object_mut().unwrap();
        target.extend(more.as_object().unwrap().clone());
    }
    serde_json::from_value(object).unwrap()
}

/// What is found when every Secret is usable.
pub(crate) fn found(connector: &Connector) -> Referenced {
    let service = connector.spec.service.as_ref().unwrap();
    let secrets = (
        service.auth.as_ref().map(|auth| auth.existing_secret.clone()),
        service.credentials.secret_ref.as_ref().map(|secret| secret.name.clone()),
    );
    Referenced {
        token: secrets.0.as_ref().map(|_| SecretState::Usable),
        credentials: secrets.1.as_ref().map(|_| SecretState::Usable),
        secrets,
        ..Referenced::default()
    }
}

/// Validates a Connector against what was found.
pub(crate) fn valid<'a>(
    names: &Names,
    connector: &'a Connector,
    found: &Referenced,
) -> Result<ValidatedConnector<'a>, Refusal> {
    validate(names, connector, connector.spec.service.as_ref().unwrap(), found)
}
