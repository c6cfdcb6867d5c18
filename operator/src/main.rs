//! The binary `aperium-operator`.

use aperium_operator::args::Args;
use clap::Parser;
use std::process::ExitCode;

/// A wave of new Connectors makes and drops many objects: the system's allocator keeps what that took at its height.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let args = Args::parse();
    if let Err(error) = aperium_platform::telemetry::init() {
        tracing::warn!(%error, "logs are set up already");
    }
    match aperium_operator::run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the operator ends");
            ExitCode::FAILURE
        }
    }
}
