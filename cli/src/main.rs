//! `aperium`: the whole system on a laptop, and small tools for admins.

mod args;
mod audit;
mod config;
mod crds;
mod database;
mod explain;
mod keys;
mod password;
mod remote;
mod token;
mod up;

use args::{Args, Command};
use clap::Parser;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A service of this process may have started this binary again to run somebody's SQL in a child.
    if let Some(code) = aperium_mcp_service::worker::run_if_asked() {
        return code;
    }
    let done = match Args::parse().command {
        Command::Audit(command) => audit::run(&command),
        Command::Up(args) => up::run(&args),
        Command::Config(command) => config::run(&command),
        Command::Crds => crds::print(),
        Command::Explain(args) => explain::run(&args),
        Command::Keys(command) => keys::run(&command),
        Command::Password => password::print(),
        Command::Token => token::print(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One line: causes follow their effect after a colon.
            let _ = writeln!(std::io::stderr(), "aperium: {error:#}");
            ExitCode::FAILURE
        }
    }
}
