//! A running gateway's API: a request with a token from a file → the JSON of the answer.

use anyhow::{Context, bail};
use aperium_core::egress::{EgressRules, HostPort, LoopbackOpening, Reach};
use aperium_platform::egress::{EgressPolicy, ExternalClient};
use axum::body::Body;
use http::{Request, header};
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;
use std::path::Path;
use url::Url;

/// More than any answer.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Posts JSON.
pub(crate) fn post(url: &Url, token_file: Option<&Path>, path: &str, body: &Value) -> anyhow::Result<Value> {
    let token = token_file.map(|path| std::fs::read_to_string(path).with_context(|| path.display().to_string()));
    let token = token.transpose()?;
    let mut request = Request::post(url.join(path)?.as_str()).header(header::CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.trim()));
    }
    let request = request.body(Body::from(body.to_string())).context("the request")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(send(url, request))
}

async fn send(url: &Url, request: Request<Body>) -> anyhow::Result<Value> {
    let host = url.host_str().context("--url needs a host")?;
    let port = url.port_or_known_default().context("--url needs a port")?;
    let target = HostPort::new(host.trim_matches(['[', ']']), port).context("--url")?;
    // Whoever types a URL may reach it: their own network is no secret to them.
    let rules = EgressRules {
        allow_hosts: vec![target],
        cluster_ranges: Some(Vec::new()),
        loopback: Some(LoopbackOpening::default()),
        ..EgressRules::default()
    };
    let client = ExternalClient::new(EgressPolicy::new(rules)?, Reach::Admin)?;
    let response = client.send(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_BYTES).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("{url}: {error}"))?.to_bytes();
    if !status.is_success() {
        bail!("{url}: {status}: {}", String::from_utf8_lossy(&body));
    }
    serde_json::from_slice(&body).with_context(|| format!("{url}: not the answer of a gateway"))
}
