//! Logs: events of the process in, one JSON object per line on standard error out.

use std::io;

use tracing_subscriber::{EnvFilter, filter::filter_fn, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Something else in this process has set up logging.
    #[error("logging is set up already")]
    AlreadySet(#[source] tracing_subscriber::util::TryInitError),
}

/// Sets up JSON logs on standard error, filtered by `RUST_LOG` (default `info`, and `warn` for rmcp).
///
/// A filter that cannot be read counts as the default and is reported. Whatever it says, what libraries tell of arguments
/// and rows is left out. Call it once, first thing in `main`.
///
/// # Errors
/// [`TelemetryError::AlreadySet`] on the second call.
pub fn init() -> Result<(), TelemetryError> {
    init_at("info,rmcp=warn")
}

/// The same for a program that talks to a person: only warnings and errors unless `RUST_LOG` says otherwise.
///
/// # Errors
/// [`TelemetryError::AlreadySet`] on the second call.
pub fn init_quiet() -> Result<(), TelemetryError> {
    init_at("warn")
}

fn init_at(level: &str) -> Result<(), TelemetryError> {
    let (filter, bad) = match EnvFilter::try_from_default_env() {
        Ok(filter) => (filter, None),
        Err(error) if unset(&error) => (EnvFilter::new(level), None),
        Err(error) => (EnvFilter::new(level), Some(error)),
    };
    let registry = tracing_subscriber::registry().with(filter).with(filter_fn(harmless)).with(json(io::stderr));
    registry.try_init().map_err(TelemetryError::AlreadySet)?;
    if let Some(error) = bad {
        tracing::warn!(%error, level, "RUST_LOG cannot be read, logging at the default level");
    }
    Ok(())
}

/// Libraries that may tell all they have to tell: connections, TLS, and statements without their values.
const OPEN: [&str; 7] = ["aperium", "hyper", "mio", "rustls", "sqlx", "tokio_util", "tower"];
/// Libraries that must have a warning to tell: at `info` they repeat notifications of clients, and messages that a database
/// sends beside its rows.
const RESERVED: [&str; 2] = ["rmcp", "tokio_postgres"];
/// Its warnings hold whole answers of the API server that it could not read. Whoever asked is told the error.
const API_CLIENT: &str = "kube_client::client";

/// Below `info` many a library tells the arguments and results of tool calls: rmcp whole messages, a database client and
/// a parser whole statements.
fn harmless(metadata: &tracing::Metadata<'_>) -> bool {
    let (target, level) = (metadata.target(), *metadata.level());
    let of = |names: &[&str]| names.iter().any(|name| target.starts_with(name));
    match level {
        tracing::Level::WARN => target != API_CLIENT,
        tracing::Level::ERROR => true,
        tracing::Level::INFO => !of(&RESERVED),
        _ => of(&OPEN),
    }
}

/// Time, level, target, the event's fields at the top level, and the fields of the current span (`request_id`).
fn json<S, W>(writer: W) -> impl tracing_subscriber::Layer<S>
where
    S: tracing::Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span>,
    W: for<'writer> fmt::MakeWriter<'writer> + 'static,
{
    fmt::layer().json().flatten_event(true).with_current_span(true).with_span_list(false).with_writer(writer)
}

fn unset(error: &tracing_subscriber::filter::FromEnvError) -> bool {
    use std::error::Error as _;
    error.source().and_then(|source| source.downcast_ref::<std::env::VarError>())
        == Some(&std::env::VarError::NotPresent)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn arguments_that_libraries_would_tell_are_never_logged() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::registry().with(filter_fn(harmless)).with(json(move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!(target: "rmcp::service", request = "secret-1", "received");
            tracing::trace!(target: "rmcp", message = "secret-2");
            tracing::debug!(target: "tokio_postgres::simple_query", "executing: select 'secret-3'");
            tracing::info!(target: "tokio_postgres::connection", "NOTICE: secret-4");
            tracing::debug!(target: "sqlparser::parser", "parsing 'secret-5'");
            tracing::trace!(target: "of_tomorrow", "secret-6");
            tracing::info!(target: "rmcp::service", "secret-7");
            tracing::warn!(target: "kube_client::client", "{{\"kind\":\"Secret\",\"data\":\"secret-8\"}}");
            tracing::debug!(target: "kube_client::client", "secret-9");
            tracing::warn!(target: "rmcp::transport", "told");
            tracing::warn!(target: "tokio_postgres::connection", "told");
            tracing::info!(target: "of_tomorrow", "told");
            tracing::debug!(target: "aperium_gateway", "told too");
            tracing::trace!(target: "hyper_util::client", "told too");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!((text.matches("told").count(), text.matches("secret").count()), (5, 0), "{text}");
    }

    #[test]
    fn a_line_is_one_json_object_with_the_request_id_even_for_hostile_text() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::registry().with(json(move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("request", request_id = "r-1", path = "/a\n{\"level\":\"x\"}");
            span.in_scope(|| tracing::info!(tool = "t\r\n\u{1b}[31m", "called"));
        });
        let bytes = lines.0.lock().unwrap().clone();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "called");
        assert_eq!(line["tool"], "t\r\n\u{1b}[31m");
        assert_eq!(line["span"]["request_id"], "r-1");
        assert_eq!(line["level"], "INFO");
    }
}
