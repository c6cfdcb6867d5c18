//! What is logged while a test runs.

use std::io;
use std::sync::{Arc, LazyLock, Mutex};
use tracing_subscriber::layer::SubscriberExt as _;

/// As long as there is one subscriber only, tracing asks that of the thread which comes by a callsite first what it is
/// worth; a thread of another test, which has none, would silence it for all. So there are always two.
static SECOND: LazyLock<tracing::Dispatch> = LazyLock::new(|| tracing::Dispatch::new(tracing_subscriber::registry()));

/// The lines that this thread logs, of every level and every library.
#[derive(Clone, Default)]
pub(in crate::tests) struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// What this thread logs from here on.
    pub(in crate::tests) fn here() -> (Self, tracing::subscriber::DefaultGuard) {
        LazyLock::force(&SECOND);
        let lines = Self::default();
        let writer = lines.clone();
        let format = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(move || writer.clone());
        (lines, tracing::subscriber::set_default(tracing_subscriber::registry().with(format)))
    }

    pub(in crate::tests) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}
