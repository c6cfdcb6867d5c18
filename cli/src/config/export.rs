//! `aperium config export`: manifests of a folder, or what a running gateway serves → a document.

use crate::args::ExportArgs;
use anyhow::{Context, bail};
use aperium_core::egress::{EgressRules, HostPort, LoopbackOpening, Reach};
use aperium_crds::Settings;
use aperium_gateway::document::{Source, export};
use aperium_gateway::folder;
use aperium_platform::egress::{EgressPolicy, ExternalClient};
use axum::body::Body;
use http::{Request, header};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use std::io::Write as _;
use std::path::Path;
use url::Url;

/// More than any document.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Prints the document.
pub(crate) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let text = match (&args.folder, &args.url) {
        (_, Some(url)) => of_gateway(url, args.token_file.as_deref())?,
        (Some(folder), None) => of_folder(folder, args.allow_loss)?,
        (None, None) => bail!("name a folder or --url"),
    };
    std::io::stdout().lock().write_all(text.as_bytes()).context("standard output is closed")
}

fn of_folder(path: &Path, allow_loss: bool) -> anyhow::Result<String> {
    let folder = folder::load(path)?;
    let settings = path.join("settings.yaml");
    let settings = match std::fs::read_to_string(&settings) {
        Ok(text) => Settings::parse(&text).with_context(|| settings.display().to_string())?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Settings::default(),
        Err(error) => return Err(error).with_context(|| settings.display().to_string()),
    };
    let export = export(Source {
        resources: &folder.resources,
        secrets: Some(&folder.secrets),
        // A folder counts as the system namespace, whatever its manifests call it.
        system_namespace: "",
        accept_registrations: settings.registration.accept,
    });
    if !export.left_out.is_empty() && !allow_loss {
        let all: Vec<String> = export.left_out.iter().map(ToString::to_string).collect();
        bail!("a document cannot say all of this folder (--allow-loss goes on without): {}", all.join("; "));
    }
    Ok(export.text)
}

#[derive(Deserialize)]
struct Shown {
    config: String,
}

fn of_gateway(url: &Url, token_file: Option<&Path>) -> anyhow::Result<String> {
    let token = token_file.map(|path| std::fs::read_to_string(path).with_context(|| path.display().to_string()));
    let token = token.transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(ask(url, token.as_deref().map(str::trim)))
}

async fn ask(url: &Url, token: Option<&str>) -> anyhow::Result<String> {
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
    let mut request = Request::get(url.join("/api/config")?.as_str());
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = client.send(request.body(Body::empty()).context("the request")?).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_BYTES).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("{url}: {error}"))?.to_bytes();
    if !status.is_success() {
        bail!("{url}: {status}: {}", String::from_utf8_lossy(&body));
    }
    let shown: Shown = serde_json::from_slice(&body).with_context(|| format!("{url}: not the answer of a gateway"))?;
    Ok(shown.config)
}
