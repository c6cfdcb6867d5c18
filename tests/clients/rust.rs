//! The official Rust SDK as a client of the gateway. Its transport wants a socket of the file system: what comes on one
//! is passed on to the gateway byte by byte.

use aperium_tests::wait;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientConfig, ProgressNotificationParam, ProtocolVersion,
    ReadResourceRequestParams, ReadResourceResponse,
};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt as _, NotificationContext, RoleClient, RunningService};
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{StreamableHttpClientTransport, UnixSocketHttpClient};
use rmcp::{ClientHandler, Peer};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpStream, UnixListener};

/// A client that remembers the progress it was told.
#[derive(Clone, Default)]
struct Handler(Arc<Mutex<Vec<f64>>>);

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        ClientConfig::default()
    }

    async fn on_progress(&self, params: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.0.lock().expect("a lock").push(params.progress);
    }
}

type Client = RunningService<RoleClient, Handler>;

/// Passes what comes on the socket on to the gateway, for as long as the test runs.
#[expect(clippy::disallowed_methods, reason = "a test's own pipe on loopback")]
fn pass_on(socket: &Path, address: String) {
    let listener = UnixListener::bind(socket).expect("a socket");
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let address = address.clone();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(address).await?;
                tokio::io::copy_bidirectional(&mut near, &mut far).await
            });
        }
    });
}

async fn call(peer: &Peer<RoleClient>, name: &'static str) -> String {
    let answer = peer.call_tool_once(CallToolRequestParams::new(name)).await.expect("an answer");
    let CallToolResponse::Complete(result) = answer else { panic!("{name} asks: {answer:?}") };
    let result = json!(result);
    assert_ne!(result["isError"], json!(true), "{result}");
    result["content"][0]["text"].as_str().expect("a text").to_owned()
}

async fn cancelled(client: &Client) -> u64 {
    call(client.peer(), "fixture_test_waits_cancelled").await.parse().expect("a number")
}

/// Lists, calls, reads, follows progress and cancels.
pub(crate) async fn everything(gateway: &str, lifecycle: ClientLifecycleMode) {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("gateway");
    let (address, path) = gateway.trim_start_matches("http://").split_once('/').expect("an address and a path");
    pass_on(&socket, address.to_owned());
    let http = UnixSocketHttpClient::new(socket.to_str().expect("UTF-8"), gateway);
    // What it is given here is what it asks for: a whole URL would be the way to ask a proxy.
    let config = StreamableHttpClientTransportConfig::with_uri(format!("/{path}"));
    let transport = StreamableHttpClientTransport::with_client(http, config);
    let handler = Handler::default();
    let client = handler.clone().serve_with_lifecycle(transport, lifecycle).await.expect("it connects");

    let tools = client.list_all_tools().await.expect("a list");
    assert!(tools.iter().any(|tool| tool.name == "fixture_test_simple_text"), "{tools:?}");
    let prompts = client.list_all_prompts().await.expect("a list");
    assert!(prompts.iter().any(|prompt| prompt.name == "fixture_test_simple_prompt"), "{prompts:?}");
    assert_eq!(call(client.peer(), "fixture_test_simple_text").await, "This is a simple text response for testing.");
    let uri = "fixture-test://static-text";
    let read = client.peer().read_resource_once(ReadResourceRequestParams::new(uri)).await.expect("an answer");
    let ReadResourceResponse::Complete(read) = read else { panic!("it asks: {read:?}") };
    let read: Value = json!(read);
    assert_eq!(read["contents"][0]["text"], "This is the content of the static text resource.");
    assert_eq!(read["contents"][0]["uri"], uri);

    call(client.peer(), "fixture_test_tool_with_progress").await;
    wait::until("all progress is told", Duration::from_secs(5), async || {
        (*handler.0.lock().expect("a lock") == [0.0, 50.0, 100.0]).then_some(())
    })
    .await;

    let before = cancelled(&client).await;
    let waiting = client.peer().call_tool_once(CallToolRequestParams::new("fixture_test_wait"));
    // Dropping the call cancels it.
    let given_up = tokio::time::timeout(Duration::from_millis(500), waiting).await;
    assert!(given_up.is_err(), "the call takes longer: {given_up:?}");
    wait::until("the call is cancelled upstream", Duration::from_secs(5), async || {
        (cancelled(&client).await > before).then_some(())
    })
    .await;
    client.cancel().await.expect("it ends");
}

/// Both eras.
pub(crate) fn lifecycles() -> [ClientLifecycleMode; 2] {
    [
        ClientLifecycleMode::Initialize,
        ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] },
    ]
}
