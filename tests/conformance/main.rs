//! The official MCP conformance suite: against a service of ours, and against the gateway in front of a fixture.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "what passed is worth a line")]

mod shim;
mod suite;

use aperium_tests::mcp::{Fixture, Gateway};
use aperium_tests::process::Program;
use aperium_tests::{binaries, http, ports, wait};
use std::collections::BTreeSet;
use std::time::Duration;
use suite::{Revision, Suite};

/// What fits a tools-only server whose tools are not the suite's own, by revision.
const SERVICE_LEGACY: [&str; 4] = ["server-initialize", "ping", "tools-list", "dns-rebinding-protection"];
const SERVICE_MODERN: [&str; 5] =
    ["server-stateless", "tools-list", "caching", "dns-rebinding-protection", "http-header-validation"];

#[tokio::test(flavor = "multi_thread")]
async fn a_service_passes_every_scenario_that_fits_a_tools_only_server_in_both_eras_save_what_the_file_names() {
    const TOKEN: &str = "conformance-token";
    let port = ports::free();
    let address = format!("127.0.0.1:{port}");
    let _service = Program::new("aperium-mcp", binaries::mcp())
        .args(["--connector", "postgres", "--listen", &address])
        .env("MCP_AUTH_TOKEN", TOKEN)
        .spawn();
    let health = format!("http://{address}/healthz");
    wait::until("the service is alive", Duration::from_secs(20), async || http::get(&health, &[]).await.ok().map(drop))
        .await;
    // The suite cannot send a bearer token, and wants a loopback URL for its rebinding test.
    let shim = shim::with_bearer(port, TOKEN).await;
    let suite = Suite::install();
    for (revision, scenarios) in [(Revision::Legacy, &SERVICE_LEGACY[..]), (Revision::Modern, &SERVICE_MODERN)] {
        for scenario in scenarios {
            suite.scenario(&format!("http://127.0.0.1:{shim}/mcp"), revision, scenario).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fixture_itself_passes_everything_in_both_eras() {
    let suite = Suite::install();
    let fixture = Fixture::start().await;
    for revision in [Revision::Legacy, Revision::Modern] {
        suite.server(fixture.url(), revision, &BTreeSet::new()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_passes_what_its_upstream_passes_in_both_eras_save_what_the_file_names() {
    let suite = Suite::install();
    let fixture = Fixture::start().await;
    let gateway = Gateway::before(&[("fixture", fixture.url())]).await;
    for revision in [Revision::Legacy, Revision::Modern] {
        suite.server(&gateway.connector("fixture"), revision, &suite::expected().gateway(revision)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_as_a_client_of_its_upstreams_passes_in_both_eras_save_what_the_file_names() {
    let suite = Suite::install();
    for revision in [Revision::Legacy, Revision::Modern] {
        suite.client(&binaries::built("conformance-driver"), revision, &suite::expected().client(revision)).await;
    }
}
