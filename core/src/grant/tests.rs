use super::*;
use crate::caller::Principal;
use crate::id::{ConnectorId, TenantId};
use std::str::FromStr as _;

mod matrix;
mod naive;

fn id(text: &str) -> ConnectorId {
    ConnectorId::any(text).unwrap()
}

fn opens(pattern: &str, connector: &str, category: Category, resource: &str) -> bool {
    let connector = id(connector);
    Pattern::from_str(pattern)
        .unwrap()
        .opens(Capability { connector: &connector, category, resource }, &["erp".to_owned()])
}

#[test]
fn the_patterns_of_the_seeds_mean_what_the_seeds_say() {
    assert!(opens("local/tools/*", "local", Category::Tools, "search"));
    assert!(!opens("local/tools/*", "local", Category::Resources, "files://readme.md"));
    assert!(!opens("local/tools/*", "other", Category::Tools, "search"));
    for category in Category::ALL {
        assert!(opens("local/**", "local", category, "x"), "{category:?}");
        assert!(opens("**", "anything", category, "x"), "{category:?}");
        assert!(opens("label:erp", "anything", category, "x"), "{category:?}");
    }
    assert!(opens("github/proxy", "github", Category::Proxy, ""));
    assert!(!opens("github/proxy", "github", Category::Tools, "proxy"));
    assert!(opens("github/**", "github", Category::Proxy, ""));
    assert!(!opens("github/tools/**", "github", Category::Proxy, ""));
    assert!(opens("aperture/**", "aperture", Category::Tools, "list_connectors"));
    assert!(!opens("label:crm", "anything", Category::Tools, "x"));
}

#[test]
fn a_resource_uri_counts_as_one_segment() {
    assert!(opens("local/resources/*", "local", Category::Resources, "files://a/b/c.md"));
    assert!(opens("local/resources/files://a/*", "local", Category::Resources, "files://a/b/c.md"));
    assert!(!opens("local/resources/files://b/*", "local", Category::Resources, "files://a/b"));
}

#[test]
fn an_id_is_compared_as_written() {
    assert!(!opens("Odoo/tools/*", "odoo", Category::Tools, "x"));
    assert!(opens("google*/tools/*", "googleworkspace", Category::Tools, "x"));
}

#[test]
fn malformed_patterns_are_refused_with_the_reason() {
    for bad in [
        "local",
        "local/",
        "local/tools",
        "local/tool/x",
        "local/tools/",
        "/tools/x",
        "a/b/c/d",
        "local/tools/a/b",
        "a-b/tools/x",
        "label:",
        "label:a/b",
        "local/proxy/x",
        "***/x",
        "**/tools/x",
    ] {
        assert!(matches!(Pattern::from_str(bad), Err(GrantError::Form(_))), "{bad}");
    }
    for bad in ["local/tools/[!x]", "local/tools/{a,b}", "local/tools/a?", "local/tools/a\\b", "local/tools/a\n"] {
        assert!(matches!(Pattern::from_str(bad), Err(GrantError::Character(_))), "{bad}");
    }
    assert_eq!(Pattern::from_str(""), Err(GrantError::Length));
    assert_eq!(Pattern::from_str(&"a".repeat(257)), Err(GrantError::Length));
}

#[test]
fn subjects_match_only_what_authentication_said() {
    let mut alice = Caller::new(Principal::Client("ci".into()));
    alice.groups.push("finance".into());
    alice.tags.push("nightly".into());
    alice.tenant = Some(TenantId::parse("acme").unwrap());
    for yes in ["*", "client:ci", "group:finance", "tag:nightly", "tenant:acme"] {
        assert!(Subject::from_str(yes).unwrap().is(&alice), "{yes}");
    }
    for no in ["(loopback)", "client:c", "group:hr", "tag:ci", "tenant:other", "user:ci", "serviceaccount:ns:ci"] {
        assert!(!Subject::from_str(no).unwrap().is(&alice), "{no}");
    }
    let backend = Caller::new(Principal::ServiceAccount { namespace: "apps".into(), name: "backend".into() });
    assert!(Subject::from_str("serviceaccount:apps:backend").unwrap().is(&backend));
    assert!(!Subject::from_str("serviceaccount:other:backend").unwrap().is(&backend));
}

#[test]
fn malformed_subjects_are_refused() {
    for bad in
        ["alice", "user:", "serviceaccount:ns", "serviceaccount:ns:", "serviceaccount:a:b:c", "role:x", "group:a\n"]
    {
        assert!(Subject::from_str(bad).is_err(), "{bad:?}");
    }
}

fn rule(name: &str, reach: Reach, subject: &str, patterns: &[&str]) -> GrantRule {
    GrantRule {
        name: name.into(),
        reach,
        subjects: vec![Subject::from_str(subject).unwrap()],
        role: Role::User,
        patterns: patterns.iter().map(|p| Pattern::from_str(p).unwrap()).collect(),
        read_metrics: false,
        register: false,
    }
}

#[test]
fn nothing_is_open_without_a_grant_and_the_deciding_grant_is_named() {
    let rules = [
        rule("sys/a", Reach::Everywhere, "client:ci", &["odoo/tools/odoo_search_*"]),
        rule("apps/b", Reach::Namespace("apps".into()), "client:ci", &["**"]),
    ];
    let ci = Caller::new(Principal::Client("ci".into()));
    let grants = CallerGrants::of(&ci, &rules).unwrap();
    let odoo = id("odoo");
    let at = |namespace| Granted { id: &odoo, namespace, labels: &[] };
    assert_eq!(grants.allowing(at("sys"), Category::Tools, "odoo_search_x").unwrap().name, "sys/a");
    assert!(grants.allowing(at("sys"), Category::Tools, "odoo_create_x").is_none());
    assert_eq!(grants.allowing(at("apps"), Category::Tools, "odoo_create_x").unwrap().name, "apps/b");
    assert_eq!(CallerGrants::of(&Caller::new(Principal::Loopback), &rules).unwrap_err(), NoGrant);
    assert_eq!(NoGrant.to_string(), "access denied: no role granted");
}

#[test]
fn the_highest_role_wins() {
    let mut admin = rule("sys/admin", Reach::Everywhere, "*", &[]);
    admin.role = Role::Admin;
    let rules = [rule("sys/user", Reach::Everywhere, "*", &[]), admin];
    let grants = CallerGrants::of(&Caller::new(Principal::Loopback), &rules).unwrap();
    assert_eq!(grants.role(), Role::Admin);
}
