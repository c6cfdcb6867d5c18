//! Every object of every rendering (defaults and each feature file) against every rule.

use crate::{policy, relations, render, strict};
use aperium_crds::Settings;
use aperium_operator::args::Args;
use aperium_tests::binaries;
use clap::Parser;
use serde_json::{Value, json};
use std::process::Command;

/// Labels of every object (`app.kubernetes.io/…`).
const LABELS: [&str; 6] = ["name", "instance", "version", "component", "part-of", "managed-by"];
/// Kinds that belong to no namespace.
const CLUSTER_WIDE: [&str; 3] = ["ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"];

fn label_faults(object: &Value) -> Vec<String> {
    let labels = &object["metadata"]["labels"];
    let missing =
        LABELS.iter().map(|label| format!("app.kubernetes.io/{label}")).filter(|label| labels[label].is_null());
    let mut faults: Vec<String> = missing.map(|label| format!("no label {label}")).collect();
    if labels["helm.sh/chart"].is_null() {
        faults.push("no label helm.sh/chart".to_owned());
    }
    let namespaced = !CLUSTER_WIDE.contains(&object["kind"].as_str().unwrap_or_default());
    if namespaced == object["metadata"]["namespace"].is_null() {
        faults.push("namespace is missing, or there although the kind has none".to_owned());
    }
    faults
}

#[test]
fn every_object_has_a_known_shape_and_the_usual_labels() {
    for (name, objects) in render::all() {
        assert!(objects.len() > 15, "{name}: {} objects", objects.len());
        for object in &objects {
            assert_eq!(strict::faults(object), Vec::<String>::new(), "{name}");
            assert_eq!(
                label_faults(object),
                Vec::<String>::new(),
                "{name}: {} {}",
                object["kind"],
                object["metadata"]["name"]
            );
        }
    }
}

#[test]
fn a_missing_label_or_namespace_is_found() {
    let mut service = render::find(render::defaults(), "Service", "aperium-gateway").clone();
    assert!(label_faults(&service).is_empty());
    service["metadata"]["labels"].as_object_mut().unwrap().remove("app.kubernetes.io/part-of");
    service["metadata"].as_object_mut().unwrap().remove("namespace");
    assert_eq!(label_faults(&service).len(), 2);
}

#[test]
fn every_pod_obeys_the_restricted_profile_and_ours() {
    for (name, objects) in render::all() {
        let mut pods = 0;
        for deployment in render::of_kind(&objects, "Deployment") {
            assert_eq!(policy::faults(deployment), Vec::<String>::new(), "{name}: {}", deployment["metadata"]["name"]);
            pods += 1;
        }
        assert_eq!(pods, 2, "{name}");
    }
}

#[test]
fn every_reference_between_objects_leads_somewhere() {
    for (name, objects) in render::all() {
        assert_eq!(relations::faults(&objects), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_pod_may_finish_its_requests_before_it_is_ended() {
    let objects = render::objects("aperium", &["--set", "settings.limits.drainSeconds=60"]);
    for deployment in render::of_kind(&objects, "Deployment") {
        assert_eq!(deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"], 70);
    }
}

#[test]
fn a_cluster_with_another_domain_is_known_to_both() {
    let objects = render::objects("aperium", &["--set", "clusterDomain=corp.internal"]);
    let args =
        &render::find(&objects, "Deployment", "aperium-operator")["spec"]["template"]["spec"]["containers"][0]["args"];
    assert!(args.as_array().unwrap().contains(&json!("--cluster-domain=corp.internal")), "{args}");
    let settings = &render::find(&objects, "ConfigMap", "aperium-settings")["data"]["settings.yaml"];
    let settings = Settings::parse(settings.as_str().unwrap()).unwrap();
    assert_eq!(settings.hosts.allowed_hosts, ["aperium-gateway.aperium-system.svc.corp.internal"]);
}

#[test]
fn the_operator_takes_the_arguments_that_it_is_given() {
    for (name, objects) in render::all() {
        let args = &render::find(&objects, "Deployment", "aperium-operator")["spec"]["template"]["spec"]["containers"]
            [0]["args"];
        let args = args
            .as_array()
            .unwrap()
            .iter()
            .map(|arg| arg.as_str().unwrap().replace("$(POD_NAMESPACE)", render::NAMESPACE));
        let args = Args::try_parse_from(std::iter::once("aperium-operator".to_owned()).chain(args))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(args.leader_elect, "{name}: several replicas without a leader");
        assert_eq!(args.system_namespace.as_deref(), Some(render::NAMESPACE));
        assert!(args.namespaces.iter().any(|namespace| namespace == render::NAMESPACE), "{name}");
    }
}

/// The built programs themselves: what they do not know they refuse before they come to `--help`.
#[test]
fn the_programs_know_every_argument_that_they_are_given() {
    for (name, objects) in render::all() {
        for (part, program) in [("aperium-operator", binaries::operator()), ("aperium-gateway", binaries::gateway())] {
            let container = &render::find(&objects, "Deployment", part)["spec"]["template"]["spec"]["containers"][0];
            let args = container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap());
            let run = Command::new(program).args(args).arg("--help").output().unwrap();
            assert!(run.status.success(), "{name}: {part}: {}", String::from_utf8_lossy(&run.stderr));
        }
    }
    let refused = Command::new(binaries::gateway()).args(["--no-such-argument", "--help"]).output().unwrap();
    assert!(!refused.status.success(), "an argument that is not known must show");
}

#[test]
fn the_in_cluster_port_never_leaves_the_cluster() {
    for (name, objects) in render::all() {
        for service in render::of_kind(&objects, "Service") {
            let in_cluster =
                service["spec"]["ports"].as_array().unwrap().iter().any(|port| port["name"] == "in-cluster");
            assert!(!in_cluster || service["spec"]["type"] == "ClusterIP", "{name}");
        }
    }
    let objects = render::objects("aperium", &["--set", "gateway.publicService.enabled=true"]);
    let public = render::find(&objects, "Service", "aperium-gateway-public");
    assert_eq!(public["spec"]["ports"].as_array().unwrap().len(), 1);
    assert_eq!(public["spec"]["ports"][0]["targetPort"], "http");
}

#[test]
fn each_feature_changes_what_it_says() {
    let with =
        |file: &str| render::with_file("aperium", &render::chart("aperium").join(format!("ci/{file}-values.yaml")));

    let ha = with("ha");
    assert_eq!(render::find(&ha, "Deployment", "aperium-operator")["spec"]["replicas"], 2);
    assert_eq!(render::find(&ha, "HorizontalPodAutoscaler", "aperium-gateway")["spec"]["minReplicas"], 3);
    for part in ["aperium-operator", "aperium-gateway"] {
        assert_eq!(render::find(&ha, "PodDisruptionBudget", part)["spec"]["maxUnavailable"], 1);
    }

    let namespaces = with("namespaces");
    for part in ["aperium-operator", "aperium-gateway"] {
        let roles = render::of_kind(&namespaces, "Role").filter(|role| role["metadata"]["name"] == part);
        let of: Vec<&Value> = roles.map(|role| &role["metadata"]["namespace"]).collect();
        assert_eq!(of, ["aperium-system", "finance", "research"]);
        let args = &render::find(&namespaces, "Deployment", part)["spec"]["template"]["spec"]["containers"][0]["args"];
        assert!(args.as_array().unwrap().contains(&json!("--namespaces=aperium-system,finance,research")), "{args}");
    }

    let tokens = with("static-tokens");
    let volumes = &render::find(&tokens, "Deployment", "aperium-gateway")["spec"]["template"]["spec"]["volumes"];
    assert!(volumes.as_array().unwrap().iter().any(|volume| volume["secret"]["secretName"] == "platform-clients"));
    let reviews = |role: &&Value| role["metadata"]["name"].as_str().is_some_and(|name| name.contains("tokenreview"));
    // The broker asks who a pod is, whoever else may come in.
    for objects in [&tokens, &ha] {
        assert_eq!(render::of_kind(objects, "ClusterRole").filter(reviews).count(), 1);
    }

    let monitoring = with("monitoring");
    let monitors: Vec<&Value> = render::of_kind(&monitoring, "PodMonitor").collect();
    assert_eq!(monitors.len(), 2);
    for monitor in monitors {
        let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
        assert_eq!((&endpoint["port"], &endpoint["path"]), (&json!("admin"), &json!("/metrics")));
        assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
    }

    let private = with("private-registry");
    for deployment in render::of_kind(&private, "Deployment") {
        let pod = &deployment["spec"]["template"]["spec"];
        let image = pod["containers"][0]["image"].as_str().unwrap();
        assert!(image.starts_with("registry.example.com/mirror/"), "{image}");
        assert_eq!(pod["imagePullSecrets"], json!([{"name": "registry"}]));
        assert!(pod["securityContext"]["runAsUser"].is_null() && pod["securityContext"]["runAsNonRoot"] == true);
    }
    assert_eq!(render::of_kind(&with("no-network-policies"), "NetworkPolicy").count(), 0);
}
