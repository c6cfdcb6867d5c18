//! The whole system on a real cluster: installed, called from a pod, broken, repaired, removed.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod platform;
mod readable;
mod story;

use aperium_tests::cluster::{Cluster, Options};
use serde_json::json;
use std::time::Duration;
use story::database::Database;
use story::gateway::{Answer, Gateway};
use story::readiness::{Checks, Pod};
use story::{SYSTEM, install};

/// The tests share one installation; each has Connectors of its own.
async fn installed() -> &'static Cluster {
    static DONE: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    let cluster = Cluster::shared();
    DONE.get_or_init(|| async { install::from_manifests(cluster) }).await;
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn an_applied_connector_becomes_ready_and_a_pod_calls_its_tools_as_far_as_it_is_granted() {
    let cluster = installed().await;
    let database = Database::start(cluster);
    story::connector::apply_the_example(cluster, &database);
    story::connector::becomes_ready(cluster, "postgres", 15 - 4);

    let gateway = Gateway::from_a_pod(cluster, "caller");
    let granted = gateway.token("aperium-client");
    let query = json!({"name": "postgres_run_query", "arguments": {"sql": "select name from customers order by name"}});
    // The pod is ready; the gateway finds its tools with the next poll.
    let rows = gateway.eventually(&granted, "tools/call", &query, |answer| !answer.body.contains("isError\":true"));
    assert!(rows.body.contains("Ada") && rows.body.contains("Grace"), "{rows:?}");
    let listed = gateway.rpc(&granted, "tools/list", &json!({}));
    assert!(listed.body.contains("postgres_run_query") && !listed.body.contains("postgres_delete_rows"), "{listed:?}");

    // Somebody who was granted something else: the tool is not there, and calling it says just that.
    cluster.apply_in(SYSTEM, &story::gateway::account("other"));
    cluster.apply_in(SYSTEM, &story::gateway::grant("other", "prefect/tools/*"));
    let other = gateway.token("other");
    let listed = gateway.eventually(&other, "tools/list", &json!({}), |answer| answer.status == 200);
    assert!(!listed.body.contains("postgres_"), "{listed:?}");
    let denied = gateway.rpc(&other, "tools/call", &query);
    let unknown = gateway.rpc(&other, "tools/call", &json!({"name": "nowhere_nothing", "arguments": {}}));
    assert_eq!(denied.body, unknown.body.replace("nowhere_nothing", "postgres_run_query"), "denied reads as unknown");
    assert!(denied.body.contains("Unknown tool"), "{denied:?}");

    // Nobody in particular, and nobody at all.
    cluster.apply_in(SYSTEM, &story::gateway::account("stranger"));
    assert_eq!(
        gateway.rpc(&gateway.token("stranger"), "tools/list", &json!({})),
        Answer { status: 403, body: r#"{"error":"access denied: no role granted"}"#.to_owned() }
    );
    assert_eq!(gateway.rpc("", "tools/list", &json!({})).status, 401);
    assert_eq!(gateway.service("postgres", 8088, "not-the-token").status, 401);
    assert_eq!(gateway.service("postgres", 8088, &story::connector::token(cluster, "postgres")).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_names_what_is_missing_and_comes_back_without_a_restart() {
    let cluster = installed().await;
    let mut database = Database::start(cluster);
    story::connector::apply_for_repairs(cluster, "repairs");
    let gateway_before = story::gateway::restarts(cluster);

    let pod = Pod::of(cluster, "repairs").await;
    pod.reports(&Checks::failing("authToken", "TokenMissing")).await;
    story::connector::set_key(cluster, "repairs-token", "mcp_auth_token", "first");
    pod.reports(&Checks::failing("credentials", "CredentialsMissing")).await;
    story::connector::set_credentials(cluster, "repairs-credentials", &database, "wrong password");
    pod.reports(&Checks::failing("credentials", "AuthFailed")).await;
    story::gateway::says_unavailable(cluster, "repairs").await;
    story::connector::set_credentials(cluster, "repairs-credentials", &database, story::database::PASSWORD);
    pod.reports(&Checks::ready()).await;
    database.stop();
    pod.reports(&Checks::failing("credentials", "UpstreamUnreachable")).await;
    story::connector::says(cluster, "repairs", "CredentialsAvailable", "False", "UpstreamUnreachable");
    database.start_again();
    pod.reports(&Checks::ready()).await;

    // Rotation: old and new are valid together, then only the new one.
    story::connector::set_key(cluster, "repairs-token", "mcp_auth_token", "second\nfirst");
    pod.accepts("second").await;
    assert_eq!(pod.status_with("first").await, 200);
    story::connector::set_key(cluster, "repairs-token", "mcp_auth_token", "second");
    pod.refuses("first").await;
    assert_eq!(pod.status_with("second").await, 200);

    assert_eq!(pod.restarts(), 0, "everything was repaired without a restart");
    assert_eq!(story::gateway::restarts(cluster), gateway_before, "the gateway stayed up throughout");
    story::gateway::is_ready(cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_connector_takes_its_children_and_nothing_else_and_a_restarted_operator_writes_nothing() {
    // A cluster of its own: what others repair or break would be written about.
    let cluster = Cluster::start(&Options::full().with_audit().with_our_images());
    install::from_manifests(&cluster);
    for name in ["staying", "leaving"] {
        story::connector::apply_for_repairs(&cluster, name);
        story::connector::has_children(&cluster, name);
    }
    story::connector::says(&cluster, "staying", "CredentialsAvailable", "False", "TokenMissing");
    let staying = story::connector::children(&cluster, "staying");
    cluster.kubectl(&["-n", SYSTEM, "delete", "connectors.aperium.dev/leaving", "--wait=true", "--timeout=60s"]);
    story::connector::has_no_children(&cluster, "leaving");
    assert_eq!(story::connector::children(&cluster, "staying"), staying, "nothing else is touched");
    let secrets = cluster.kubectl(&["-n", SYSTEM, "get", "secrets", "-o", "name"]);
    assert!(secrets.contains("secret/leaving-token"), "a Secret of one's own is nobody else's to delete: {secrets}");

    story::operator::writes_nothing_while_it_restarts(&cluster, Duration::from_secs(20));
    assert_eq!(story::connector::children(&cluster, "staying"), staying, "the restart changed nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_installs_the_same() {
    let cluster = Cluster::start(&Options::full().with_our_images());
    install::with_helm(&cluster, &[]);
    let database = Database::start(&cluster);
    story::connector::apply_the_example(&cluster, &database);
    story::connector::becomes_ready(&cluster, "postgres", 15 - 4);
    let gateway = Gateway::from_a_pod(&cluster, "caller");
    let query = json!({"name": "postgres_run_query", "arguments": {"sql": "select 40 + 2 as answer"}});
    let token = gateway.token("aperium-client");
    let rows = gateway.eventually(&token, "tools/call", &query, |answer| !answer.body.contains("isError\":true"));
    assert!(rows.body.contains("42"), "{rows:?}");
}
