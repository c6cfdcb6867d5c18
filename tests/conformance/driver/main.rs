//! What the conformance suite starts as "the client under test": `aperium up` with the suite's server as
//! its one connector, and a small client that asks the gateway for what the scenario wants to see. What is judged is
//! the gateway's side towards its upstreams. In the scenarios `auth/*` it is the library with which the gateway gets
//! tokens for its users.
//!
//! Arguments: the URL of the suite's server. The scenario comes with the suite's environment variables.

mod auth;
mod scenarios;

use aperium_tests::mcp::Gateway;
use clap::Parser;

#[derive(Parser)]
struct Args {
    /// The scenario's name.
    #[arg(long, env = "MCP_CONFORMANCE_SCENARIO")]
    scenario: String,
    /// The revision that the suite's server speaks.
    #[arg(long, env = "MCP_CONFORMANCE_PROTOCOL_VERSION")]
    protocol_version: String,
    /// What the scenario gives a client to work with, as JSON.
    #[arg(long, env = "MCP_CONFORMANCE_CONTEXT", default_value = "{}")]
    context: String,
    /// The suite's server.
    url: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let context: serde_json::Value = serde_json::from_str(&args.context)?;
    if args.scenario.starts_with("auth/") {
        return auth::play(&args.protocol_version, &context, &args.url).await;
    }
    let gateway = Gateway::before(&[("upstream", &args.url)]).await;
    scenarios::play(&args.scenario, &args.protocol_version, &context, &gateway.connector("upstream")).await
}
