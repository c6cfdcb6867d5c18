//! A connector with one tool for each way a call can end.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::connector::{Args, Connector, Count, Info, NoArgs, SettingsSpec, Tool, ToolError, Upstream};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct NoSettings {}

pub(super) static INFO: Info = Info {
    module: "fake",
    title: "Fake",
    description: "A connector for tests.",
    prefix: "fake_",
    port: 1,
    category: "Tests",
    credentials: &[],
    settings: SettingsSpec::of::<NoSettings>(),
    egress_hosts: &[],
};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Echo {
    #[serde(default)]
    times: Count<1, 3>,
    text: String,
}
impl Args for Echo {}

#[derive(Debug, Serialize, JsonSchema)]
struct Said {
    said: String,
    request_id: String,
}

static RUNNING: AtomicU32 = AtomicU32::new(0);
pub(super) static PEAK: AtomicU32 = AtomicU32::new(0);

struct Inside;
impl Inside {
    fn enter() -> Self {
        let now = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
        PEAK.fetch_max(now, Ordering::SeqCst);
        Self
    }
}
impl Drop for Inside {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn echo(up: &Upstream, args: Echo) -> Result<Said, ToolError> {
    Ok(Said { said: args.text.repeat(args.times.get() as usize), request_id: up.request_id().to_string() })
}

async fn slow(_: &Upstream, _: NoArgs) -> Result<Said, ToolError> {
    let _inside = Inside::enter();
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(Said { said: String::new(), request_id: String::new() })
}

async fn never(_: &Upstream, _: NoArgs) -> Result<Said, ToolError> {
    std::future::pending().await
}

async fn panics(_: &Upstream, _: NoArgs) -> Result<Said, ToolError> {
    panic!("a bug of the connector")
}

async fn huge(_: &Upstream, _: NoArgs) -> Result<Said, ToolError> {
    Ok(Said { said: "x".repeat(5 * 1024 * 1024), request_id: String::new() })
}

pub(super) struct Fake(Vec<Tool>);

impl Fake {
    pub(super) fn new() -> Self {
        let tool = |tool: Tool| tool.example(json!({}));
        Self(vec![
            tool(Tool::read("fake_slow", "Slow", "Takes a while.", slow)),
            tool(Tool::read("fake_echo", "Echo", "Says what it is told.", echo)),
            tool(Tool::read("fake_never", "Never", "Never answers.", never)),
            tool(Tool::read("fake_panics", "Panics", "Fails inside.", panics)),
            tool(Tool::read("fake_huge", "Huge", "Answers too much.", huge)),
            tool(Tool::write("fake_write", "Write", "Writes and never answers.", never)),
        ])
    }
}

#[async_trait::async_trait]
impl Connector for Fake {
    fn info(&self) -> &'static Info {
        &INFO
    }
    fn tools(&self) -> &[Tool] {
        &self.0
    }
    async fn probe(&self, _: &Upstream) -> Result<(), ToolError> {
        Ok(())
    }
}
