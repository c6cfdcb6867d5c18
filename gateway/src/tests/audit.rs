//! What stays on record of requests, and what is refused because it could not.

use super::broker::{api_server, redeem};
use super::harness::*;
use crate::broker::BrokerConfig;
use aperium_core::id::TenantId;
use aperium_crds::settings::Arguments;
use aperium_platform::lease::{LEASE_HEADER, LeaseSigner};
use aperium_platform::seal::{KeyRing, Sealer};
use aperium_store::audit::{Access, Decision, Filter, Line, Phase};
use aperium_store::{Store, Target};
use axum::body::Body;
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;

mod rounds;

fn store(folder: &TempDir) -> Store {
    Store::open(&Target::Sqlite(folder.path().join("aperium.db")), Sealer::ephemeral().unwrap()).unwrap()
}

/// The agent is of the tenant acme, may use `odoo` and the proxy path of `files`; `other` is an admin without a tenant.
async fn gateway(fake: &Fake, setup: Setup) -> Gateway {
    let mut setup = setup
        .url("odoo", fake.address, &json!({ "calls": { "retryableReadTools": ["search"] } }))
        .http("files", fake.address, "", &Value::Null)
        .grant("client:agent", &["odoo/**", "files/proxy"])
        .grant("client:other", &["odoo/**"]);
    setup.grants[1]["spec"]["role"] = json!("admin");
    setup.settings.authentication.static_tokens[0].tenant = Some(TenantId::parse("acme").unwrap());
    let gateway = setup.start().await;
    while !gateway.state.database.as_ref().unwrap().check().ok {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    gateway
}

/// All records, oldest first, once there are so many.
pub(super) async fn records(store: &Store, count: usize) -> Vec<Line> {
    for _ in 0..200 {
        let page = store.every_tenant().audit_records(&Filter::default(), None, 1000).await.unwrap();
        if page.lines.len() >= count {
            let mut lines = page.lines;
            lines.sort_by_key(|line| (line.tenant.clone(), line.seq));
            return lines;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("there are fewer than {count} records");
}

async fn call(gateway: &Gateway, tool: &str, arguments: &Value) -> Value {
    gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": tool, "arguments": arguments })).await
}

#[tokio::test]
async fn t16_a_read_leaves_one_record_and_a_write_two_of_which_the_first_is_there_before_the_upstream_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let looked = store.clone();
    let fake = Fake::start(move |seen: Seen| {
        let store = looked.clone();
        async move {
            if seen.json()["params"]["name"] == "pay" {
                let page = store.every_tenant().audit_records(&Filter::default(), None, 10).await.unwrap();
                let intent = page.lines.iter().any(|line| line.record.phase == Phase::Intent);
                return result(&seen, &json!({ "content": [], "structuredContent": { "recorded": intent } }));
            }
            stateless(&seen, &definitions(&["search", "pay"]))
        }
    })
    .await;
    let gateway = gateway(&fake, Setup { database: Some(store.clone()), ..Setup::default() }).await;
    let read = call(&gateway, "odoo_search", &json!({ "q": "hunter2" })).await;
    assert!(read["result"].is_object(), "{read}");
    let paid = call(&gateway, "odoo_pay", &json!({ "to": "hunter2" })).await;
    assert_eq!(paid["result"]["structuredContent"]["recorded"], true, "{paid}");

    let lines = records(&store, 3).await;
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            (line.record.tool.as_deref().unwrap(), line.record.phase, line.record.access, &*line.record.outcome)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("search", Phase::Done, Access::Read, "ok"),
            ("pay", Phase::Intent, Access::Write, "pending"),
            ("pay", Phase::Done, Access::Write, "ok"),
        ]
    );
    for line in &lines {
        let record = &line.record;
        assert_eq!((line.tenant.as_str(), record.principal.as_deref()), ("acme", Some("client:agent")));
        assert_eq!((record.connector.as_deref(), record.grant.as_deref()), (Some("odoo"), Some("aperium-system/g0")));
        assert_eq!((&*record.endpoint, &*record.method, record.decision), ("mcp", "tools/call", Decision::Allowed));
    }
    assert_eq!(lines[1].record.request_id, lines[2].record.request_id);
    assert!(lines[0].record.took_ms.is_some() && lines[0].record.status == Some(200));
    let digests: Vec<_> = lines.iter().map(|line| line.record.arguments.as_deref()).collect();
    assert!(digests[0].unwrap().starts_with("hmac-sha256:") && digests[1].is_some() && digests[2].is_none());
    assert!(!format!("{lines:?}").contains("hunter2"));
}

#[tokio::test]
async fn what_is_denied_is_on_record_of_whoever_is_known_and_lists_and_strangers_are_not() {
    let (fake, folder) = (Fake::stateless(&["search"]).await, tempfile::tempdir().unwrap());
    let store = store(&folder);
    let gateway = gateway(&fake, Setup { database: Some(store.clone()), ..Setup::default() }).await;
    gateway.tools("/v1/mcp").await;
    gateway.send(post_as("stolen", "/v1/mcp", "{}")).await;
    call(&gateway, "odoo_missing", &json!({})).await;
    gateway.post("/v1/mcp/hr", r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).await;
    assert_eq!(gateway.send(ask("GET", "/v1/connectors/hr/x")).await.status, 403);
    assert_eq!(gateway.send(ask("GET", "/api/grants")).await.status, 403);
    let mut acting = post("/v1/mcp", "{}");
    acting.headers_mut().insert("x-aperium-tenant", "globex".parse().unwrap());
    assert_eq!(gateway.send_inside(acting).await.status, 400);
    let lines = records(&store, 5).await;
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            let record = &line.record;
            assert_eq!((record.decision, record.principal.as_deref()), (Decision::Denied, Some("client:agent")));
            (&*record.endpoint, record.connector.as_deref(), record.tool.as_deref(), &*record.outcome)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("mcp", Some("odoo"), Some("odoo_missing"), "unknown_tool"),
            ("mcp", Some("hr"), None, "not_found"),
            ("proxy", Some("hr"), None, "denied"),
            ("api", None, Some("/api/grants"), "not_admin"),
            ("mcp", None, None, "refused"),
        ]
    );
}

#[tokio::test]
async fn changes_through_the_api_and_on_proxy_paths_are_on_record() {
    let (fake, folder) = (Fake::stateless(&["search"]).await, tempfile::tempdir().unwrap());
    let store = store(&folder);
    let mut setup = Setup { database: Some(store.clone()), ..Setup::default() };
    setup.settings.audit.arguments = Arguments::Full;
    let gateway = gateway(&fake, setup.service("postgres", fake.address, "service-token")).await;
    let path = "/api/tenants/globex/connectors/postgres/credentials";
    let fields = json!({ "fields": { "host": "db", "database": "erp", "username": "reader", "password": "hunter2" } });
    let mut save = post_as("other-token", path, &fields.to_string());
    *save.method_mut() = http::Method::PUT;
    assert_eq!(gateway.send(save).await.status, 200);
    let mut look = post_as("other-token", path, "");
    *look.method_mut() = http::Method::GET;
    *look.body_mut() = Body::empty();
    assert_eq!(gateway.send(look).await.status, 200);
    gateway.post("/v1/connectors/files/items", "{\"secret\":\"hunter2\"}").await;
    call(&gateway, "odoo_search", &json!({ "q": 7 })).await;
    let lines = records(&store, 4).await;
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            let record = &line.record;
            let (connector, method) = (record.connector.as_deref().unwrap(), &*record.method);
            (&*line.tenant, &*record.endpoint, connector, method, record.phase, record.access)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("acme", "proxy", "files", "POST", Phase::Intent, Access::Write),
            ("acme", "proxy", "files", "POST", Phase::Done, Access::Write),
            ("acme", "mcp", "odoo", "tools/call", Phase::Done, Access::Read),
            ("globex", "api", "postgres", "PUT", Phase::Done, Access::Write),
        ]
    );
    assert_eq!(lines[2].record.arguments.as_deref(), Some(r#"{"q":7}"#), "the settings want them readable");
    assert!(!format!("{lines:?}").contains("hunter2"));
}

#[tokio::test]
async fn t16_a_write_that_cannot_be_put_on_record_is_refused_and_a_read_is_not() {
    let (fake, folder) = (Fake::stateless(&["search", "pay"]).await, tempfile::tempdir().unwrap());
    let store = store(&folder);
    let gateway = gateway(&fake, Setup { database: Some(store.clone()), ..Setup::default() }).await;
    assert!(call(&gateway, "odoo_pay", &json!({})).await["result"]["isError"].is_null());
    let before = fake.count("tools/call");
    store.close().await;
    for _ in 0..2 {
        let refused = call(&gateway, "odoo_pay", &json!({})).await;
        assert_eq!(refused["result"]["structuredContent"]["code"], "audit_unavailable", "{refused}");
    }
    let proxied = gateway.post("/v1/connectors/files/items", "{}").await;
    assert_eq!(proxied.status, 503, "{}", proxied.text);
    assert_eq!(fake.count("tools/call"), before, "the upstream has heard nothing");
    assert!(call(&gateway, "odoo_search", &json!({})).await["result"].is_object());
    let mut scrape = post_as("other-token", "/metrics", "");
    *scrape.method_mut() = http::Method::GET;
    let metrics = gateway.send(scrape).await;
    assert!(
        metrics.text.contains("aperium_gateway_audit_refused_total{reason=\"AuditUnavailable\"}"),
        "{}",
        metrics.text
    );
}

/// A GET of somebody.
async fn get(gateway: &Gateway, token: &str, path: &str) -> Answer {
    let mut request = post_as(token, path, "");
    (*request.method_mut(), *request.body_mut()) = (http::Method::GET, Body::empty());
    gateway.send(request).await
}

#[tokio::test]
async fn auditors_read_what_is_on_record_of_their_tenant_page_by_page_and_users_nothing() {
    let (fake, folder) = (Fake::stateless(&["search"]).await, tempfile::tempdir().unwrap());
    let store = store(&folder);
    let gateway = gateway(&fake, Setup { database: Some(store.clone()), ..Setup::default() }).await;
    for _ in 0..5 {
        call(&gateway, "odoo_search", &json!({})).await;
    }
    call(&gateway, "odoo_missing", &json!({})).await;
    records(&store, 6).await;
    assert_eq!(get(&gateway, TOKEN, "/api/audit").await.status, 403);
    let (mut seen, mut path) = (Vec::new(), "/api/audit?tenant=acme&limit=4".to_owned());
    loop {
        let page = get(&gateway, "other-token", &path).await.json();
        seen.extend(page["records"].as_array().unwrap().iter().map(|record| record["seq"].as_u64().unwrap()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/audit?tenant=acme&limit=4&cursor={next}");
    }
    // 7: the agent's own attempt to read it.
    seen.retain(|seq| *seq <= 6);
    assert_eq!(seen, [6, 5, 4, 3, 2, 1]);
    let denied =
        get(&gateway, "other-token", "/api/audit?decision=denied&connector=odoo&user=client:agent").await.json();
    assert_eq!(denied["records"].as_array().unwrap().len(), 1, "{denied}");
    assert_eq!(denied["records"][0]["tool"], "odoo_missing");
    for bad in ["limit=0", "cursor=x", "decision=maybe", "from=yesterday", "what=1"] {
        let refused = get(&gateway, "other-token", &format!("/api/audit?{bad}")).await;
        assert!((400..=422).contains(&refused.status), "{bad}: {}", refused.status);
    }

    let mut auditor = json!({ "subjects": ["client:agent"], "connectors": ["odoo/**"], "role": "auditor" });
    auditor = json!({ "apiVersion": "aperium.dev/v1alpha1", "kind": "Grant", "spec": auditor,
        "metadata": { "name": "auditor", "namespace": "aperium-system" } });
    gateway.resources(&[], &[auditor]).await;
    gateway.until(|snapshot| snapshot.connectors().is_empty()).await;
    let own = get(&gateway, TOKEN, "/api/audit").await;
    assert_eq!(own.status, 200, "{}", own.text);
    assert!(own.json()["records"].as_array().unwrap().iter().all(|record| record["tenant"] == "acme"));
    assert_eq!(get(&gateway, TOKEN, "/api/audit?tenant=globex").await.status, 403);
}

#[tokio::test]
async fn a_pods_token_used_for_another_connector_is_refused_and_on_record() {
    let (fake, folder) = (Fake::stateless(&["search"]).await, tempfile::tempdir().unwrap());
    let store = store(&folder);
    let signer = LeaseSigner::fixed(KeyRing::generate().unwrap());
    let broker = BrokerConfig::without_credentials(signer).with_store(store.clone());
    let mut setup = Setup { broker, reviewer: Some(api_server()), database: Some(store.clone()), ..Setup::default() };
    setup.settings.authentication.static_tokens[0].tenant = Some(TenantId::parse("acme").unwrap());
    let gateway = setup.service("odoo", fake.address, "service-token").grant("*", &["**"]).start().await;
    while !gateway.state.database.as_ref().unwrap().check().ok {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    call(&gateway, "odoo_search", &json!({})).await;
    let lease = fake.last("tools/call").headers[LEASE_HEADER].to_str().unwrap().to_owned();
    assert_eq!(redeem(&gateway, "pod-of-other", &[&lease]).await.status, 403);
    let lines = records(&store, 3).await;
    let refused = lines.iter().find(|line| line.record.endpoint == "broker").unwrap();
    let record = &refused.record;
    assert_eq!(
        (refused.tenant.as_str(), record.decision, &*record.outcome),
        ("acme", Decision::Denied, "LeaseForOtherService")
    );
    assert_eq!(record.delegate.as_deref(), Some("pod:aperium-system/aperium-mcp-other"));
    assert_eq!((record.principal.as_deref(), record.connector.as_deref()), (Some("client:agent"), Some("odoo")));
    assert_eq!(record.request_id, lines[0].record.request_id, "the request that the lease was made for");
}
