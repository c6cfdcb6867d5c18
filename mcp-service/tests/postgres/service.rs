//! The service under test, whole: a listener on loopback, the real router, credentials in memory.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aperium_core::id::ModuleName;
use aperium_mcp_service::broker::Platform;
use aperium_mcp_service::connector::{Connector, Fields};
use aperium_mcp_service::{CallRules, CredentialsSource, ServiceConfig, connectors, serve};
use aperium_platform::bearer::TokenSource;
use aperium_platform::egress::{EgressPolicy, EgressRules, ExternalClient, LoopbackOpening, Reach};
use aperium_platform::lease::LEASE_HEADER;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::server::{ROLE, ROLE_PASSWORD, Server};

const TOKEN: &str = "service-token-0123456789";

pub(crate) struct Service {
    pub(crate) url: String,
    pub(crate) credentials: watch::Sender<Fields>,
    client: ExternalClient,
    stop: CancellationToken,
    _server: Arc<Server>,
}

pub(crate) struct Options {
    pub(crate) credentials: Vec<(&'static str, String)>,
    pub(crate) settings: Value,
    pub(crate) calls: Value,
    pub(crate) hide: Vec<String>,
}

impl Options {
    pub(crate) fn new(server: &Server) -> Self {
        Self {
            credentials: vec![
                ("host", "127.0.0.1".to_owned()),
                ("port", server.port.to_string()),
                ("database", "postgres".to_owned()),
                ("username", ROLE.to_owned()),
                ("password", ROLE_PASSWORD.to_owned()),
                ("ssl_mode", "disable".to_owned()),
            ],
            settings: json!({}),
            calls: json!({}),
            hide: Vec::new(),
        }
    }

    pub(crate) fn with(mut self, field: &'static str, value: impl Into<String>) -> Self {
        self.credentials.retain(|(name, _)| *name != field);
        self.credentials.push((field, value.into()));
        self
    }

    pub(crate) fn settings(mut self, settings: Value) -> Self {
        self.settings = settings;
        self
    }

    pub(crate) fn calls(mut self, calls: Value) -> Self {
        self.calls = calls;
        self
    }

    pub(crate) fn fields(&self) -> Fields {
        fields(&self.credentials)
    }
}

pub(crate) fn fields(credentials: &[(&'static str, String)]) -> Fields {
    credentials.iter().map(|(name, value)| ((*name).to_owned(), SecretString::from(value.clone()))).collect()
}

/// What a call answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) is_error: bool,
    pub(crate) content: Value,
}

impl Answer {
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(!self.is_error, "{}", self.content);
        self.content
    }

    #[track_caller]
    pub(crate) fn failed(self, code: &str) -> Value {
        assert!(self.is_error, "{}", self.content);
        assert_eq!(self.content["code"], code, "{}", self.content);
        self.content
    }
}

pub(crate) fn connector() -> Arc<dyn Connector> {
    connectors::find(&ModuleName::parse("postgres").unwrap()).unwrap()
}

impl Service {
    pub(crate) async fn start(server: &Arc<Server>, options: Options) -> Self {
        Self::over(server, options, None).await
    }

    /// The same with credentials of tenants, from this platform.
    pub(crate) async fn over(server: &Arc<Server>, options: Options, platform: Option<Platform>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let rules = EgressRules { loopback: Some(LoopbackOpening::default()), ..EgressRules::default() };
        let egress = EgressPolicy::new(rules).unwrap();
        let (fields, source) = watch::channel(options.fields());
        let stop = CancellationToken::new();
        let token = TokenSource::fixed(SecretString::from(TOKEN));
        let credentials = platform.map_or(CredentialsSource::Memory(source), CredentialsSource::Platform);
        let config = ServiceConfig {
            settings: options.settings,
            calls: CallRules::parse(&options.calls.to_string()).unwrap(),
            hide: options.hide,
            ..ServiceConfig::new(connector(), token, credentials, egress.clone())
        };
        tokio::spawn(serve(config, listener, stop.clone()));
        let client = ExternalClient::new(egress, Reach::Admin).unwrap();
        Self { url, credentials: fields, client, stop, _server: Arc::clone(server) }
    }

    pub(crate) async fn send(&self, path: &str, body: Option<String>) -> (StatusCode, Value) {
        self.send_with(path, body, None).await
    }

    async fn send_with(&self, path: &str, body: Option<String>, lease: Option<String>) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(if body.is_some() { "POST" } else { "GET" })
            .uri(format!("{}{path}", self.url))
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("content-type", "application/json")
            .header("x-request-id", "test-7");
        let request = lease.iter().fold(request, |request, lease| request.header(LEASE_HEADER, lease));
        let request = request.body(Body::from(body.unwrap_or_default())).unwrap();
        let response = self.client.send(request).await.unwrap();
        let status = response.status();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let value = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        (status, value)
    }

    pub(crate) async fn status_without_token(&self, path: &str) -> StatusCode {
        let request = Request::builder().uri(format!("{}{path}", self.url)).body(Body::empty()).unwrap();
        self.client.send(request).await.unwrap().status()
    }

    pub(crate) async fn rpc(&self, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        self.send("/mcp", Some(body.to_string())).await.1
    }

    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Answer {
        let answer = self.rpc("tools/call", json!({"name": tool, "arguments": arguments})).await;
        let result = &answer["result"];
        assert!(result.is_object(), "{tool}: {answer}");
        Answer { is_error: result["isError"] == true, content: result["structuredContent"].clone() }
    }

    /// A query with a lease.
    pub(crate) async fn leased_query(&self, sql: &str, lease: String) -> Value {
        let params = json!({"name": "postgres_run_query", "arguments": {"sql": sql}});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        self.send_with("/mcp", Some(body.to_string()), Some(lease)).await.1["result"].clone()
    }

    pub(crate) async fn query(&self, sql: &str) -> Answer {
        self.call("postgres_run_query", json!({"sql": sql})).await
    }

    pub(crate) async fn tools(&self) -> Vec<String> {
        let list = self.rpc("tools/list", json!({})).await;
        list["result"]["tools"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tool| tool["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Waits until `/readyz` says so, for at most 15 s.
    pub(crate) async fn until(&self, check: &'static str, reason: &'static str) -> (StatusCode, Value) {
        let end = Instant::now() + Duration::from_secs(15);
        loop {
            let (status, report) = self.send("/readyz", None).await;
            if report["checks"][check]["reason"] == reason {
                return (status, report);
            }
            assert!(Instant::now() < end, "still {report}, want {check} {reason}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
