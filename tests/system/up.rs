//! `aperium up` as a person at a laptop uses it.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use aperium_tests::process::{Process, Program, Signal};
use aperium_tests::{binaries, http, ports, wait};
use std::path::Path;
use std::time::Duration;

const CONNECTOR: &str = "apiVersion: aperium.dev/v1alpha1\nkind: Connector\n";

fn up(folder: &Path, port: u16) -> Process {
    Program::new("aperium-up", binaries::aperium())
        .args(["up", "--listen", &format!("127.0.0.1:{port}")])
        .arg(folder)
        .end_with(Signal::INT)
        .spawn()
}

/// The example, running on a port of its own.
fn example() -> (Process, u16) {
    let port = ports::free();
    let mut process = up(&binaries::repository().join("deploy/examples/laptop"), port);
    process.wait_for_line("Ctrl-C stops", Duration::from_secs(30));
    (process, port)
}

fn bash(line: &str) -> String {
    let output = std::process::Command::new("bash").args(["-c", line]).output().expect("bash runs");
    assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_printed_curl_lines_work_and_ctrl_c_stops_all() {
    let (mut process, port) = example();
    let said = process.log();
    assert!(said.contains("ready in "), "{said}");
    let curls: Vec<&str> = said.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(curls.len(), 3, "{said}");
    assert!(bash(curls[0]).contains("\"gcsdatalake_gcs_list_tables\""), "the tools are listed");
    assert!(bash(curls[1]).contains("\"orders"), "the tables are listed");
    let rows = bash(curls[2]);
    assert!(rows.contains("\"structuredContent\"") && !rows.contains("\"isError\":true"), "a query runs: {rows}");
    let said = process.log();
    assert!(!said.contains("\"WARN\"") && !said.contains("\"ERROR\""), "nothing to warn of: {said}");

    process.signal(Signal::INT);
    let status = process.wait(Duration::from_secs(20)).expect("it ends");
    assert!(status.success(), "{status} {}", process.last_lines());
    std::net::TcpListener::bind(("127.0.0.1", port)).expect("the port is free again");
}

#[test]
fn the_curl_of_the_documentation_lists_the_tools_as_written() {
    let (_process, port) = example();
    let curl = format!(
        "curl --silent --show-error http://127.0.0.1:{port}/v1/mcp \\\n  -H \"Content-Type: application/json\" \\\n  \
         -d '{{\"jsonrpc\": \"2.0\", \"method\": \"tools/list\", \"id\": 1}}'"
    );
    let answer: serde_json::Value = serde_json::from_str(&bash(&curl)).expect("JSON");
    let tools = answer["result"]["tools"].as_array().expect("a tools array");
    assert!(
        tools.iter().all(|tool| tool["name"].as_str().is_some_and(|name| name.starts_with("gcsdatalake_"))),
        "{answer}"
    );
}

#[tokio::test]
async fn a_web_page_cannot_use_it() {
    let (_process, port) = example();
    let url = format!("http://127.0.0.1:{port}/v1/mcp");
    let list = serde_json::json!({"jsonrpc": "2.0", "method": "tools/list", "id": 1});
    for (name, value) in [
        ("host", "evil.example"),
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let reply = http::post_json(&url, &[(name, value)], &list).await.expect("an answer");
        assert_eq!(reply.status, 403, "{name}: {value}: {}", reply.text());
    }
    let plain = http::request("POST", &url, &[("content-type", "text/plain")], list.to_string().into());
    assert_eq!(http::send(plain).await.expect("an answer").status, 415);
}

#[tokio::test]
async fn a_slow_query_ends_with_a_clear_error_while_others_go_on() {
    let (_process, port) = example();
    let url = format!("http://127.0.0.1:{port}/v1/mcp");
    let query = |sql: &str| {
        serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "gcsdatalake_gcs_query_data", "arguments": {"sql": sql}}})
    };
    let slow = query("select repeat('x', 2000000000)");
    let quick = query("select count(*) as orders from orders");
    let (slow, quick) = tokio::join!(http::post_json(&url, &[], &slow), async {
        let answer = http::post_json(&url, &[], &quick).await;
        answer.map(|reply| reply.text().to_owned())
    });
    let slow = slow.expect("an answer");
    assert!(slow.text().contains("\"isError\":true"), "{}", slow.text());
    assert!(quick.expect("an answer").contains("structuredContent"));
}

/// Everything it said, when it ends by itself with a failure.
fn refusal(folder: &Path, port: u16) -> String {
    let mut process = up(folder, port);
    let status = process.wait(Duration::from_secs(20)).expect("it ends by itself");
    assert!(!status.success());
    let said = process.log();
    assert_eq!(said.trim().lines().count(), 1, "one clear line: {said}");
    said
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    for (manifest, wanted) in [
        ("kind: [", "bad.yaml"),
        (
            &*format!("{CONNECTOR}metadata: {{name: a}}\nspec: {{protocol: mcp, url: 'http://up', urll: x}}\n"),
            "spec.urll: unknown field",
        ),
        (
            &*format!("{CONNECTOR}metadata: {{name: a}}\nspec: {{protocol: mcp}}\n"),
            "exactly one of `url` and `service`",
        ),
        (
            &*format!("{CONNECTOR}metadata: {{name: a}}\nspec: {{protocol: mcp, service: {{module: nothing}}}}\n"),
            "nothing",
        ),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", "Pod"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("bad.yaml"), manifest).expect("a manifest");
        let said = refusal(folder.path(), ports::free());
        assert!(said.contains(wanted) && said.starts_with("aperium: "), "{said}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("settings.yaml"), "limits: {maxToolz: 1}\n").expect("settings");
    assert!(refusal(folder.path(), ports::free()).contains("maxToolz"));
    let missing = folder.path().join("nowhere");
    assert!(refusal(&missing, ports::free()).contains("nowhere"));
}

#[test]
fn a_port_in_use_is_said_in_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let said = refusal(&binaries::repository().join("deploy/examples/laptop"), port);
    assert!(said.contains(&format!("127.0.0.1:{port}")) && said.contains("in use"), "{said}");
}

#[tokio::test]
async fn a_dead_remote_server_is_an_error_of_its_tools_and_of_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = ports::free();
    let manifests = format!(
        "{CONNECTOR}metadata: {{name: dead}}\nspec: {{protocol: mcp, url: 'http://127.0.0.1:{nowhere}/mcp'}}\n---\n\
         apiVersion: aperium.dev/v1alpha1\nkind: Grant\nmetadata: {{name: all}}\nspec: {{subjects: ['(loopback)'], connectors: ['**']}}\n"
    );
    std::fs::write(folder.path().join("dead.yaml"), manifests).expect("manifests");
    let port = ports::free();
    let mut process = up(folder.path(), port);
    process.wait_for_line("Ctrl-C stops", Duration::from_secs(30));
    assert!(process.log().contains("unavailable"), "{}", process.log());
    let list = serde_json::json!({"jsonrpc": "2.0", "method": "tools/list", "id": 1});
    let reply = wait::until("the gateway answers", Duration::from_secs(5), async || {
        http::post_json(&format!("http://127.0.0.1:{port}/v1/mcp"), &[], &list).await.ok()
    })
    .await;
    assert_eq!((reply.status, reply.json()["result"]["tools"].clone()), (200, serde_json::json!([])));
}
