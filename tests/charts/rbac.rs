//! Roles in; every right that nobody here may have out. What each part may do is listed once more, by hand, so that a
//! wider rule in a template is a failed test and not a quiet change.

use crate::render;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

/// Verbs by which a right could be widened or somebody else's be used.
const NEVER: [&str; 4] = ["*", "escalate", "bind", "impersonate"];

/// The one Secret that is ever changed: the operator makes it anew before its certificate ends.
const CERTIFICATE: &str = "aperium-broker-tls";

/// Every forbidden right of a Role or ClusterRole.
fn faults(role: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for rule in list(&role["rules"]) {
        let has = |field: &str, wanted: &str| list(&rule[field]).any(|value| value == wanted);
        for verb in NEVER {
            if has("verbs", verb) {
                faults.push(format!("verb {verb}"));
            }
        }
        if has("resources", "*") || has("apiGroups", "*") || list(&rule["resources"]).any(|r| text(r).ends_with("/*")) {
            faults.push("wildcard".to_owned());
        }
        if !rule["nonResourceURLs"].is_null() {
            faults.push("nonResourceURLs".to_owned());
        }
        if has("resources", "secrets") {
            let own = |verb: &Value| verb == "update" && rule["resourceNames"] == json!([CERTIFICATE]);
            for verb in list(&rule["verbs"]).filter(|verb| !matches!(text(verb), "get" | "create") && !own(verb)) {
                faults.push(format!("{} of secrets", text(verb)));
            }
        }
        let group = |name: &str| has("apiGroups", name);
        if group("rbac.authorization.k8s.io")
            || has("resources", "pods/exec")
            || has("resources", "serviceaccounts/token")
        {
            faults.push(format!("rights over rights: {rule}"));
        }
    }
    faults
}

/// `group/resource: verbs` of every rule, sorted; names in brackets.
fn rights(role: &Value) -> BTreeSet<String> {
    let mut rights = BTreeSet::new();
    for rule in list(&role["rules"]) {
        let verbs: Vec<&str> = list(&rule["verbs"]).map(text).collect();
        let names: Vec<&str> = list(&rule["resourceNames"]).map(text).collect();
        for group in list(&rule["apiGroups"]).map(text) {
            for resource in list(&rule["resources"]).map(text) {
                let group = if group.is_empty() { "core" } else { group };
                rights.insert(format!("{group}/{resource}{names:?}: {}", verbs.join(" ")).replace("[]", ""));
            }
        }
    }
    rights
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn nobody_has_a_forbidden_right_under_any_values() {
    let mut seen = 0;
    for (name, objects) in render::all() {
        for role in render::of_kind(&objects, "Role").chain(render::of_kind(&objects, "ClusterRole")) {
            assert_eq!(faults(role), Vec::<String>::new(), "{name}: {}", role["metadata"]["name"]);
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen} roles looked at");
}

#[test]
fn a_forbidden_right_is_found() {
    let with = |rule: Value| faults(&json!({"rules": [rule]}));
    for (rule, expected) in [
        (json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}), "list of secrets"),
        (json!({"apiGroups": [""], "resources": ["configmaps", "secrets"], "verbs": ["watch"]}), "watch of secrets"),
        (json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["patch"]}), "patch of secrets"),
        (json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["update"]}), "update of secrets"),
        (json!({"apiGroups": ["*"], "resources": ["x"], "verbs": ["get"]}), "wildcard"),
        (json!({"apiGroups": ["a"], "resources": ["*"], "verbs": ["get"]}), "wildcard"),
        (json!({"apiGroups": ["a"], "resources": ["*/status"], "verbs": ["*"]}), "verb *"),
        (json!({"apiGroups": ["a"], "resources": ["roles"], "verbs": ["escalate"]}), "verb escalate"),
        (json!({"nonResourceURLs": ["/metrics"], "verbs": ["get"]}), "nonResourceURLs"),
        (
            json!({"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["create"]}),
            "over rights",
        ),
    ] {
        let found = with(rule.clone());
        assert!(found.iter().any(|fault| fault.contains(expected)), "{rule}: {found:?}");
    }
    assert!(with(json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]})).is_empty());
}

#[test]
fn the_gateway_may_change_its_catalogue_read_tokens_and_write_status() {
    let objects = render::defaults();
    let expected = [
        "aperium.dev/connectors: get list watch create patch delete",
        "aperium.dev/connectors/status: patch",
        "aperium.dev/grants: get list watch create patch delete",
        "core/secrets: get",
        "core/services: get list watch",
        "discovery.k8s.io/endpointslices: list",
    ];
    assert_eq!(rights(render::find(objects, "Role", "aperium-gateway")), expected.map(str::to_owned).into());
    let review = render::find(objects, "ClusterRole", "aperium-gateway-tokenreview-aperium-system");
    assert_eq!(rights(review), ["authentication.k8s.io/tokenreviews: create".to_owned()].into());
}

#[test]
fn the_operator_may_look_after_children_and_make_but_not_list_secrets() {
    let objects = render::defaults();
    let children = "get list watch create patch delete";
    let expected = [
        "aperium.dev/connectors: get list watch".to_owned(),
        "aperium.dev/connectors/finalizers: update".to_owned(),
        "aperium.dev/connectors/status: patch".to_owned(),
        "aperium.dev/grants: get list watch".to_owned(),
        "aperium.dev/grants/status: patch".to_owned(),
        format!("apps/deployments: {children}"),
        format!("autoscaling/horizontalpodautoscalers: {children}"),
        "core/configmaps[\"aperium-cluster\"]: get create patch".to_owned(),
        "core/configmaps[\"aperium-lease-keys\"]: get create patch".to_owned(),
        "core/configmaps[\"aperium-mcp-routing\"]: get list watch create patch".to_owned(),
        "core/secrets: get create".to_owned(),
        format!("core/serviceaccounts: {children}"),
        format!("core/services: {children}"),
        "discovery.k8s.io/endpointslices: get list watch".to_owned(),
        "events.k8s.io/events: create patch".to_owned(),
        format!("networking.k8s.io/networkpolicies: {children}"),
        format!("policy/poddisruptionbudgets: {children}"),
    ];
    assert_eq!(rights(render::find(objects, "Role", "aperium-operator")), expected.into());
    let facts = [
        "core/nodes: list",
        "core/services[\"kubernetes\"]: get",
        "discovery.k8s.io/endpointslices[\"kubernetes\"]: get",
        "networking.k8s.io/servicecidrs: list",
    ];
    let role = render::find(objects, "ClusterRole", "aperium-operator-facts-aperium-system");
    assert_eq!(rights(role), facts.map(str::to_owned).into());
}

#[test]
fn each_leads_by_its_own_lease_in_its_own_namespace() {
    for (part, lease) in [("operator", "aperium-operator"), ("gateway", "aperium-gateway-status")] {
        let role = render::find(render::defaults(), "Role", &format!("aperium-{part}-lease"));
        assert_eq!(role["metadata"]["namespace"], render::NAMESPACE);
        let mut expected: BTreeSet<String> = [
            "coordination.k8s.io/leases: create".to_owned(),
            format!("coordination.k8s.io/leases[{lease:?}]: get update"),
        ]
        .into();
        if part == "operator" {
            expected.insert("core/secrets[\"aperium-broker-tls\"]: update".to_owned());
        }
        assert_eq!(rights(role), expected);
    }
}

#[test]
fn cluster_wide_rights_are_token_reviews_and_the_ranges_of_the_cluster() {
    let (reviews, facts) = ("aperium-gateway-tokenreview-aperium-system", "aperium-operator-facts-aperium-system");
    for (name, objects) in render::all() {
        let bound: BTreeSet<&str> =
            render::of_kind(&objects, "ClusterRoleBinding").map(|binding| text(&binding["metadata"]["name"])).collect();
        let expected = match name.as_str() {
            // The settings name the ranges: nobody need ask.
            "egress-values" => [reviews].into(),
            _ => [facts, reviews].into(),
        };
        assert_eq!(bound, expected, "{name}");
    }
    let expected = [
        "core/nodes: list",
        "core/services[\"kubernetes\"]: get",
        "discovery.k8s.io/endpointslices[\"kubernetes\"]: get",
        "networking.k8s.io/servicecidrs: list",
    ];
    assert_eq!(rights(render::find(render::defaults(), "ClusterRole", facts)), expected.map(str::to_owned).into());
}

#[test]
fn viewers_see_no_secrets_and_only_admins_write_grants() {
    let objects = render::defaults();
    let role = |name: &str| rights(render::find(objects, "ClusterRole", name));
    assert_eq!(
        role("aperium-view"),
        ["connectors", "connectors/status", "grants", "grants/status"]
            .map(|resource| format!("aperium.dev/{resource}: get list watch"))
            .into()
    );
    assert!(role("aperium-edit").iter().all(|right| right.starts_with("aperium.dev/connectors")));
    assert_eq!(
        role("aperium-admin"),
        ["aperium.dev/grants: create update patch delete deletecollection".to_owned()].into()
    );
    let aggregates = |name: &str, to: &str| {
        let labels = &render::find(objects, "ClusterRole", name)["metadata"]["labels"];
        labels[format!("rbac.authorization.k8s.io/aggregate-to-{to}")] == "true"
    };
    assert!(
        aggregates("aperium-view", "view")
            && aggregates("aperium-edit", "edit")
            && aggregates("aperium-admin", "admin")
    );
    assert!(!aggregates("aperium-edit", "view") && !aggregates("aperium-admin", "edit"));
}

#[test]
fn every_rule_says_why_in_a_comment() {
    let mut rules = 0;
    for entry in fs::read_dir(render::chart("aperium").join("templates")).unwrap() {
        let path = entry.unwrap().path();
        let source = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = source.lines().map(str::trim).collect();
        let of_role = |line: &&str| line.starts_with("- apiGroups:");
        for (index, _) in lines.iter().enumerate().filter(|(_, line)| of_role(line)) {
            rules += 1;
            // One comment may stand for the rules right below it, each of three or four lines.
            let reason = lines[..index].iter().rev().take_while(|line| !line.starts_with("rules:"));
            assert!(reason.into_iter().any(|line| line.starts_with("# ")), "{}: rule without a reason", path.display());
        }
    }
    assert!(rules >= 15, "{rules} rules looked at");
}
