//! People with a browser: sign-in with a password and at an issuer, and connectors that each authorises alone.

use crate::bed::{Bed, Running};
use crate::client::{Client, query};
use aperium_tests::http::Reply;
use aperium_tests::wait;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

/// Signs in with a password, wrong and right.
pub(crate) async fn with_password(bed: &Bed, running: &Running, password: &str) -> Client {
    let browser = running.client.another();
    let wrong = bed.planted.plant("password that is wrong");
    for password in [wrong.as_str(), &format!("{password} "), password] {
        let csrf = browser.csrf("/login").await;
        let fields = [("name", "root"), ("password", password), ("csrf", &csrf), ("return_to", "/")];
        browser.submit("/login", &fields).await;
    }
    // Where the name belongs.
    let csrf = browser.another().csrf("/login").await;
    browser.submit("/login", &[("name", password), ("password", "root"), ("csrf", &csrf)]).await;
    signed_in(&browser, "local:root").await;
    browser
}

/// Signs in at the issuer.
pub(crate) async fn at_the_issuer(bed: &Bed, running: &Running, person: &str, tenant: &str) -> Client {
    let browser = running.client.another();
    let asked = asked(&browser.open("/login/corp").await);
    bed.company.signs_in(person, tenant, &asked["nonce"]);
    back(bed, &browser, "/login/corp/callback", &asked["state"], "code of a sign-in").await;
    signed_in(&browser, person).await;
    browser
}

async fn signed_in(browser: &Client, who: &str) {
    let reply = browser.send("GET", "/api/whoami", &[("sec-fetch-site", "same-origin")], "").await;
    assert!(reply.status == 200 && reply.text().contains(who), "{} {}", reply.status, reply.text());
}

/// Comes back with a code, once more with the same, in another browser, and to a flow that there is not.
async fn back(bed: &Bed, browser: &Client, path: &str, state: &str, name: &str) {
    let (code, issuer) = (bed.planted.plant(name), bed.company.url());
    let led = async |browser: &Client, state: &str| {
        let query = query(&[("code", &code), ("state", state), ("iss", &issuer)]);
        browser.led(&format!("{path}?{query}"), "cross-site").await
    };
    let done = led(browser, state).await;
    assert!(done.status < 400, "{path}: {} {}", done.status, done.text());
    for (browser, state) in [(browser, state), (&browser.another(), state), (browser, "made-up.state")] {
        led(browser, state).await;
    }
}

/// The parameters of the URL that a browser is sent to.
fn asked(reply: &Reply) -> BTreeMap<String, String> {
    let location = reply.header("location").unwrap_or_else(|| panic!("{} {}", reply.status, reply.text()));
    Url::parse(location).expect("a URL").query_pairs().into_owned().collect()
}

/// Refuses to authorise a connector, then authorises it, in the browser of somebody who is signed in or at the machine.
pub(crate) async fn connects(bed: &Bed, browser: &Client, connector: &str) {
    let page = format!("/aperture/auth/{connector}/callback");
    let begun = asked(&browser.open(&format!("/aperture/auth/{connector}/connect")).await);
    let description = bed.planted.plant("description of an error");
    let (state, issuer) = (&begun["state"], bed.company.url());
    let refused =
        query(&[("error", "access_denied"), ("error_description", &description), ("state", state), ("iss", &issuer)]);
    browser.led(&format!("{page}?{refused}"), "cross-site").await;
    let begun = asked(&browser.open(&format!("/aperture/auth/{connector}/connect")).await);
    back(bed, browser, &page, &begun["state"], "code of a connector").await;
    browser.open("/").await;
}

/// Calls with the tokens of a person, which are renewed on the way.
pub(crate) async fn calls(running: &Running, token: &str, connector: &str) {
    // The first token lives for a second.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let echo = format!("{connector}_echo");
    wait::until("the tools are there for this person", Duration::from_secs(20), async || {
        let reply = running.client.call(token, true, &echo, &json!({"what": "back again"})).await;
        reply.text().contains("back again").then_some(())
    })
    .await;
    for tool in crate::company::TOOLS {
        let name = format!("{connector}_{tool}");
        running.client.call(token, true, &name, &json!({"what": "anything"})).await;
    }
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    running.client.ask(token, "POST", &format!("/v1/mcp/{connector}"), &list).await;
}

/// Takes the authorization back, and signs out.
pub(crate) async fn leaves(browser: &Client, connector: &str) {
    let csrf = browser.csrf("/").await;
    browser.submit(&format!("/aperture/auth/{connector}/disconnect"), &[("csrf", &csrf)]).await;
    for path in ["/", "/api/connectors", "/api/audit", "/api/config"] {
        browser.send("GET", path, &[("sec-fetch-site", "same-origin"), ("accept", "text/html")], "").await;
    }
    browser.submit("/logout", &[("csrf", &csrf)]).await;
    let value: Value = json!(null);
    browser.ask("", "GET", "/api/whoami", &value).await;
}
