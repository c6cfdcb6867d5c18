//! The process of `aperium-mcp`: arguments come in, an exit code goes out.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use tokio::net::TcpListener;

use crate::args::{Args, Command};
use crate::config::{ServiceConfig, serve};

/// Wrong arguments.
const USAGE: u8 = 2;

/// A service waits for its upstream; more threads would only cost memory on large nodes.
const MAX_THREADS: usize = 4;

/// Does what the arguments say: 0 after a clean stop, 2 for wrong arguments, 1 for anything else.
#[must_use]
pub fn run(args: Args) -> ExitCode {
    match args.resolve() {
        Ok(Command::Print(text)) => {
            // A closed pipe (`| head`) is no failure of ours.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Ok(Command::Serve(config, address)) => match start(*config, address) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(&error, 1),
        },
        Err(error) => complain(&error.into(), USAGE),
    }
}

fn complain(error: &anyhow::Error, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "aperium-mcp: {error:#}");
    ExitCode::from(code)
}

fn start(config: ServiceConfig, address: SocketAddr) -> anyhow::Result<()> {
    aperium_platform::telemetry::init().context("the logs")?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .context("the runtime")?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let stop = aperium_platform::shutdown::on_signal().context("the signal handlers")?;
        serve(config, listener, stop).await.context("the service ended")
    })
}
