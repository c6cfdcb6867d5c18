//! The Prefect connector against a real Prefect server, with a real process that executes the runs it starts.
//!
//! One server serves all chapters; they run at the same time and touch different things. When the server cannot be had,
//! the test fails. Its database is PostgreSQL, as in production: on SQLite, Prefect answers 503 to writes that meet, and
//! leaves it to its clients to try again, which ours never do.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this is a test: what fails, fails it, and it says how far it got"
)]

#[path = "prefect/proxy.rs"]
mod proxy;
#[path = "prefect/reads.rs"]
mod reads;
#[path = "prefect/server.rs"]
mod server;
#[path = "prefect/service.rs"]
mod service;
#[path = "prefect/upstream.rs"]
mod upstream;
#[path = "prefect/writes.rs"]
mod writes;

use aperium_mcp_service::connector::ErrorCode;
use aperium_tests::postgres::Postgres;
use serde_json::json;
use server::Server;
use tokio::task::JoinHandle;
use upstream::Prefect;

const AUTH: &str = "admin:s3cret-of-the-test";

/// A chapter that runs beside the others.
macro_rules! chapters {
    ($prefect:expr; $($module:ident :: $name:ident),+ $(,)?) => {
        vec![$((stringify!($name), tokio::spawn($module::$name($prefect.clone())))),+]
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tool_works_with_a_real_server() {
    let postgres = Postgres::start();
    let database = server::database(&postgres);
    let settings = [("PREFECT_SERVER_API_AUTH_STRING", AUTH), ("PREFECT_API_DATABASE_CONNECTION_URL", &database)];
    let server = Server::start(&settings).await;
    let runner = server.serve_flow(AUTH);
    let prefect = Prefect::new(&server, AUTH);
    prefect.seed().await;
    finish(chapters![prefect;
        reads::flows_and_deployments_are_listed_and_shown,
        reads::a_name_may_hold_any_character,
        reads::a_list_of_more_than_one_request_is_paged_to_its_end,
        reads::work_pools_and_automations_are_listed_without_their_secrets,
        reads::the_dashboard_counts_what_is_there,
        reads::what_does_not_exist_is_not_found_and_never_an_empty_list,
        reads::refused_credentials_are_auth_failed,
        writes::a_deployment_runs_to_its_end_once_however_often_the_call_arrives,
        writes::a_failed_run_shows_why_and_can_be_retried,
        writes::a_running_run_is_cancelled_and_cannot_be_retried,
        writes::a_run_that_nobody_picked_up_is_cancelled_at_once,
        writes::schedules_are_paused_and_resumed,
        writes::a_variable_is_made_and_then_replaced,
        writes::a_write_finds_a_connection_after_the_server_closed_the_idle_ones,
        writes::wrong_arguments_are_the_callers_to_change,
        proxy::a_workspace_of_the_cloud_is_reached_below_its_path_with_its_key,
        service::readiness_tells_good_from_refused_from_unreachable,
    ])
    .await;
    prefect.check_answers(&server);
    drop(runner);
    drop(server);
    drop(postgres);
    let error = prefect.call("prefect_list_flows", json!({})).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::UpstreamUnavailable, "{error}");
    assert_eq!(prefect.probe().await.unwrap_err().code, ErrorCode::UpstreamUnavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_server_that_wants_csrf_tokens_gets_them() {
    let server = Server::start(&[("PREFECT_SERVER_CSRF_PROTECTION_ENABLED", "true")]).await;
    let prefect = Prefect::new(&server, "");
    prefect.probe().await.unwrap();
    let set = prefect.call("prefect_set_variable", json!({"name": "a", "value": 1})).await.unwrap();
    assert_eq!(set["created"], true);
    let page = prefect.call("prefect_list_flows", json!({})).await.unwrap();
    assert_eq!(page, json!({"items": [], "truncated": false}));
}

/// Waits for all chapters, so that a failing one does not hide the others.
async fn finish(chapters: Vec<(&str, JoinHandle<()>)>) {
    let mut failed = Vec::new();
    for (name, chapter) in chapters {
        match chapter.await {
            Ok(()) => println!("chapter {name} ... ok"),
            Err(_) => failed.push(name),
        }
    }
    assert!(failed.is_empty(), "failed chapters: {failed:#?}");
}
