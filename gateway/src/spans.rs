//! Finished requests → spans for a collector, by OTLP over HTTP with JSON (opentelemetry-proto, `ExportTraceServiceRequest`).
//!
//! Off unless the settings name an endpoint. Nothing waits for a collector: what it does not take in time is dropped
//! and counted. It is reached under the same egress rules as every other address.

use aperium_core::egress::Reach;
use aperium_crds::Settings;
use aperium_platform::egress::{EgressError, EgressPolicy, ExternalClient};
use axum::body::Body;
use http::{HeaderValue, Method, Request, Uri, header};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(crate) mod context;
mod json;

pub(crate) use json::{Kind, Span};

/// Spans that wait to be sent; more are dropped.
const WAITING: usize = 4096;
/// Spans of one request to the collector.
const BATCH: usize = 512;
/// How long spans wait for others.
const PAUSE: Duration = Duration::from_secs(2);
/// How long the collector may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Why there can be no spans.
#[derive(Debug, thiserror::Error)]
pub enum SpansError {
    /// The endpoint is no URL.
    #[error("settings: telemetry.otlpEndpoint must be an http or https URL")]
    Endpoint,
    /// The egress rules cannot be used.
    #[error("telemetry: {0}")]
    Egress(#[from] EgressError),
}

/// Takes finished spans.
#[derive(Debug, Clone)]
pub(crate) struct Spans {
    sender: mpsc::Sender<Span>,
    percent: u8,
}

impl Spans {
    /// Starts sending to the endpoint of the settings; `None` where there is none.
    ///
    /// # Errors
    /// [`SpansError`].
    pub(crate) fn start(settings: &Settings, stop: CancellationToken) -> Result<Option<Self>, SpansError> {
        let telemetry = &settings.telemetry;
        if telemetry.otlp_endpoint.is_empty() {
            return Ok(None);
        }
        let endpoint: Uri = telemetry.otlp_endpoint.parse().map_err(|_| SpansError::Endpoint)?;
        if endpoint.authority().is_none() || !matches!(endpoint.scheme_str(), Some("http" | "https")) {
            return Err(SpansError::Endpoint);
        }
        let policy = EgressPolicy::new(settings.egress.clone()).map_err(|_| SpansError::Endpoint)?;
        let client = ExternalClient::new(policy, Reach::Admin)?;
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(Exporter { client, endpoint, receiver }.run(stop));
        Ok(Some(Self { sender, percent: telemetry.sample_percent.min(100) }))
    }

    /// Whether a request that brings no decision of its own is traced: by its trace id, so that all who look at the
    /// same trace decide alike.
    pub(crate) fn samples(&self, trace: [u8; 16]) -> bool {
        let random = u16::from_be_bytes([trace[14], trace[15]]);
        u32::from(random) * 100 < u32::from(self.percent) << 16
    }

    /// Takes a span. Where too many wait it is dropped.
    pub(crate) fn take(&self, span: Span) {
        if self.sender.try_send(span).is_err() {
            tracing::debug!("span dropped: too many wait for the collector");
        }
    }
}

/// Sends spans, some at a time.
struct Exporter {
    client: ExternalClient,
    endpoint: Uri,
    receiver: mpsc::Receiver<Span>,
}

impl Exporter {
    async fn run(mut self, stop: CancellationToken) {
        let mut spans = Vec::with_capacity(BATCH);
        let mut told = false;
        loop {
            let stopped = tokio::select! {
                () = stop.cancelled() => true,
                read = self.receiver.recv_many(&mut spans, BATCH) => read == 0,
            };
            if !stopped && spans.len() < BATCH {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
            while spans.len() < BATCH
                && let Ok(span) = self.receiver.try_recv()
            {
                spans.push(span);
            }
            if !spans.is_empty() {
                let outcome = tokio::time::timeout(LIMIT, self.send(&spans)).await;
                match outcome.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
                    Ok(()) => told = false,
                    // Once, and again when it has worked in between.
                    Err(error) if !std::mem::replace(&mut told, true) => {
                        tracing::warn!(error, dropped = spans.len(), "the collector takes no spans");
                    }
                    Err(error) => tracing::debug!(error, dropped = spans.len(), "the collector takes no spans"),
                }
                spans.clear();
            }
            if stopped {
                return;
            }
        }
    }

    async fn send(&self, spans: &[Span]) -> Result<(), String> {
        let mut request = Request::new(Body::from(json::request(spans)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.clone();
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let response = self.client.send(request).await.map_err(|error| error.to_string())?;
        if response.status().is_success() { Ok(()) } else { Err(format!("HTTP {}", response.status().as_u16())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_url_is_an_endpoint_and_none_means_no_spans() {
        let with = |endpoint: &str| {
            let mut settings = Settings::default();
            settings.telemetry.otlp_endpoint = endpoint.to_owned();
            Spans::start(&settings, CancellationToken::new())
        };
        assert!(with("").unwrap().is_none());
        for bad in ["collector:4318", "/v1/traces", "ftp://a/v1/traces"] {
            assert!(matches!(with(bad), Err(SpansError::Endpoint)), "{bad}");
        }
    }

    #[test]
    fn a_share_of_all_traces_is_taken() {
        let (sender, _receiver) = mpsc::channel(1);
        let taken = |percent| {
            let spans = Spans { sender: sender.clone(), percent };
            (0..=u16::MAX)
                .filter(|random| {
                    let mut trace = [0; 16];
                    trace[14..].copy_from_slice(&random.to_be_bytes());
                    spans.samples(trace)
                })
                .count()
        };
        assert_eq!((taken(0), taken(50), taken(100)), (0, 32768, 65536));
    }
}
