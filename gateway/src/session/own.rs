//! A client's own session with an upstream of the older era: opened when it is first needed, with what the client
//! declared; opened again when the upstream has ended it or has gone in the meantime; closed when nobody needs it any
//! more.

mod ear;

pub(crate) use ear::Heard;

use super::level::Level;
use crate::pipeline::upstream::{Session, Upstream, UpstreamError};
use arc_swap::ArcSwapOption;
use ear::Ear;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use tokio::sync::Mutex;

/// The capabilities of a client that cannot be asked anything.
const NOTHING: &str = "{}";

/// One client's session with one upstream.
#[derive(Debug)]
pub(crate) struct Own {
    upstream: Arc<Upstream>,
    declared: Box<str>,
    session: ArcSwapOption<Session>,
    /// The upstream's renewals when it was opened.
    renewals: AtomicU64,
    logs: AtomicBool,
    /// The level that this session of the upstream was told.
    told: AtomicU8,
    opening: Mutex<()>,
    ear: Ear,
}

impl Own {
    /// A session that is not opened yet. `declared`: the client's capabilities, a JSON object.
    pub(super) fn new(upstream: &Arc<Upstream>, declared: &str) -> Arc<Self> {
        Arc::new(Self {
            upstream: Arc::clone(upstream),
            declared: declared.into(),
            session: ArcSwapOption::empty(),
            renewals: AtomicU64::new(0),
            logs: AtomicBool::new(false),
            told: AtomicU8::new(0),
            opening: Mutex::new(()),
            ear: Ear::default(),
        })
    }

    /// The session; opens it where there is none, and tells it the level of log messages where that is new.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub(crate) async fn session(&self, level: Option<Level>) -> Result<Arc<Session>, UpstreamError> {
        let wanted = Level::number(level);
        if let Some(session) = self.standing()
            && self.told.load(Ordering::Acquire) == wanted
            && self.ear.is_ready()
        {
            return Ok(session);
        }
        Box::pin(self.prepare(level)).await
    }

    async fn prepare(&self, level: Option<Level>) -> Result<Arc<Session>, UpstreamError> {
        let wanted = Level::number(level);
        let _one = self.opening.lock().await;
        let session = match self.standing() {
            Some(session) => session,
            None => {
                let renewals = self.upstream.renewals();
                let (session, about) = self.upstream.open_for(&self.declared).await?;
                let session = Arc::new(session);
                self.logs.store(about.declares("logging"), Ordering::Relaxed);
                self.told.store(0, Ordering::Release);
                self.renewals.store(renewals, Ordering::Release);
                if &*self.declared != NOTHING {
                    self.ear.expect();
                }
                self.session.store(Some(Arc::clone(&session)));
                session
            }
        };
        if !self.ear.is_ready() {
            self.ear.listen(&self.upstream, &session).await;
        }
        if self.told.load(Ordering::Acquire) != wanted {
            if let Some(level) = level.filter(|_| self.logs.load(Ordering::Relaxed))
                && let Err(error) = self.upstream.set_level(&session, level.name()).await
            {
                // It logs more or less than it was asked to; the filter on the way back holds in any case.
                tracing::debug!(reason = error.reason(), %error, "the level of log messages was not taken");
            }
            self.told.store(wanted, Ordering::Release);
        }
        Ok(session)
    }

    /// What a call under way in this session hears beside its own stream. `id`: the gateway's own for the call.
    pub(crate) fn call(&self, id: u64) -> Heard {
        self.ear.call(id)
    }

    /// The session, while the upstream can be taken to know it.
    fn standing(&self) -> Option<Arc<Session>> {
        self.session.load_full().filter(|_| self.renewals.load(Ordering::Acquire) == self.upstream.renewals())
    }

    /// Forgets the session, so that the next call opens another. Another one than the given is kept.
    pub(crate) fn forget(&self, session: &Arc<Session>) {
        self.session.rcu(|current| current.as_ref().filter(|current| !Arc::ptr_eq(current, session)).cloned());
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(session) = self.session.swap(None) {
            self.upstream.end(&session);
        }
    }
}
