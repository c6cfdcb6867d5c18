//! Calls of tools and of HTTP APIs, at upstreams that repeat the credential that they were sent.

use crate::bed::{Bed, Running};
use crate::company::TOOLS;
use crate::manifests::SHARED;
use aperium_tests::wait;
use serde_json::json;
use std::time::Duration;

/// Where an HTTP API answers with such a status.
const STATUSES: [&str; 6] = ["items", "302", "401", "403", "429", "500"];

/// All of it, with this token.
pub(crate) async fn all(bed: &Bed, running: &Running, token: &str) {
    let client = &running.client;
    let connectors = [bed.control.as_str(), "bearer", "keyheader", "keyquery", "basic", "client"];
    wait::until("the upstreams are discovered", Duration::from_secs(30), async || {
        let list =
            client.ask(token, "POST", "/v1/mcp", &json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})).await;
        connectors.iter().all(|id| list.text().contains(&format!("\"{id}_echo\""))).then_some(())
    })
    .await;
    let argument = bed.planted.plant("argument of a call");
    for id in connectors {
        for tool in TOOLS {
            let tool = format!("{id}_{tool}");
            for stateless in [true, false] {
                // What a caller sends comes back to it, and is written down nowhere.
                let reply = client.call(token, stateless, &tool, &json!({"what": argument})).await;
                assert!(reply.status < 500 && !reply.body.is_empty(), "{tool}: {} {}", reply.status, reply.text());
            }
        }
    }
    let masked = client.call(token, true, "bearer_text", &json!({})).await;
    assert!(masked.text().contains("******"), "the upstream did repeat it: {}", masked.text());
    for kind in SHARED {
        for status in STATUSES {
            let path = format!("/v1/connectors/api{kind}/{status}?key=of-the-caller&x=1");
            let reply = client.ask(token, "GET", &path, &json!(null)).await;
            assert!(reply.status >= 200, "{path}: {}", reply.status);
        }
        client.ask(token, "POST", &format!("/v1/connectors/api{kind}/items"), &json!({"what": argument})).await;
    }
}
