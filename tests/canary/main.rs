//! Unique secrets through everything that the programs do: each is found in no log, answer, trace, metric, process list,
//! file or page of a database, the few places aside that are its home. What is legitimately visible must be found.
//!
//! Everything goes over HTTP/1.1, because our listeners speak nothing else: what begins as HTTP/2 is refused, and that is
//! looked at as well (`story/mistakes.rs`). Upstreams are asked for HTTP/2 over TLS alone, by the same requests.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it looked at"
)]

mod bed;
mod client;
mod company;
mod home;
mod manifests;
mod places;
mod story;
mod verdict;

use aperium_tests::process::Signal;
use bed::Bed;
use home::home;
use places::Kind;
use story::{calls, credentials, document, keys, mistakes, people, reads, service};
use verdict::{FILES, nothing_came_out};

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_comes_out_of_aperium_up_with_its_services_and_its_sqlite_file() {
    let bed = Bed::new().await;
    bed.write_manifests("folder");
    bed.write("folder/settings.yaml", &bed.settings().to_string());
    let mut running = bed.up(&[bed.path("folder")], &[]);
    keys::notice(&bed, "data");
    credentials::all(&bed, &running).await;
    credentials::queried(&bed, &running).await;
    calls::all(&bed, &running, &bed.tokens.acme).await;
    mistakes::in_requests(&bed, &running, &bed.tokens.boss).await;
    mistakes::over_http2(&bed, &running).await;
    reads::all(&bed, &running, &bed.tokens.boss).await;
    credentials::revoked(&bed, &running).await;
    mistakes::in_files(&bed);
    keys::commands(&bed, "data");
    // Once while it runs, with what is not in the database file itself yet, and once when it has ended.
    bed.places.add_program("aperium up", &running.process);
    bed.places.add_files(Kind::Pages, &bed.path("data"));
    running.end(&bed, "aperium up", Signal::INT);
    bed.places.add_files(Kind::Pages, &bed.path("data"));
    bed.places.add_files(Kind::File, &bed.path("folder"));
    let secrets = [
        "token of a client",
        "token of an admin",
        "stored password",
        "stored client key",
        "password in a Secret",
        "credential of apibasic",
        "access token of a client",
        "secret over HTTP/2",
        "key that seals",
        "key that signs leases",
    ];
    nothing_came_out(&bed, &FILES, &secrets, home);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_comes_out_of_a_configuration_document_and_the_consent_of_the_person_at_the_machine() {
    let bed = Bed::new().await;
    let settings = serde_json::json!({"telemetry": bed.settings()["telemetry"]});
    let settings = bed.write("settings.yaml", &settings.to_string());
    let file = bed.write("folder/aperium.hujson", &document::of(&bed));
    let variable = bed.planted.plant("secret in a variable");
    let args = ["--config".into(), file, "--settings".into(), settings];
    let mut running = bed.up(&args, &[(document::VARIABLE, &variable)]);
    keys::notice(&bed, "data");
    calls::all(&bed, &running, "").await;
    for connector in ["own", "code"] {
        people::connects(&bed, &running.client, connector).await;
        people::calls(&running, "", connector).await;
    }
    document::changed(&bed, &running).await;
    mistakes::in_requests(&bed, &running, "").await;
    mistakes::over_http2(&bed, &running).await;
    reads::all(&bed, &running, "").await;
    bed.places.add_program("aperium up", &running.process);
    bed.places.add_files(Kind::Pages, &bed.path("data"));
    running.client.ask("", "POST", "/api/connectors/own/disconnect", &serde_json::json!({})).await;
    running.end(&bed, "aperium up", Signal::INT);
    bed.places.add_files(Kind::Pages, &bed.path("data"));
    bed.places.add_files(Kind::File, &bed.path("folder"));
    let secrets = [
        "secret in a document",
        "secret in a variable",
        "credential of code",
        "registered client secret",
        "code of a connector",
        "access token of a user",
        "refresh token of a user",
        "secret over HTTP/2",
    ];
    nothing_came_out(&bed, &FILES, &secrets, home);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_comes_out_of_the_gateway_a_service_and_postgresql() {
    let bed = Bed::new().await;
    bed.write_manifests("folder");
    let (password, mut running) = bed.gateway().await;
    keys::notice_ring(&bed, "keys.json");
    credentials::all(&bed, &running).await;
    calls::all(&bed, &running, &bed.tokens.acme).await;
    let root = people::with_password(&bed, &running, &password).await;
    let alice = people::at_the_issuer(&bed, &running, "alice", "acme").await;
    let agent = bed.company.agents_token("alice", "acme");
    for connector in ["own", "code"] {
        people::connects(&bed, &alice, connector).await;
        people::calls(&running, &agent, connector).await;
    }
    let mut service = service::all(&bed).await;
    mistakes::in_requests(&bed, &running, &bed.tokens.boss).await;
    mistakes::over_http2(&bed, &running).await;
    reads::all(&bed, &running, &bed.tokens.boss).await;
    bed.places.add_program("aperium-gateway", &running.process);
    bed.places.add_program("aperium-mcp", &service.process);
    bed.add_database();
    people::leaves(&alice, "own").await;
    people::leaves(&root, "own").await;
    credentials::revoked(&bed, &running).await;
    running.end(&bed, "aperium-gateway", Signal::TERM);
    service.end(&bed, "aperium-mcp", Signal::TERM);
    bed.add_database();
    bed.places.add_files(Kind::File, &bed.path("folder"));
    let secrets = [
        "stored password",
        "credential of code",
        "registered client secret",
        "code of a sign-in",
        "id token",
        "token of an agent",
        "secret of the sign-in",
        "password of a person",
        "password that is wrong",
        "cookie aperium-session",
        "code of a connector",
        "access token of a user",
        "refresh token of a user",
        "password of the platform",
        "token of a service",
        "password of a service",
        "secret over HTTP/2",
        "key that seals",
    ];
    nothing_came_out(&bed, &[&FILES[..], &[Kind::Rows]].concat(), &secrets, home);
}
