//! What is running → text for a person, with lines that can be pasted.

use super::state::ConnectorState;
use anyhow::Context;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

/// Prints it.
pub(crate) fn print(connectors: &[ConnectorState], gateway: SocketAddr, took: Duration) -> anyhow::Result<()> {
    let text = text(connectors, gateway, took);
    std::io::stdout().lock().write_all(text.as_bytes()).context("standard output is closed")
}

fn text(connectors: &[ConnectorState], gateway: SocketAddr, took: Duration) -> String {
    let mut text =
        format!("aperium is ready in {:.1} s\n\n  gateway       http://{gateway}/v1/mcp\n", took.as_secs_f64());
    // Writing to a String cannot fail.
    for connector in connectors {
        let state = match &connector.tools {
            Ok(tools) => format!("{tools} tools"),
            Err(reason) => format!("unavailable: {reason}"),
        };
        let _ = writeln!(text, "  {:<13} {state}", connector.id);
    }
    if connectors.is_empty() {
        text.push_str("  no Connector is configured\n");
    }
    text.push_str("\ntry\n");
    for line in curls(connectors, gateway) {
        let _ = writeln!(text, "  {line}");
    }
    text.push_str("\nCtrl-C stops all of it.\n");
    text
}

/// The list, then two calls of the data lake where there is one.
fn curls(connectors: &[ConnectorState], gateway: SocketAddr) -> Vec<String> {
    let post = |body: serde_json::Value| {
        format!("curl -sS http://{gateway}/v1/mcp -H \"Content-Type: application/json\" -d '{body}'")
    };
    let call = |tool: String, arguments: serde_json::Value| {
        let params = serde_json::json!({"name": tool, "arguments": arguments});
        post(serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}))
    };
    let mut lines = vec![post(serde_json::json!({"jsonrpc": "2.0", "method": "tools/list", "id": 1}))];
    let lake = connectors.iter().find(|connector| connector.module.as_deref() == Some("gcs_datalake"));
    if let Some(lake) = lake {
        lines.push(call(format!("{}_gcs_list_tables", lake.id), serde_json::json!({})));
        let sql = "select country, count(*) as customers from customers group by country order by 2 desc";
        lines.push(call(format!("{}_gcs_query_data", lake.id), serde_json::json!({"sql": sql})));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(tools: Result<usize, String>) -> ConnectorState {
        ConnectorState { id: "gcsdatalake".to_owned(), module: Some("gcs_datalake".to_owned()), tools }
    }

    #[test]
    fn the_banner_says_what_runs_and_what_does_not() {
        let states = [state(Ok(5)), state(Err("connection refused".to_owned()))];
        let text = text(&states, "127.0.0.1:8080".parse().unwrap(), Duration::from_millis(1234));
        assert!(text.contains("ready in 1.2 s") && text.contains("5 tools"), "{text}");
        assert!(text.contains("unavailable: connection refused"), "{text}");
        assert_eq!(text.lines().filter(|line| line.trim().starts_with("curl ")).count(), 3);
    }
}
