//! Which calls are tried again: reads that an admin names, when no connection came about, and once. Nothing else, ever.

use super::super::harness::*;
use super::assert_unavailable;
use aperium_core::egress::Reach;
use aperium_platform::egress::{Answer as Resolved, EgressPolicy, ExternalClient, Resolve};
use axum::response::Response;
use http::{HeaderValue, header};
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A resolver that is asked before every dial. It gives an address where nobody listens for as long as it is told to,
/// and counts how often it is asked.
#[derive(Clone, Default)]
struct Names {
    dials: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
}

impl Resolve for Names {
    fn resolve(&self, _: &str) -> Resolved {
        self.dials.fetch_add(1, Ordering::SeqCst);
        let refused = self.refused.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        // The upstream listens on the one, and on nothing of the other.
        let address = if refused { IpAddr::V6(Ipv6Addr::LOCALHOST) } else { IpAddr::V4(Ipv4Addr::LOCALHOST) };
        Box::pin(std::future::ready(Ok(vec![address])))
    }
}

/// An upstream with two tools and a prompt that is called like one of them. It keeps no connection, so that there is a
/// dial for every request.
async fn upstream() -> Fake {
    Fake::start(|seen: Seen| async move {
        let mut response: Response = match seen.json()["method"].as_str() {
            Some("server/discover") => result(
                &seen,
                &json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {}, "prompts": {} } }),
            ),
            Some("prompts/list") => result(&seen, &json!({ "resultType": "complete", "prompts": [{ "name": "read" }] })),
            Some("prompts/get") => result(&seen, &json!({ "resultType": "complete", "messages": [] })),
            _ => stateless(&seen, &definitions(&["read", "write"])),
        };
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    })
    .await
}

/// A gateway that may try `read` again, and has nothing to ask the upstream of its own accord any more.
async fn gateway(fake: &Fake, names: &Names) -> Gateway {
    let mut setup = Setup::default();
    let policy = EgressPolicy::with_resolver(setup.settings.egress.clone(), names.clone()).unwrap();
    setup.external = Some(ExternalClient::new(policy, Reach::Admin).unwrap());
    let extra = json!({
        "url": format!("http://odoo.example.com:{}/mcp", fake.address.port()),
        "discovery": { "periodSeconds": 3600, "timeoutSeconds": 4 },
        "calls": { "retryableReadTools": ["read"] },
    });
    setup.url("odoo", fake.address, &extra).grant("client:agent", &["**"]).start().await
}

#[tokio::test]
async fn only_a_read_that_an_admin_names_is_tried_again_after_a_refused_connection() {
    let (fake, names) = (upstream().await, Names::default());
    let gateway = gateway(&fake, &names).await;
    for (method, name, refused, dials, carried_out) in [
        ("tools/call", "odoo_read", 0, 1, true),
        ("tools/call", "odoo_read", 1, 2, true),
        ("tools/call", "odoo_read", 2, 2, false),
        ("tools/call", "odoo_write", 1, 1, false),
        ("prompts/get", "odoo_read", 1, 1, false),
    ] {
        let case = format!("{method} {name}, {refused} connections refused");
        let before = fake.count(method);
        names.refused.store(refused, Ordering::SeqCst);
        names.dials.store(0, Ordering::SeqCst);
        let answer = gateway.rpc("/v1/mcp", method, &json!({ "name": name })).await;
        assert_eq!(names.dials.load(Ordering::SeqCst), dials, "{case}: {answer}");
        assert_eq!(fake.count(method) - before, usize::from(carried_out), "{case}: {answer}");
        match (carried_out, method) {
            (true, _) => assert_eq!(answer["result"]["content"][0]["text"], "read", "{case}: {answer}"),
            (false, "tools/call") => assert_unavailable(&answer, "odoo", "upstream_unavailable"),
            (false, _) => assert_ne!(answer["error"], Value::Null, "{case}: {answer}"),
        }
    }
}
