//! `aperium-mcp`: one connector as a service.

use std::process::ExitCode;

use aperium_mcp_service::args::Args;

fn main() -> ExitCode {
    if let Some(code) = aperium_mcp_service::worker::run_if_asked() {
        return code;
    }
    aperium_mcp_service::run(Args::from_process())
}
