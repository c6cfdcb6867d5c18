//! A few connections, each used by one call at a time: nobody waits for a login, nobody meets the session of another.
//!
//! A connection goes back only after the call has ended it cleanly and the session was reset; whatever is dropped
//! half-way is cancelled at the server and closed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aperium_core::effect::Effect;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio_postgres::Client;

use super::connect::{Connected, Target};
use super::error::from_postgres;
use super::settings::Settings;
use super::stream::Budget;
use crate::connector::{ErrorCode, ToolError, Upstream};

/// A connection that nobody used for this long is closed.
const MAX_IDLE: Duration = Duration::from_secs(300);

/// A connection that is this old is closed: DNS, certificates and roles change.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// What `DISCARD ALL` does, without the part that cannot run with others, and with reading as the default again.
const RESET: &str = "ROLLBACK; CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
     SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES; \
     SET default_transaction_read_only = on";

struct Idle {
    connected: Connected,
    born: Instant,
    since: Instant,
}

/// The connections of one set of credentials.
pub(super) struct Pool {
    target: Arc<Target>,
    idle: Mutex<Vec<Idle>>,
    places: Arc<Semaphore>,
}

impl Pool {
    /// The pool of this upstream; no connection is made yet.
    pub(super) async fn of(up: &Upstream) -> Result<Arc<Self>, ToolError> {
        up.session(|| async {
            let settings = up.settings::<Settings>()?;
            Ok(Self {
                target: Arc::new(Target::new(up)?),
                idle: Mutex::new(Vec::new()),
                places: Arc::new(Semaphore::new(settings.max_connections.get() as usize)),
            })
        })
        .await
    }

    /// A connection for one call.
    pub(super) async fn take(self: &Arc<Self>) -> Result<Lease, ToolError> {
        let place = Arc::clone(&self.places)
            .acquire_owned()
            .await
            .map_err(|_| ToolError::new(ErrorCode::RateLimited, "the connector is shutting down"))?;
        let (connected, born) = match self.reuse().await {
            Some(idle) => (idle.connected, idle.born),
            None => {
                let connected = self.target.connect().await?;
                connected.client.batch_execute(RESET).await.map_err(|error| from_postgres(&error, Effect::Read))?;
                (connected, Instant::now())
            }
        };
        connected.budget.refill();
        Ok(Lease { pool: Arc::clone(self), connected: Some(connected), born, _place: place })
    }

    /// The connection used last, so that those that are not needed grow old and go.
    async fn reuse(&self) -> Option<Idle> {
        let mut idle = self.idle.lock().await;
        idle.retain(|one| {
            !one.connected.client.is_closed() && one.since.elapsed() < MAX_IDLE && one.born.elapsed() < MAX_AGE
        });
        idle.pop()
    }
}

/// A connection on loan.
pub(super) struct Lease {
    pool: Arc<Pool>,
    connected: Option<Connected>,
    born: Instant,
    _place: OwnedSemaphorePermit,
}

impl Lease {
    /// The client.
    pub(super) fn client(&mut self) -> Result<&mut Client, ToolError> {
        self.connected.as_mut().map(|c| &mut c.client).ok_or_else(|| ToolError::unavailable("the connection is gone"))
    }

    /// The budget of the connection.
    pub(super) fn budget(&self) -> Option<Budget> {
        self.connected.as_ref().map(|c| c.budget.clone())
    }

    /// Resets the session and gives the connection back. A session that cannot be reset is closed.
    pub(super) async fn give_back(mut self) {
        let Some(connected) = self.connected.take() else { return };
        connected.budget.refill();
        if connected.client.batch_execute(RESET).await.is_ok() {
            let idle = Idle { connected, born: self.born, since: Instant::now() };
            self.pool.idle.lock().await.push(idle);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Only a call that was abandoned half-way still has its connection here.
        let Some(connected) = self.connected.take() else { return };
        if connected.client.is_closed() {
            return;
        }
        let token = connected.client.cancel_token();
        drop(connected);
        let target = Arc::clone(&self.pool.target);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { target.cancel(token).await });
        }
    }
}
