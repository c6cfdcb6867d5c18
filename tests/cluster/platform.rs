//! Credentials of tenants on a real cluster: entered through the API, sealed in the platform's database, fetched by the
//! pod through the broker, and by nobody else.

use crate::story::api::Admin;
use crate::story::database::{Database, PASSWORD};
use crate::story::gateway::{self, Gateway};
use crate::story::readiness::{Checks, Pod};
use crate::story::{self, SYSTEM, broker, connector, install};
use aperium_tests::cluster::{Cluster, Options};
use serde_json::json;

/// What the password is after it was rotated.
const ROTATED: &str = "quite another horse";

#[tokio::test(flavor = "multi_thread")]
async fn credentials_entered_through_the_api_reach_the_pod_through_the_broker_and_a_rotated_one_without_a_restart() {
    let cluster = Cluster::start(&Options::full().with_our_images());
    let database = Database::start(&cluster);
    installed(&cluster, &database);
    for name in ["ledger", "other"] {
        connector::apply_for_tenants(&cluster, name);
    }
    let pod = Pod::of(&cluster, "ledger").await;
    pod.reports(&Checks::failing("credentials", "NotProbed")).await;

    // Tried before they are saved, by the pod, although it is not ready.
    let admin = Admin::of(&cluster);
    let with = |field: &str, value: &str| {
        let mut fields = database.fields(PASSWORD);
        fields[field] = json!(value);
        fields
    };
    for (fields, step) in [
        (with("port", "port"), "\"fields\""),
        (with("host", "nowhere.invalid"), "\"dns\""),
        (with("host", "169.254.169.254"), "\"policy\""),
        (with("port", "1"), "\"tcp\""),
        (with("ca_certificate", &story::database::another_authority()), "\"tls\""),
        (with("password", "no password of this role"), "\"auth\""),
    ] {
        let (works, failed) = admin.tries("acme", "ledger", &fields).await;
        assert!(!works && failed.starts_with(step), "{step}: {failed}");
        assert!(!failed.contains("no password of"), "{failed}");
    }
    assert_eq!(admin.tries("acme", "ledger", &database.fields(PASSWORD)).await, (true, String::new()));
    pod.reports(&Checks::failing("credentials", "NotProbed")).await;

    // Entered: the pod works for this tenant and nobody else.
    let saved = admin.saves("acme", "ledger", &database.fields(PASSWORD)).await;
    assert_eq!((&saved["credential"]["version"], &saved["credential"]["state"]), (&json!(1), &json!("active")));
    pod.reports(&Checks::ready()).await;
    connector::says(&cluster, "ledger", "CredentialsAvailable", "True", "Ok");
    let client = Gateway::from_a_pod(&cluster, "caller");
    let query = json!({"name": "ledger_postgres_run_query", "arguments": {"sql": "select name from customers"}});
    let acme = client.token("acme-agent");
    let rows = client.eventually(&acme, "tools/call", &query, |answer| answer.body.contains("Grace"));
    assert!(rows.body.contains("Ada"), "{rows:?}");
    let theirs = client.rpc(&client.token("globex-agent"), "tools/call", &query);
    assert!(theirs.body.contains("isError\":true") && theirs.body.contains("auth_failed"), "{theirs:?}");

    // The password changes upstream: the pod says what fails, and takes the new one as soon as it is saved.
    database.rotate(ROTATED);
    pod.reports(&Checks::failing("credentials", "AuthFailed")).await;
    connector::says(&cluster, "ledger", "CredentialsAvailable", "False", "AuthFailed");
    let saved = admin.saves("acme", "ledger", &database.fields(ROTATED)).await;
    assert_eq!(saved["credential"]["version"], 2);
    pod.reports(&Checks::ready()).await;
    let rows = client.eventually(&acme, "tools/call", &query, |answer| answer.body.contains("Grace"));
    assert!(rows.body.contains("Ada"), "{rows:?}");
    assert_eq!(pod.restarts(), 0, "everything was repaired without a restart");

    only_the_pod_that_a_lease_is_for_gets_anything(&cluster);
    let refused = admin.refused_by_the_broker("ledger").await;
    assert_eq!((&refused["tenant"], &refused["endpoint"]), (&json!("acme"), &json!("broker")), "{refused}");
    assert_eq!(refused["delegate"], format!("pod:{SYSTEM}/aperium-mcp-other"), "{refused}");
    let stored = database.dump_of_the_platform();
    assert!(stored.contains("acme") && !stored.contains(PASSWORD) && !stored.contains(ROTATED));
    let known = cluster.kubectl(&["get", "configmaps,pods,events,connectors.aperium.dev", "-A", "-o", "json"]);
    let logs = |label: &str| cluster.kubectl(&["-n", SYSTEM, "logs", "-l", label, "--tail=-1"]);
    let gateway = logs("app.kubernetes.io/name=aperium-gateway");
    assert!(gateway.contains("LeaseForOtherService"), "{gateway}");
    for text in [known, gateway, logs("aperium.dev/connector=ledger")] {
        assert!(!text.contains(PASSWORD) && !text.contains(ROTATED), "a password is readable");
    }
}

/// The charts, with a database, two agents and the tenants that they are of.
fn installed(cluster: &Cluster, database: &Database) {
    cluster.kubectl(&["create", "namespace", SYSTEM]);
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "aperium-database"},
        "stringData": {"DATABASE_URL": database.for_the_platform()}});
    cluster.apply_in(SYSTEM, &secret.to_string());
    let agents = ["acme", "globex"].map(|tenant| (format!("{SYSTEM}:{tenant}-agent"), tenant));
    let tenants = serde_json::Map::from_iter(agents.map(|(agent, tenant)| (agent, json!(tenant))));
    let tenants = format!("settings.authentication.serviceAccounts.tenants={}", json!(tenants));
    install::with_helm(cluster, &[&tenants]);
    for agent in ["acme-agent", "globex-agent"] {
        cluster.apply_in(SYSTEM, &gateway::account(agent));
        cluster.apply_in(SYSTEM, &gateway::grant(agent, "ledger/tools/*"));
    }
}

/// A pod's own token and a lease of its own service are needed together, and the lease works once.
fn only_the_pod_that_a_lease_is_for_gets_anything(cluster: &Cluster) {
    let lease = broker::lease(cluster, "ledger", "acme");
    let other = broker::token_of_the_pod(cluster, "other", "aperium-broker");
    let own = broker::token_of_the_pod(cluster, "ledger", "aperium-broker");
    let for_the_gateway = broker::token_of_the_pod(cluster, "ledger", "aperium");
    let of_the_service = connector::token(cluster, "ledger");
    for (token, lease, status, reason) in [
        (&other, Some(lease.as_str()), 403, "LeaseForOtherService"),
        (&own, None, 403, "LeaseMissing"),
        (&for_the_gateway, Some(&lease), 401, "NotAPod"),
        (&of_the_service, Some(&lease), 401, "NotAPod"),
    ] {
        let answer = broker::redeem(cluster, token, lease);
        assert_eq!(answer, (status, json!({ "error": reason }).to_string()));
    }
    let (status, given) = broker::redeem(cluster, &own, Some(&lease));
    assert!(status == 200 && given.contains(ROTATED), "the pod itself is given the fields: {status}");
    let again = broker::redeem(cluster, &own, Some(&lease));
    assert_eq!(again, (409, json!({ "error": "LeaseReplayed" }).to_string()));
}
