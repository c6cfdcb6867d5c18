//! The connector bound to the test server, and a plain client that arranges and checks what no tool does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aperium_core::egress::{EgressRules, LoopbackOpening, Reach};
use aperium_core::id::RequestId;
use aperium_mcp_service::connector::{Connector, Fields, Tool, ToolError, Upstream, UpstreamParts};
use aperium_mcp_service::connectors::prefect;
use aperium_platform::egress::{EgressPolicy, ExternalClient, GuardedDialer};
use aperium_tests::wait;
use axum::body::Body;
use base64::Engine as _;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::server::Server;

/// How long a run may take to get into the wanted state.
const RUN_LIMIT: Duration = Duration::from_secs(180);
/// How long a call may take.
const CALL_LIMIT: Duration = Duration::from_secs(60);

/// The connector with the credentials of the test server.
#[derive(Clone)]
pub(crate) struct Prefect {
    pub(crate) api_url: String,
    pub(crate) auth: String,
    connector: Arc<prefect::Prefect>,
    up: Upstream,
    seen: Seen,
}

/// What the tools answered, by tool.
type Seen = Arc<Mutex<BTreeMap<&'static str, Vec<Value>>>>;

impl Prefect {
    pub(crate) fn new(server: &Server, auth: &str) -> Self {
        Self::with(&server.api_url(), &[("auth_string", auth)])
    }

    /// The same connector with other credentials.
    pub(crate) fn with(api_url: &str, fields: &[(&str, &str)]) -> Self {
        let connector = Arc::new(prefect::Prefect::new());
        let parts = UpstreamParts {
            fields: fields_of(api_url, fields),
            settings: connector.info().settings.parse(json!({})).unwrap(),
            http: http(),
            dialer: GuardedDialer::new(policy(), Reach::Admin),
            local: false,
        };
        let up = Upstream::new(parts, RequestId::accept(None), Instant::now() + CALL_LIMIT);
        let auth = fields.iter().find(|(name, _)| *name == "auth_string").map_or("", |(_, value)| *value);
        Self { api_url: api_url.to_owned(), auth: auth.to_owned(), connector, up, seen: Seen::default() }
    }

    /// One call under an id of its own.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Result<Value, ToolError> {
        self.call_as(&RequestId::accept(None), tool, arguments).await
    }

    /// One call under this id.
    pub(crate) async fn call_as(&self, id: &RequestId, tool: &str, arguments: Value) -> Result<Value, ToolError> {
        let up = self.up.for_call(id.clone(), Instant::now() + CALL_LIMIT);
        let tool = self.connector.tools().iter().find(|candidate| candidate.name() == tool).unwrap();
        let outcome = tokio::time::timeout(CALL_LIMIT, tool.call(&up, arguments)).await.unwrap();
        if let Ok(answer) = &outcome {
            self.seen.lock().unwrap().entry(tool.name()).or_default().push(answer.clone());
        }
        outcome
    }

    /// Every tool has answered at least once, and every answer fits the schema that the tool promises, in the eyes of a
    /// validator that is not ours.
    pub(crate) fn check_answers(&self, server: &Server) {
        let seen = self.seen.lock().unwrap();
        let unused: Vec<&str> =
            self.connector.tools().iter().map(Tool::name).filter(|name| !seen.contains_key(name)).collect();
        assert!(unused.is_empty(), "tools that no chapter used: {unused:?}");
        let schema =
            |name: &str| self.connector.tools().iter().find(|tool| tool.name() == name).unwrap().output_schema();
        let answers =
            seen.iter().map(|(name, answers)| json!({"tool": name, "schema": *schema(name), "answers": answers}));
        server.validate(&Value::Array(answers.collect()));
    }

    pub(crate) async fn probe(&self) -> Result<(), ToolError> {
        self.connector.probe(&self.up).await
    }

    /// Starts a run of the served deployment and gives its id.
    pub(crate) async fn run(&self, parameters: Value) -> String {
        let arguments = json!({"deployment": "etl/nightly", "parameters": parameters});
        let started = self.call("prefect_run_deployment", arguments).await.unwrap();
        started["flow_run"]["id"].as_str().unwrap().to_owned()
    }

    /// Waits until the run is in this state and gives the run.
    pub(crate) async fn wait_for(&self, flow_run: &str, state: &str) -> Value {
        wait::until(&format!("{flow_run} is {state}"), RUN_LIMIT, || async {
            let run = self.call("prefect_get_flow_run", json!({"flow_run": flow_run})).await.unwrap();
            (run["state"]["type"] == state).then_some(run)
        })
        .await
    }

    /// One request past the connector, for what no tool does.
    pub(crate) async fn rest(&self, method: Method, path: &str, body: Value) -> Value {
        let basic = base64::engine::general_purpose::STANDARD.encode(&self.auth);
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.api_url))
            .header("authorization", format!("Basic {basic}"))
            .header("content-type", "application/json");
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let reply = http().send(request.body(body).unwrap()).await.unwrap();
        let status = reply.status();
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        assert!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&body));
        if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() }
    }

    /// Makes a deployment that nobody serves and gives its id.
    pub(crate) async fn deploy(&self, flow: &str, name: &str, extra: Value) -> String {
        let flow = self.rest(Method::POST, "/flows/", json!({"name": flow})).await;
        let mut body = json!({"name": name, "flow_id": flow["id"]});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let deployment = self.rest(Method::POST, "/deployments/", body).await;
        deployment["id"].as_str().unwrap().to_owned()
    }

    /// Waits until the runner has made its deployment and polls for runs.
    pub(crate) async fn seed(&self) {
        wait::until("etl/nightly is served", RUN_LIMIT, || async {
            let found = self.call("prefect_get_deployment", json!({"deployment": "etl/nightly"})).await.ok()?;
            (found["status"] == "READY").then_some(())
        })
        .await;
    }
}

pub(crate) fn policy() -> EgressPolicy {
    let rules = EgressRules { loopback: Some(LoopbackOpening::default()), ..EgressRules::default() };
    EgressPolicy::new(rules).unwrap()
}

pub(crate) fn http() -> ExternalClient {
    ExternalClient::new(policy(), Reach::Admin).unwrap()
}

pub(crate) fn fields_of(api_url: &str, fields: &[(&str, &str)]) -> Fields {
    let all = fields.iter().copied().chain([("api_url", api_url)]);
    all.map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// The items of a page.
pub(crate) fn items(page: &Value) -> &[Value] {
    page["items"].as_array().unwrap()
}

/// One field of all items of a page.
pub(crate) fn texts<'a>(page: &'a Value, field: &str) -> Vec<&'a str> {
    items(page).iter().map(|item| item[field].as_str().unwrap()).collect()
}
