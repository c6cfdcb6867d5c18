//! Clients that others wrote, through the gateway: each lists, calls, reads, follows progress and cancels.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod rust;

use aperium_tests::binaries::repository;
use aperium_tests::foreign::Foreign;
use aperium_tests::mcp::{Fixture, Gateway};
use std::path::Path;
use std::time::Duration;

/// Runs a client until its end, which must be a good one, and gives its output.
async fn run(foreign: &Foreign, program: &Path, args: &[&str]) -> String {
    let mut command = tokio::process::Command::new(program);
    let output = command.args(args).current_dir(foreign.folder()).kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(60), output).await;
    let output = output.expect("ends within a minute").expect("the client starts");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{args:?}\n{said}");
    said
}

/// The fixture behind the gateway, as `fixture`.
async fn gateway() -> (Fixture, Gateway) {
    let fixture = Fixture::start().await;
    let gateway = Gateway::before(&[("fixture", fixture.url())]).await;
    (fixture, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_typescript_sdks_work_in_both_eras() {
    let foreign = Foreign::install();
    let (_fixture, gateway) = gateway().await;
    // A script finds its packages beside itself.
    let script = foreign.with_script("clients/typescript.mjs");
    for which in ["v1", "v2", "v2-stateless"] {
        let said = run(&foreign, &foreign.node(), &[&script, which, &gateway.url()]).await;
        assert!(said.contains("all is well"), "{which}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_sdk_works_in_both_eras() {
    let foreign = Foreign::install();
    let (_fixture, gateway) = gateway().await;
    let script = repository().join("tests/clients/python.py");
    for mode in ["legacy", "auto"] {
        let said = run(&foreign, &foreign.python(), &[&script.to_string_lossy(), mode, &gateway.url()]).await;
        assert!(said.contains("all is well"), "{mode}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_of_the_inspector_works() {
    let foreign = Foreign::install();
    let (_fixture, gateway) = gateway().await;
    let inspector = foreign.module("@modelcontextprotocol/inspector/clients/launcher/build/index.js");
    let url = gateway.url();
    for (args, expected) in [
        (&["tools/list"][..], "fixture_test_simple_text"),
        (&["prompts/list"], "fixture_test_simple_prompt"),
        (&["resources/list"], "test://static-text"),
        (
            &["resources/read", "--uri", "fixture-test://static-text"],
            "This is the content of the static text resource.",
        ),
        (&["tools/call", "--tool-name", "fixture_test_simple_text"], "This is a simple text response for testing."),
        (&["tools/call", "--tool-name", "fixture_test_tool_with_progress"], "Tool with progress executed"),
        (&["prompts/get", "--prompt-name", "fixture_test_simple_prompt"], "This is a simple prompt for testing."),
    ] {
        let mut whole = vec![inspector.as_str(), "--cli", &url, "--transport", "http", "--method"];
        whole.extend(args);
        let said = run(&foreign, &foreign.node(), &whole).await;
        assert!(said.contains(expected), "{args:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_sdk_works_in_both_eras() {
    let (_fixture, gateway) = gateway().await;
    for lifecycle in rust::lifecycles() {
        rust::everything(&gateway.url(), lifecycle).await;
    }
}
