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
/// A filter that cannot be read counts as the default and is reported. Whatever it says, what rmcp tells below `info` is
/// left out: that is whole requests with their arguments. Call it once, first thing in `main`.
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

/// rmcp's debug and trace lines hold the arguments and results of tool calls.
fn harmless(metadata: &tracing::Metadata<'_>) -> bool {
    !metadata.target().starts_with("rmcp") || *metadata.level() <= tracing::Level::INFO
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
    fn arguments_that_rmcp_would_tell_are_never_logged() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::registry().with(filter_fn(harmless)).with(json(move || writer.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!(target: "rmcp::service", request = "secret-1", "received");
            tracing::trace!(target: "rmcp", message = "secret-2");
            tracing::warn!(target: "rmcp::transport", "told");
            tracing::debug!(target: "aperium_gateway", "told too");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!((text.matches("told").count(), text.matches("secret").count()), (2, 0), "{text}");
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
