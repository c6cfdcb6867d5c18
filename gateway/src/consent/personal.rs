//! One person's credential at one connector: inserted into that person's requests, and into nobody else's.

use super::{ConsentError, Desk, Person};
use crate::pipeline::credential::{CredentialError, Inserted};
use aperium_platform::oauth::Challenge;
use arc_swap::ArcSwapOption;
use http::{HeaderMap, HeaderValue, header};
use secrecy::ExposeSecret as _;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long a token counts without a look into the database: what another replica has taken away ends here by then.
const FRESH: Duration = Duration::from_secs(5);

/// A person's credential.
pub(crate) struct Personal {
    desk: Arc<Desk>,
    person: Person,
    ready: ArcSwapOption<Ready>,
    /// The generation that the upstream did not take; 0: none.
    refused: AtomicI64,
    looking: Mutex<()>,
}

/// A token, ready to be inserted.
struct Ready {
    generation: i64,
    header: HeaderValue,
    inserted: Inserted,
    refreshable: bool,
    until: Instant,
}

impl fmt::Debug for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Personal").field("desk", &self.desk).field("person", &self.person).finish_non_exhaustive()
    }
}

impl Personal {
    pub(super) fn new(desk: &Arc<Desk>, person: &Person) -> Arc<Self> {
        Arc::new(Self {
            desk: Arc::clone(desk),
            person: person.clone(),
            ready: ArcSwapOption::empty(),
            refused: AtomicI64::new(0),
            looking: Mutex::new(()),
        })
    }

    /// Inserts the token.
    ///
    /// # Errors
    /// [`CredentialError::Consent`].
    pub(crate) async fn insert(self: &Arc<Self>, headers: &mut HeaderMap) -> Result<Inserted, CredentialError> {
        let ready = match self.fresh() {
            Some(ready) => ready,
            None => {
                // A task of its own: a caller that goes away must not take a token response with it.
                let this = Arc::clone(self);
                let looked = tokio::spawn(async move { this.look().await }).await;
                looked.unwrap_or(Err(ConsentError::Interrupted))?
            }
        };
        headers.insert(header::AUTHORIZATION, ready.header.clone());
        Ok(ready.inserted.clone())
    }

    fn fresh(&self) -> Option<Arc<Ready>> {
        self.ready.load_full().filter(|ready| Instant::now() < ready.until)
    }

    async fn look(&self) -> Result<Arc<Ready>, ConsentError> {
        let _one = self.looking.lock().await;
        if let Some(ready) = self.fresh() {
            return Ok(ready);
        }
        let refused = Some(self.refused.load(Ordering::Acquire)).filter(|generation| *generation != 0);
        let found = self.desk.current(&self.person, refused).await;
        if found.is_err() {
            self.ready.store(None);
        }
        let (generation, kept, refreshable) = found?;
        let token = kept.access.expose_secret();
        let mut header = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| ConsentError::Stored)?;
        header.set_sensitive(true);
        let now = aperium_store::now_ms();
        let left = kept.ends_ms.map_or(FRESH, |ends| Duration::from_millis(u64::try_from(ends - now).unwrap_or(0)));
        let inserted = Inserted::masking(token);
        let ready = Ready { generation, header, inserted, refreshable, until: Instant::now() + FRESH.min(left) };
        let ready = Arc::new(ready);
        self.ready.store(Some(Arc::clone(&ready)));
        Ok(ready)
    }

    /// The upstream has not taken the token: the next request brings another one, once for each that was refused.
    pub(crate) fn refused(&self) {
        let Some(ready) = self.ready.load_full().filter(|ready| ready.refreshable) else { return };
        if self.refused.swap(ready.generation, Ordering::AcqRel) != ready.generation {
            self.ready.store(None);
        }
    }

    /// The upstream has answered 403: where its challenge says that the token lacks scopes, the person is asked for them.
    ///
    /// # Errors
    /// [`ConsentError::MoreScope`], [`ConsentError::AskedAlready`].
    pub(crate) async fn forbidden(&self, headers: &HeaderMap) -> Result<(), ConsentError> {
        match Challenge::of(headers).filter(|challenge| challenge.wants_more_scope() && !challenge.scopes.is_empty()) {
            Some(challenge) => self.desk.step_up(&self.person, &challenge.scopes).await,
            None => Ok(()),
        }
    }

    /// Another consent, or none any more: what is kept here counts no longer.
    pub(super) fn changed(&self) {
        self.refused.store(0, Ordering::Release);
        self.ready.store(None);
    }
}

/// The credential of whoever consented last: what a connector offers is found out with it.
#[derive(Debug, Default)]
pub(crate) struct Latest(pub(super) ArcSwapOption<Personal>);

impl Latest {
    /// Inserts the token.
    ///
    /// # Errors
    /// [`CredentialError::Consent`].
    pub(crate) async fn insert(&self, headers: &mut HeaderMap) -> Result<Inserted, CredentialError> {
        let current = self.0.load_full();
        let Some(personal) = &current else { return Err(ConsentError::Needed.into()) };
        let inserted = personal.insert(headers).await;
        if matches!(inserted, Err(CredentialError::Consent(ConsentError::Needed))) {
            // Somebody else may still have a token.
            self.0.compare_and_swap(&current, None);
        }
        inserted
    }

    /// The upstream has not taken the token.
    pub(crate) fn refused(&self) {
        if let Some(personal) = &*self.0.load() {
            personal.refused();
        }
    }
}
