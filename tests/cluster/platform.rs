//! Credentials of tenants on a real cluster: entered through the API, sealed in the platform's database, fetched by the
//! pod through the broker, and by nobody else.

use crate::readable;
use crate::story::api::Admin;
use crate::story::database::{Database, PASSWORD};
use crate::story::gateway::{self, Gateway};
use crate::story::readiness::{Checks, Pod};
use crate::story::{self, SYSTEM, broker, connector, install};
use aperium_tests::canary::Planted;
use aperium_tests::cluster::{Cluster, Options};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn credentials_entered_through_the_api_reach_the_pod_through_the_broker_and_a_rotated_one_without_a_restart() {
    let cluster = Cluster::start(&Options::full().with_audit().with_our_images());
    let (database, planted) = (Database::start(&cluster), Planted::default());
    planted.notice("password", PASSWORD);
    let rotated = planted.plant("password after the rotation");
    installed(&cluster, &database, &planted);
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
    database.rotate(&rotated);
    pod.reports(&Checks::failing("credentials", "AuthFailed")).await;
    connector::says(&cluster, "ledger", "CredentialsAvailable", "False", "AuthFailed");
    let saved = admin.saves("acme", "ledger", &database.fields(&rotated)).await;
    assert_eq!(saved["credential"]["version"], 2);
    pod.reports(&Checks::ready()).await;
    let rows = client.eventually(&acme, "tools/call", &query, |answer| answer.body.contains("Grace"));
    assert!(rows.body.contains("Ada"), "{rows:?}");
    assert_eq!(pod.restarts(), 0, "everything was repaired without a restart");

    only_the_pod_that_a_lease_is_for_gets_anything(&cluster, &planted, &rotated);
    let refused = admin.refused_by_the_broker("ledger").await;
    assert_eq!((&refused["tenant"], &refused["endpoint"]), (&json!("acme"), &json!("broker")), "{refused}");
    assert_eq!(refused["delegate"], format!("pod:{SYSTEM}/aperium-mcp-other"), "{refused}");
    let of_the_gateway = "app.kubernetes.io/name=aperium-gateway";
    let gateway = cluster.kubectl(&["-n", SYSTEM, "logs", "-l", of_the_gateway, "--tail=-1"]);
    assert!(gateway.contains("LeaseForOtherService"), "{gateway}");
    planted.notice_signed("token of an agent", &acme);
    in_secrets(&cluster, &planted);
    readable::holds_none_of(&cluster, &database, &planted, "ledger");
}

/// All that is in a Secret and says something.
fn in_secrets(cluster: &Cluster, planted: &Planted) {
    let template = "go-template={{range .items}}{{range $key, $value := .data}}{{$key}} {{$value}}\n{{end}}{{end}}";
    let listed = cluster.kubectl(&["-n", SYSTEM, "get", "secrets", "-o", template]);
    for (key, value) in listed.lines().filter_map(|line| line.split_once(' ')) {
        let value = STANDARD.decode(value).expect("base64");
        match serde_json::from_slice::<Value>(&value) {
            // A ring: each of its keys.
            Ok(ring) if ring["keys"].is_object() => {
                for key in ring["keys"].as_object().into_iter().flatten().filter_map(|(_, key)| key.as_str()) {
                    planted.notice("key of a ring", STANDARD.decode(key).expect("base64"));
                }
            }
            _ if key == "tls.key" => planted.notice("key of the broker", private_half(&value)),
            _ if key == "mcp_auth_token" => planted.notice("token of a service", value.trim_ascii()),
            _ => {}
        }
    }
    let names = planted.names();
    for name in ["key of a ring", "key of the broker", "token of a service"] {
        assert!(names.contains(name), "there is no {name}");
    }
}

/// Of a P-256 key as PKCS #8, the 32 bytes that nobody may know: an octet string. What stands around them is for everybody.
fn private_half(pem: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(pem).expect("PEM");
    let der: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(der).expect("base64");
    let at = der.windows(2).position(|bytes| bytes == [0x04, 0x20]).expect("a key") + 2;
    der[at..at + 32].to_vec()
}

/// The charts, with a database, two agents and the tenants that they are of.
fn installed(cluster: &Cluster, database: &Database, planted: &Planted) {
    cluster.kubectl(&["create", "namespace", SYSTEM]);
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "aperium-database"},
        "stringData": {"DATABASE_URL": database.for_the_platform(planted)}});
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
fn only_the_pod_that_a_lease_is_for_gets_anything(cluster: &Cluster, planted: &Planted, password: &str) {
    let lease = broker::lease(cluster, "ledger", "acme");
    let other = broker::token_of_the_pod(cluster, "other", "aperium-broker");
    let own = broker::token_of_the_pod(cluster, "ledger", "aperium-broker");
    let for_the_gateway = broker::token_of_the_pod(cluster, "ledger", "aperium");
    let of_the_service = connector::token(cluster, "ledger");
    planted.notice_signed("lease", &lease);
    for token in [&other, &own, &for_the_gateway] {
        planted.notice_signed("token of a pod", token);
    }
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
    assert!(status == 200 && given.contains(password), "the pod itself is given the fields: {status}");
    let again = broker::redeem(cluster, &own, Some(&lease));
    assert_eq!(again, (409, json!({ "error": "LeaseReplayed" }).to_string()));
}
