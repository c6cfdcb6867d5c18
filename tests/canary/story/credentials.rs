//! Credentials of tenants, entered and taken away by an admin.

use crate::bed::{Bed, Running};
use crate::manifests::fields;
use aperium_tests::wait;
use serde_json::{Value, json};
use std::time::Duration;

/// Of this tenant for the ledger.
fn path(tenant: &str) -> String {
    format!("/api/tenants/{tenant}/connectors/ledger/credentials")
}

/// Two tenants get passwords, one of them a wrong one first; somebody who may not tries as well.
pub(crate) async fn all(bed: &Bed, running: &Running) {
    let (client, boss) = (&running.client, &bed.tokens.boss);
    wait::until("the database is ready", Duration::from_secs(30), async || {
        let reply = client.ask(boss, "GET", "/api/tenants", &Value::Null).await;
        (reply.status == 200).then_some(())
    })
    .await;
    // Each is tried before it is saved.
    let put = async |token: &str, tenant: &str, body: Value| {
        client.ask(token, "POST", &format!("{}/test", path(tenant)), &body).await;
        client.ask(token, "PUT", &path(tenant), &body).await
    };
    let wrong = bed.planted.plant("stored password that is wrong");
    let key = bed.planted.plant("stored client key");
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n");
    let mut with_key = fields(&bed.database, &wrong);
    with_key["client_key"] = json!(pem);
    for body in [json!({"fields": with_key}), json!({"fields": fields(&bed.database, &wrong)})] {
        put(boss, "acme", body.clone()).await;
        assert_eq!(put(&bed.tokens.acme, "acme", body.clone()).await.status, 403);
        assert_eq!(put(&bed.tokens.wrong, "acme", body).await.status, 401);
    }
    // A value in a place where it is not expected.
    let mut nowhere = fields(&bed.database, &wrong);
    nowhere["pasword"] = json!(wrong);
    let list = json!({"host": [wrong], "password": [wrong]});
    let inside = json!({"password": {"value": wrong}});
    for fields in [nowhere, list, inside, json!(wrong), json!([wrong]), json!({"password": format!("{wrong}\n")})] {
        put(boss, "globex", json!({"fields": fields})).await;
    }
    put(boss, "globex", json!({"password": wrong, "fields": {}})).await;
    put(boss, "globex", json!({"fields": {}, "expires_at": wrong})).await;
    let headers = [("authorization", format!("Bearer {boss}")), ("content-type", "application/json".to_owned())];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    for body in [format!("{{\"fields\": {{\"password\": \"{wrong}"), format!("{{\"fields\": {wrong}}}"), wrong.clone()]
    {
        client.send("PUT", &path("globex"), &headers, &body).await;
    }
    for (tenant, password) in ["acme", "globex"].iter().zip(&bed.passwords) {
        let saved = put(boss, tenant, json!({"fields": fields(&bed.database, password)})).await;
        assert_eq!(saved.status, 200, "{}", saved.text());
    }
    assert_eq!(client.ask(boss, "GET", &path("acme"), &Value::Null).await.status, 200);
}

/// Queries with the stored passwords and with one of a Secret: one tenant's is right, and the other's is not.
pub(crate) async fn queried(bed: &Bed, running: &Running) {
    let client = &running.client;
    // What is asked is nobody's but the caller's.
    let argument = bed.planted.plant("argument of a call");
    let query = json!({"sql": format!("select 40 + 2 as answer where '{argument}' <> ''")});
    let answered = async |token: &str, tool: &str, right: bool| {
        wait::until(&format!("{tool} answers {right}"), Duration::from_secs(30), async || {
            let reply = client.call(token, false, tool, &query).await;
            let text = reply.text();
            (if right { text.contains("42") } else { text.contains("auth_failed") }).then_some(())
        })
        .await;
    };
    answered(&bed.tokens.acme, "books_postgres_run_query", true).await;
    answered(&bed.tokens.acme, "ledger_postgres_run_query", true).await;
    answered(&bed.tokens.globex, "ledger_postgres_run_query", false).await;
    for sql in [
        format!("select {argument} from nowhere where it = 'x'"),
        format!("select '{argument}"),
        format!("select '{argument}'::int"),
        format!("{argument}; select 1"),
        format!("do $$ begin raise notice '{argument}'; end $$"),
    ] {
        client.call(&bed.tokens.acme, true, "ledger_postgres_run_query", &json!({"sql": sql})).await;
    }
}

/// Gone.
pub(crate) async fn revoked(bed: &Bed, running: &Running) {
    let gone = running.client.ask(&bed.tokens.boss, "DELETE", &path("globex"), &Value::Null).await;
    assert_eq!(gone.status, 204, "{}", gone.text());
    running.client.ask(&bed.tokens.boss, "DELETE", "/api/tenants/globex", &Value::Null).await;
}
