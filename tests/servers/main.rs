//! Servers that others wrote, behind the gateway: all that they offer is there with their prefix and answers; what stops
//! is unregistered, and what starts again is back, within six seconds each.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use aperium_tests::binaries::repository;
use aperium_tests::foreign::Foreign;
use aperium_tests::mcp::{Client, Gateway};
use aperium_tests::process::{Process, Program};
use aperium_tests::{http, ports, wait};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How soon a change must be seen.
const SOON: Duration = Duration::from_secs(6);
/// What the gateway may take to answer while a test waits for a change.
const PAUSE: Duration = Duration::from_millis(100);

/// The ways in which a server is started.
#[derive(Clone, Copy)]
enum Kind {
    Everything,
    /// Over the transport of 2024-11-05.
    EverythingSse,
    FastMcp,
}

impl Kind {
    fn path(self) -> &'static str {
        if matches!(self, Self::EverythingSse) { "/sse" } else { "/mcp" }
    }

    fn program(self, foreign: &Foreign, port: u16) -> Program {
        let everything = foreign.module("@modelcontextprotocol/server-everything/dist/index.js");
        let node = |mode: &str| {
            Program::new(mode, foreign.node()).arg(everything.clone()).arg(mode).env("PORT", port.to_string())
        };
        match self {
            Self::Everything => node("streamableHttp"),
            Self::EverythingSse => node("sse"),
            Self::FastMcp => Program::new("fastmcp", foreign.python())
                .arg(repository().join("tests/servers/fastmcp_server.py"))
                .arg(port.to_string()),
        }
    }

    /// Starts it and waits until it takes connections.
    async fn start(self, foreign: &Foreign, port: u16) -> Process {
        let process = self.program(foreign, port).spawn();
        wait::until("the server listens", Duration::from_secs(30), async || {
            http::connect(([127, 0, 0, 1], port).into()).await.ok().map(drop)
        })
        .await;
        process
    }
}

/// Nothing is asked of this client.
fn nothing(_: &Value) -> Value {
    json!({})
}

fn client(url: &str) -> Client {
    Client::stateless(url, "2026-07-28", nothing)
}

/// The names or URIs of a list.
async fn listed(client: &mut Client, method: &str, list: &str, field: &str) -> Vec<String> {
    let result = client.request(method, json!({})).await.expect("a list");
    let entries = result[list].as_array().expect("entries").iter();
    entries.map(|entry| entry[field].as_str().expect("a name").to_owned()).collect()
}

/// Arguments that each tool takes.
fn arguments(tool: &str) -> Value {
    match tool.split_once('_').map_or(tool, |(_, name)| name) {
        "echo" => json!({"message": "hello"}),
        "get-sum" => json!({"a": 2, "b": 3}),
        "add" => json!({"a": 2, "b": 3}),
        "shout" => json!({"text": "hello"}),
        "get-annotated-message" => json!({"messageType": "success"}),
        "get-structured-content" => json!({"location": "New York"}),
        "trigger-long-running-operation" => json!({"duration": 1, "steps": 2}),
        // Its own default is a file on the internet.
        "gzip-file-as-resource" => json!({"name": "a.gz", "data": "data:text/plain,hello", "outputType": "resource"}),
        "simulate-research-query" => json!({"topic": "tea"}),
        _ => json!({}),
    }
}

/// The server's own words for a tool that can only be called as a task, which is nothing that the gateway offers.
const TASKS_ONLY: &str = "requires task augmentation";

/// Calls every tool, reads every resource and gets every prompt of the endpoint; what fails, with its answer.
async fn failures(client: &mut Client, prefix: &str) -> Vec<String> {
    let mut failures = Vec::new();
    let mut check = |what: &str, answer: Result<Value, anyhow::Error>| match answer {
        Ok(result) if result.get("isError") != Some(&json!(true)) || result.to_string().contains(TASKS_ONLY) => {}
        Ok(result) => failures.push(format!("{what}: {result}")),
        Err(error) => failures.push(format!("{what}: {error:#}")),
    };
    for tool in listed(client, "tools/list", "tools", "name").await {
        assert!(tool.starts_with(&format!("{prefix}_")), "{tool}");
        let answer = client.call(&tool, arguments(&tool)).await;
        check(&tool, answer);
    }
    for uri in listed(client, "resources/list", "resources", "uri").await {
        assert!(uri.starts_with(&format!("{prefix}-")), "{uri}");
        let answer = client.request("resources/read", json!({"uri": uri})).await;
        check(&uri, answer);
    }
    let prompts = client.request("prompts/list", json!({})).await.expect("a list");
    for prompt in prompts["prompts"].as_array().expect("prompts") {
        let name = prompt["name"].as_str().expect("a name");
        assert!(name.starts_with(&format!("{prefix}_")), "{name}");
        let mut arguments = serde_json::Map::new();
        for argument in prompt["arguments"].as_array().into_iter().flatten() {
            let value = match argument["name"].as_str().expect("a name") {
                "resourceType" => "Text",
                "resourceId" => "1",
                "department" => "Engineering",
                "name" => "Alice",
                _ => "tea",
            };
            arguments.insert(argument["name"].as_str().expect("a name").to_owned(), json!(value));
        }
        let answer = client.request("prompts/get", json!({"name": name, "arguments": arguments})).await;
        check(name, answer);
    }
    failures
}

/// How long it takes until the tools of a connector are there, or are not.
async fn until_listed(client: &mut Client, prefix: &str, wanted: bool) -> Duration {
    let began = Instant::now();
    let prefix = format!("{prefix}_");
    loop {
        let there = listed(client, "tools/list", "tools", "name").await.iter().any(|name| name.starts_with(&prefix));
        if there == wanted {
            return began.elapsed();
        }
        assert!(began.elapsed() < SOON, "{prefix}: not {wanted} within {SOON:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Everything of one server is there and answers; it goes and comes back.
async fn everything_is_reachable(kind: Kind, least_tools: usize) {
    let foreign = Foreign::install();
    let port = ports::free();
    let mut process = kind.start(&foreign, port).await;
    let upstream = format!("http://127.0.0.1:{port}{}", kind.path());
    let gateway = Gateway::before(&[("other", &upstream)]).await;
    let mut client = client(&gateway.url());
    let tools = listed(&mut client, "tools/list", "tools", "name").await;
    assert!(tools.len() >= least_tools, "{tools:?}");
    assert_eq!(failures(&mut client, "other").await, Vec::<String>::new());

    process.kill();
    until_listed(&mut client, "other", false).await;
    let unreachable = client.call(&tools[0], json!({})).await;
    assert!(
        unreachable.as_ref().map_or(true, |result| result["isError"] == true),
        "a server that is gone answers nothing: {unreachable:?}"
    );
    let _again = kind.start(&foreign, port).await;
    until_listed(&mut client, "other", true).await;
    assert_eq!(failures(&mut client, "other").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_server_everything_is_reachable() {
    everything_is_reachable(Kind::Everything, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_server_everything_is_reachable_over_the_older_transport() {
    everything_is_reachable(Kind::EverythingSse, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_fastmcp_server_is_reachable() {
    everything_is_reachable(Kind::FastMcp, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_of_a_fastmcp_server_is_listed_with_its_prefix_and_read_through_it() {
    let foreign = Foreign::install();
    let port = ports::free();
    let _process = Kind::FastMcp.start(&foreign, port).await;
    let gateway = Gateway::before(&[("memos", &format!("http://127.0.0.1:{port}/mcp"))]).await;
    let mut client = client(&gateway.url());
    let templates = listed(&mut client, "resources/templates/list", "resourceTemplates", "uriTemplate").await;
    assert_eq!(templates, ["memos-memo://{name}/note"]);
    let uri = "memos-memo://ada/note";
    let read = client.request("resources/read", json!({"uri": uri})).await.unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!((&read["contents"][0]["text"], &read["contents"][0]["uri"]), (&json!("A note of ada."), &json!(uri)));
}
