//! The gateway as a client that is known by its metadata document.

use super::world::*;
use aperium_core::caller::{Caller, Principal};
use serde_json::json;
use std::collections::BTreeMap;

const PUBLIC: &str = "https://mcp.example.com";
const REDIRECT: &str = "https://mcp.example.com/aperture/auth/github/callback";

fn open(path: &str) -> axum::extract::Request {
    let builder = axum::extract::Request::builder().uri(path).header("host", "mcp.example.com");
    builder.body(axum::body::Body::empty()).unwrap()
}

#[tokio::test]
async fn the_document_says_what_the_flow_sends_and_comes_before_a_registration() {
    let world = World::start().await;
    let mut setup = world.setup().await;
    setup.settings.hosts.public_url = PUBLIC.to_owned();
    setup.settings.hosts.allowed_hosts = vec!["mcp.example.com".to_owned()];
    let gateway = setup.start().await;
    let people = {
        let snapshot = gateway.state.snapshot.load();
        let entry = snapshot.connectors().iter().find(|entry| entry.config.id.as_str() == "github").cloned();
        entry.unwrap().people.clone().unwrap()
    };
    let (caller, sealer) = (Caller::new(Principal::Loopback), gateway.state.sessions.sealer());
    let begin = async || {
        let url = people.begin(&caller, REDIRECT, "", sealer).await.unwrap();
        url.query_pairs().into_owned().collect::<BTreeMap<String, String>>()
    };
    // A server that says nothing of such documents gets a registration.
    assert_eq!(begin().await["client_id"], "dyn");
    assert_eq!(world.asked("/register"), 1);
    world.mood.lock().unwrap().metadata = json!({ "client_id_metadata_document_supported": true });
    let begun = begin().await;
    assert_eq!(world.asked("/register"), 1, "no other registration");
    let answer = gateway.send(open("/aperture/auth/github/client.json")).await;
    assert_eq!((answer.status, answer.headers["content-type"].to_str().unwrap()), (200, "application/json"));
    let document = answer.json();
    assert_eq!(document["client_id"], begun["client_id"]);
    assert_eq!(document["redirect_uris"], json!([begun["redirect_uri"]]));
    assert_eq!(document["response_types"], json!([begun["response_type"]]));
    assert_eq!(begun["client_id"], "https://mcp.example.com/aperture/auth/github/client.json");
    let iss = world.issuer();
    let query = [("code", "c"), ("state", begun["state"].as_str()), ("iss", iss.as_str())];
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    people.finish(&caller, &query, "", sealer).await.unwrap();
    let form = world.form("/token");
    assert_eq!(
        (document["client_id"].as_str(), document["redirect_uris"][0].as_str()),
        (Some(form["client_id"].as_str()), Some(form["redirect_uri"].as_str()))
    );
    assert_eq!(document["token_endpoint_auth_method"], "none");
    assert!(!form.contains_key("client_secret"));
    let grants = document["grant_types"].as_array().unwrap();
    assert!(grants.contains(&json!(form["grant_type"])) && grants.contains(&json!("refresh_token")));
    // Whether there is such a connector is nobody's business, and nothing else is open.
    assert_eq!(gateway.send(open("/aperture/auth/nobody/client.json")).await.status, 200);
    let loopback = world.gateway().await;
    let mut request = open("/aperture/auth/github/client.json");
    request.headers_mut().insert("host", HOST.parse().unwrap());
    assert_eq!(loopback.send(request).await.status, 404, "without a public URL there is no document");
}
