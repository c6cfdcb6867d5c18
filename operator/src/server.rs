//! `/healthz`, `/readyz`, `/metrics`.

use crate::context::Context;
use aperium_platform::probes::{self, Check, Readiness};
use aperium_platform::serve::{ServerLimits, serve};
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How far this replica is.
#[derive(Debug, Default)]
pub struct Phase(AtomicU8);

const STANDING_BY: u8 = 1;
const LEADING: u8 = 2;
const STOPPING: u8 = 3;

impl Phase {
    /// Another replica reconciles; this one could at once.
    pub fn standing_by(&self) {
        self.0.store(STANDING_BY, Ordering::Relaxed);
    }
    /// The stores are filled; this replica reconciles.
    pub fn leading(&self) {
        self.0.store(LEADING, Ordering::Relaxed);
    }
    /// The process ends.
    pub fn stopping(&self) {
        self.0.store(STOPPING, Ordering::Relaxed);
    }

    fn check(&self) -> Check {
        match self.0.load(Ordering::Relaxed) {
            STANDING_BY => Check::ok("another replica leads"),
            LEADING => Check::ok("leading"),
            STOPPING => Check::failed("Stopping", "the process is shutting down"),
            _ => Check::failed("Starting", "the watches are not complete yet"),
        }
    }
}

type Shared = (Arc<Context>, Arc<Phase>);

/// Serves until the token is cancelled.
///
/// # Errors
/// The listener fails.
pub async fn run(
    listener: TcpListener,
    context: Arc<Context>,
    phase: Arc<Phase>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let app = Router::new()
        .route("/healthz", get(probes::healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state((context, phase));
    serve(listener, app, ServerLimits::default(), stop).await
}

async fn readyz(State((_, phase)): State<Shared>) -> Readiness {
    Readiness::new().check("watches", phase.check())
}

async fn metrics(State((context, _)): State<Shared>) -> Response {
    context.metrics.scrape(context.queue.depth().0)
}
