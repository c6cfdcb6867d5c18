//! The corpus of hostile URLs as Connectors, and redirects: nothing of it is reached (security S1).

use super::harness::*;
use crate::catalog::Resources;
use crate::discovery::Event;
use crate::snapshot::Health;
use aperium_crds::{Connector, Settings};
use axum::response::IntoResponse as _;
use http::StatusCode;
use serde_json::{Value, json};
use std::sync::Arc;

/// Connectors as serde reads them: what the schema would refuse must be refused further in as well.
fn connectors(urls: &[String], protocol: &str) -> Vec<Arc<Connector>> {
    let letter = &protocol[..1];
    let made = urls.iter().enumerate().map(|(number, url)| {
        let spec =
            json!({ "protocol": protocol, "url": url, "discovery": { "periodSeconds": 3600, "timeoutSeconds": 9 } });
        Arc::new(serde_json::from_value(connector(&format!("{letter}{number}"), &spec)).unwrap())
    });
    made.collect()
}

#[tokio::test]
async fn no_url_of_the_corpus_is_reached_as_a_connector() {
    let canary = Origin::start(|_| async { "reached".into_response() }).await;
    // On the canary's port, wherever the text is a URL at all.
    let urls: Vec<String> = include_str!("../../../platform/src/egress/tests/ssrf_urls.txt")
        .lines()
        .map(|line| match url::Url::parse(line).ok().filter(url::Url::has_host) {
            Some(mut url) => {
                let _ = url.set_port(Some(canary.address.port()));
                url.to_string()
            }
            None => line.to_owned(),
        })
        .collect();
    assert_eq!(urls.len(), 259);
    let mut setup = Setup { settings: Settings::default(), ..Setup::default() };
    setup.settings.authentication = Setup::default().settings.authentication;
    setup.settings.egress.deny_private = true;
    let gateway = setup.grant("client:agent", &["**"]).start().await;
    let mut all = connectors(&urls, "mcp");
    all.extend(connectors(&urls, "http"));
    let grants: Vec<Arc<aperium_crds::Grant>> = vec![Arc::new(
        serde_json::from_value(json!({
            "apiVersion": "aperium.dev/v1alpha1", "kind": "Grant", "metadata": { "name": "g", "namespace": "aperium-system" },
            "spec": { "subjects": ["*"], "connectors": ["**"] },
        }))
        .unwrap(),
    )];
    gateway.tell(Event::Resources(Resources { connectors: all, grants })).await;
    gateway
        .until(|snapshot| {
            let ours: Vec<_> =
                snapshot.connectors().iter().filter(|entry| entry.config.id.as_str() != "aperture").collect();
            ours.len() > 200 && ours.iter().all(|entry| entry.health != Health::Pending)
        })
        .await;
    let snapshot = gateway.state.snapshot.load_full();
    let (mut refused, mut asked) = (snapshot.catalog.refused.len(), 0);
    for entry in snapshot.connectors() {
        let id = entry.config.id.as_str();
        if id.starts_with('m') {
            assert!(
                matches!(entry.health, Health::Unavailable { .. }),
                "{id} {:?} {:?}",
                entry.config.place,
                entry.health
            );
            refused += 1;
        } else if id.starts_with('h') {
            let answer = gateway.send(ask("GET", &format!("/v1/connectors/{id}/"))).await;
            assert_eq!(answer.status, 502, "{id} {:?} {answer:?}", entry.config.place);
            assert!(!answer.text.contains("127.0.0.1"), "{answer:?}");
            asked += 1;
        }
    }
    assert_eq!(refused + asked, 2 * 259);
    assert!(asked > 150, "{asked}");
    assert!(canary.asked().is_empty());
}

#[tokio::test]
async fn a_redirect_is_followed_by_nobody() {
    let trap = Origin::start(|_| async { "caught".into_response() }).await;
    let address = trap.address;
    for status in [301_u16, 302, 303, 307, 308] {
        let redirect = move || async move {
            let to = format!("http://{address}/");
            (StatusCode::from_u16(status).unwrap(), [("location", to.clone()), ("refresh", format!("0; url={to}"))])
                .into_response()
        };
        let origin = Origin::start(move |_| redirect()).await;
        let setup =
            Setup::default().url("odoo", origin.address, &Value::Null).http("api", origin.address, "", &Value::Null);
        let gateway = setup.grant("client:agent", &["**"]).start().await;
        assert!(gateway.tools("/v1/mcp/odoo").await.is_empty(), "{status}");
        let answer = gateway.send(ask("GET", "/v1/connectors/api/x")).await;
        assert_eq!((answer.status, answer.headers.get("location")), (502, None), "{status}");
        assert!(!origin.asked().is_empty());
    }
    assert!(trap.asked().is_empty());
}
