use super::*;
use crate::connector::dereference::SecretState;
use crate::connector::validate::Refusal;
use crate::fixtures::{connector, found, names, valid};

fn template(spec: Value, service: Value) -> Value {
    let connector = connector(spec, service);
    valid(&names(), &connector, &found(&connector)).unwrap().pod_template
}

fn refused(overlay: &Value) -> PodTemplateError {
    let connector = connector(json!({}), json!({"podTemplate": overlay}));
    match valid(&names(), &connector, &found(&connector)) {
        Err(Refusal::PodTemplate(error)) => error,
        other => panic!("{overlay}: {:?}", other.map(|valid| valid.pod_template)),
    }
}

fn variable(template: &Value, name: &str) -> Option<String> {
    let all = template["spec"]["containers"][0]["env"].as_array().unwrap();
    all.iter().find(|variable| variable["name"] == name).map(|variable| variable["value"].as_str().unwrap().to_owned())
}

#[test]
fn the_pod_is_of_the_restricted_profile_and_holds_no_token_of_the_api_server() {
    let template = template(json!({}), json!({}));
    let pod = &template["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert!(container["resources"]["limits"]["memory"].is_string());
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        assert_eq!(container[probe]["httpGet"]["port"], "http");
        assert!(container[probe]["httpGet"].get("host").is_none());
    }
    // The base passes its own check.
    assert_eq!(check::check(&template, &template), Ok(()));
}

#[test]
fn credentials_of_the_platform_come_by_the_pods_own_token_and_mounted_ones_do_not() {
    let platform = template(json!({}), json!({}));
    let is = |name: &str, value: &str| assert_eq!(variable(&platform, name).as_deref(), Some(value), "{name}");
    is("APERIUM_BROKER", "aperium-gateway.aperium-system.svc.cluster.local:9443");
    is("APERIUM_LEASE_AUDIENCE", "team/aperium-mcp-odoo");
    is("APERIUM_CONNECTOR_ID", "odoo");
    let volume = |template: &Value, name: &str| {
        template["spec"]["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == name).cloned()
    };
    let source = &volume(&platform, "identity").unwrap()["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!((&source["audience"], &source["path"]), (&json!("aperium-broker"), &json!("token")));
    assert_eq!(volume(&platform, "broker").unwrap()["configMap"]["name"], "aperium-lease-keys");
    let secret = json!({"credentials": {"source": "secret", "secretRef": {"name": "s"}}});
    let mounted = template(json!({}), secret);
    assert!(variable(&mounted, "APERIUM_BROKER").is_none());
    assert!(volume(&mounted, "identity").is_none() && volume(&mounted, "broker").is_none());
}

#[test]
fn no_other_container_mounts_the_token_for_the_broker() {
    for list in ["containers", "initContainers"] {
        let other = json!({
            "name": "other", "image": "x", "volumeMounts": [{"name": "identity", "mountPath": "/x"}],
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        });
        let error = refused(&json!({"spec": {list: [other]}}));
        assert_eq!(error, PodTemplateError::Volume("identity".to_owned()), "{list}");
    }
}

#[test]
fn the_environment_is_that_of_the_contract() {
    let spec = json!({"tools": {"hide": ["x"]}, "calls": {"timeoutSeconds": 9, "writes": "Enabled"}});
    let template =
        template(spec, json!({"module": "mcp_servers.odoo_http", "settings": {"a": "$(HOME)"}, "tenant": "acme"}));
    let container = &template["spec"]["containers"][0];
    assert_eq!(container["args"], json!(["--connector", "odoo", "--listen", "0.0.0.0:8081"]));
    let is = |name: &str, value: &str| assert_eq!(variable(&template, name).as_deref(), Some(value), "{name}");
    is("MCP_AUTH_TOKEN_FILE", "/var/run/aperium/token/mcp_auth_token");
    is("APERIUM_CREDENTIALS_DIR", "/var/run/aperium/credentials");
    is("APERIUM_CONNECTOR_NAME", "odoo");
    is("APERIUM_CALLS", r#"{"maxConcurrent":64,"timeoutSeconds":9,"writes":"Enabled"}"#);
    is("APERIUM_TOOLS_HIDE", r#"["x"]"#);
    is("APERIUM_SETTINGS", r#"{"a":"$$(HOME)"}"#);
    is("APERIUM_TENANT", "acme");
    is(
        "APERIUM_ALLOWED_HOSTS",
        "aperium-mcp-odoo,aperium-mcp-odoo.team,aperium-mcp-odoo.team.svc,aperium-mcp-odoo.team.svc.cluster.local",
    );
    assert_eq!(variable(&template, "APERIUM_METRICS_OPEN"), None);
    assert!(
        serde_json::from_str::<aperium_core::egress::EgressRules>(&variable(&template, "APERIUM_EGRESS").unwrap())
            .is_ok()
    );
}

#[test]
fn a_service_writes_only_where_its_admin_said_so() {
    assert!(variable(&template(json!({}), json!({})), "APERIUM_CALLS").unwrap().contains(r#""writes":"Disabled""#));
}

#[test]
fn a_secret_is_mounted_optional_and_only_when_it_may_be() {
    let service = json!({"auth": {"existingSecret": "t", "key": "k"}, "credentials": {"source": "secret", "secretRef": {"name": "c"}}});
    let connector = connector(json!({}), service);
    let mut found = found(&connector);
    let secrets = |found: &crate::connector::dereference::Referenced| {
        let template = valid(&names(), &connector, found).unwrap().pod_template;
        let volumes = template["spec"]["volumes"].as_array().unwrap().clone();
        volumes
            .iter()
            .filter(|volume| volume.get("secret").is_some())
            .inspect(|volume| assert_eq!(volume["secret"]["optional"], true))
            .count()
    };
    assert_eq!(secrets(&found), 2);
    found.credentials = Some(SecretState::NotPermitted);
    assert_eq!(secrets(&found), 1);
    found.token = Some(SecretState::Missing);
    assert_eq!(secrets(&found), 0);
}

#[test]
fn a_harmless_overlay_is_taken() {
    let overlay = json!({
        "metadata": {"labels": {"team": "erp"}, "annotations": {"a": "b"}},
        "spec": {
            "priorityClassName": "high", "terminationGracePeriodSeconds": 60, "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]},
            "volumes": [{"name": "cache", "emptyDir": {}}, {"name": "conf", "configMap": {"name": "c"}}],
            "containers": [
                {"name": "mcp", "env": [{"name": "RUST_LOG", "value": "debug"}], "volumeMounts": [{"name": "cache", "mountPath": "/cache"}]},
                {"name": "proxy", "image": "p:1", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}}},
            ],
        },
    });
    let template = template(json!({}), json!({"podTemplate": overlay}));
    assert_eq!(variable(&template, "RUST_LOG").as_deref(), Some("debug"));
    assert_eq!(template["metadata"]["labels"]["app.kubernetes.io/instance"], "odoo");
    assert_eq!(template["spec"]["volumes"].as_array().unwrap().len(), 7);
}

#[test]
fn nothing_gains_more_than_a_connector_has() {
    let side = |more: Value| {
        let mut side = json!({"name": "side", "image": "x", "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}});
        side.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"spec": {"containers": [side]}})
    };
    let main = |more: Value| {
        let mut main = json!({"name": "mcp"});
        main.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"spec": {"containers": [main]}})
    };
    for overlay in [
        json!({"spec": {"serviceAccountName": "admin"}}),
        json!({"spec": {"serviceAccount": "admin"}}),
        json!({"spec": {"automountServiceAccountToken": true}}),
        json!({"spec": {"automountServiceAccountToken": null}}),
        json!({"spec": {"hostNetwork": true}}),
        json!({"spec": {"hostPID": true}}),
        json!({"spec": {"hostUsers": false}}),
        json!({"spec": {"shareProcessNamespace": true}}),
        json!({"spec": {"nodeName": "control-plane"}}),
        json!({"spec": {"imagePullSecrets": [{"name": "other"}]}}),
        json!({"spec": {"ephemeralContainers": []}}),
        json!({"spec": {"resourceClaims": []}}),
        json!({"spec": {"securityContext": {"runAsNonRoot": false}}}),
        json!({"spec": {"securityContext": {"runAsUser": 0}}}),
        json!({"spec": {"securityContext": {"seccompProfile": {"type": "Unconfined"}}}}),
        json!({"spec": {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}}),
        json!({"spec": {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}}),
        json!({"spec": {"securityContext": {"windowsOptions": {"hostProcess": true}}}}),
        json!({"spec": {"securityContext": null}}),
        json!({"spec": {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}}),
        json!({"spec": {"volumes": [{"name": "x", "secret": {"secretName": "other"}}]}}),
        json!({"spec": {"volumes": [{"name": "x", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]}}),
        json!({"spec": {"volumes": [{"name": "x", "csi": {"driver": "secrets-store.csi.k8s.io"}}]}}),
        json!({"spec": {"volumes": [{"name": "token", "secret": {"secretName": "other"}}]}}),
        json!({"spec": {"volumes": [{"name": "tmp", "$patch": "delete"}]}}),
        json!({"metadata": {"labels": {"app.kubernetes.io/instance": "other"}}}),
        json!({"metadata": {"labels": {"aperium.dev/mcp-client": "true"}}}),
        json!({"metadata": {"name": "x"}}),
        json!({"status": {}}),
        main(json!({"image": "evil"})),
        main(json!({"command": ["sh"]})),
        main(json!({"args": ["--help"]})),
        main(json!({"securityContext": {"readOnlyRootFilesystem": false}})),
        main(json!({"securityContext": {"privileged": true}})),
        main(json!({"env": [{"name": "APERIUM_EGRESS", "value": "{}"}]})),
        main(json!({"env": [{"name": "APERIUM_METRICS_OPEN", "value": "true"}]})),
        main(json!({"env": [{"name": "MCP_AUTH_TOKEN", "value": "x"}]})),
        main(json!({"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "other", "key": "k"}}}]})),
        main(json!({"envFrom": [{"secretRef": {"name": "other"}}]})),
        main(json!({"volumeMounts": [{"mountPath": "/var/run/aperium/token", "$patch": "delete"}]})),
        main(json!({"livenessProbe": {"httpGet": {"host": "169.254.169.254"}}})),
        main(json!({"lifecycle": {"preStop": {"tcpSocket": {"host": "10.0.0.1", "port": 1}}}})),
        main(json!({"$patch": "delete"})),
        side(json!({"securityContext": {}})),
        side(json!({"securityContext": {"allowPrivilegeEscalation": false}})),
        side(
            json!({"securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}}}),
        ),
        side(
            json!({"securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "runAsUser": 0}}),
        ),
        side(
            json!({"securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "procMount": "Unmasked"}}),
        ),
        side(json!({"ports": [{"containerPort": 80, "hostPort": 80}]})),
        side(json!({"resources": {"claims": [{"name": "x"}]}})),
        side(json!({"volumeDevices": []})),
        side(json!({"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "other", "key": "k"}}}]})),
        json!({"spec": {"initContainers": [{"name": "i", "image": "x"}]}}),
        json!({"spec": {"containers": "x"}}),
        json!({"spec": "x"}),
        json!("x"),
    ] {
        let error = refused(&overlay);
        assert!(!error.to_string().is_empty(), "{overlay}");
    }
}

proptest::proptest! {
    #[test]
    fn no_overlay_makes_the_check_panic(text in "[{}\\[\\]\":, a-zA-Z0-9$]{0,200}") {
        if let Ok(overlay) = serde_json::from_str::<Value>(&text) {
            let base = template(json!({}), json!({}));
            drop(overlaid(&base, &overlay));
        }
    }
}
