use super::*;
use crate::fixtures::{connector, found, names, valid};
use serde_json::json;

fn planned(names: &Names, spec: Value, service: Value) -> Plan<Prepared> {
    let connector = connector(spec, service);
    plan(names, &valid(names, &connector, &found(&connector)).unwrap())
}

fn part(plan: &Plan<Prepared>, kind: ChildKind) -> Option<&Value> {
    plan.objects.iter().find(|object| object.kind == kind).map(|object| &object.body)
}

fn kinds(plan: &Plan<Prepared>) -> Vec<ChildKind> {
    plan.objects.iter().map(|object| object.kind).collect()
}

#[test]
fn a_plain_connector_has_four_objects_in_the_order_in_which_a_pod_needs_them() {
    let plan = planned(&names(), json!({}), json!({}));
    let expected = [ChildKind::ServiceAccount, ChildKind::NetworkPolicy, ChildKind::Service, ChildKind::Deployment];
    assert_eq!(kinds(&plan), expected);
    for object in &plan.objects {
        let meta = &object.body["metadata"];
        assert_eq!(meta["name"], "aperium-mcp-odoo");
        assert_eq!(meta["namespace"], "team");
        assert_eq!(meta["ownerReferences"][0], plan.owner.reference());
        assert_eq!(meta["annotations"][APPLIED_HASH], object.hash);
    }
}

#[test]
fn a_budget_comes_with_a_second_pod_and_an_autoscaler_takes_the_replicas() {
    assert!(part(&planned(&names(), json!({}), json!({"replicas": 2})), ChildKind::PodDisruptionBudget).is_some());
    let scaled = planned(&names(), json!({}), json!({"replicas": 2, "autoscaling": {"maxReplicas": 5}}));
    assert!(part(&scaled, ChildKind::Deployment).unwrap()["spec"].get("replicas").is_none());
    assert_eq!(part(&scaled, ChildKind::HorizontalPodAutoscaler).unwrap()["spec"]["maxReplicas"], 5);
    assert!(part(&scaled, ChildKind::PodDisruptionBudget).is_some());
}

#[test]
fn suspending_means_no_pods_no_autoscaler_and_no_budget() {
    let service = json!({"replicas": 3, "autoscaling": {"maxReplicas": 5}});
    let plan = planned(&names(), json!({"suspend": true}), service);
    assert_eq!(part(&plan, ChildKind::Deployment).unwrap()["spec"]["replicas"], 0);
    assert!(part(&plan, ChildKind::HorizontalPodAutoscaler).is_none());
    assert!(part(&plan, ChildKind::PodDisruptionBudget).is_none());
}

#[test]
fn the_same_connector_gives_the_same_hashes_and_any_change_another() {
    let hashes = |plan: &Plan<Prepared>| plan.objects.iter().map(|object| object.hash.clone()).collect::<Vec<_>>();
    let base = planned(&names(), json!({}), json!({}));
    assert_eq!(hashes(&base), hashes(&planned(&names(), json!({}), json!({}))));
    let other = planned(&names(), json!({}), json!({"port": 9000}));
    assert_ne!(hashes(&base)[2..], hashes(&other)[2..]);
    assert_eq!(hashes(&base)[..1], hashes(&other)[..1], "the account does not change with the port");
}

#[test]
fn the_network_policy_has_the_edges_of_the_blueprint() {
    let mut names = names();
    names.settings.services.client_namespaces = vec!["backend".to_owned()];
    names.settings.services.monitoring_namespace = "monitoring".to_owned();
    let plan = planned(&names, json!({}), json!({"networkPolicy": {"egressCIDRs": ["10.0.0.0/8"]}}));
    let policy = &part(&plan, ChildKind::NetworkPolicy).unwrap()["spec"];
    let from = policy["ingress"][0]["from"].as_array().unwrap();
    let pod = |peer: &Value| peer["podSelector"]["matchLabels"].clone();
    assert_eq!(pod(&from[0]), json!({"app.kubernetes.io/name": "aperium-gateway"}));
    assert_eq!(pod(&from[1]), json!({"app.kubernetes.io/name": "aperium-operator"}));
    assert_eq!(pod(&from[2]), json!({"aperium.dev/mcp-client": "true"}));
    assert_eq!(from[3]["namespaceSelector"]["matchLabels"], json!({"kubernetes.io/metadata.name": "monitoring"}));
    assert_eq!(from.len(), 4);
    let egress = policy["egress"].as_array().unwrap();
    assert_eq!(egress[1]["ports"][0]["port"], 9443);
    assert_eq!(egress[2]["to"], json!([{"ipBlock": {"cidr": "10.0.0.0/8"}}]));
    assert_eq!(egress.len(), 3, "nothing else may be reached");
    let open = planned(&names, json!({}), json!({}));
    assert_eq!(part(&open, ChildKind::NetworkPolicy).unwrap()["spec"]["egress"][2], json!({}));
    let without = planned(&names, json!({}), json!({"networkPolicy": {"enabled": false}}));
    assert!(part(&without, ChildKind::NetworkPolicy).is_none());
}

#[test]
fn selectors_are_name_and_instance_alone_everywhere() {
    let plan = planned(&names(), json!({}), json!({"replicas": 2}));
    let selector = json!({"app.kubernetes.io/name": "aperium-mcp", "app.kubernetes.io/instance": "odoo"});
    assert_eq!(part(&plan, ChildKind::Service).unwrap()["spec"]["selector"], selector);
    for kind in [ChildKind::Deployment, ChildKind::PodDisruptionBudget] {
        assert_eq!(part(&plan, kind).unwrap()["spec"]["selector"]["matchLabels"], selector);
    }
}
