//! The people of one connector: each has an upstream of their own, with a session and a credential that nobody shares.

use super::{ConsentError, Desk, Latest, Person, Personal, Standing};
use crate::pipeline::credential::Credential;
use crate::pipeline::upstream::Upstream;
use aperium_core::caller::Caller;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

/// People who are remembered at a time, and how long after their last request. Their tokens are in the database.
const MAX_PEOPLE: usize = 10_000;
const IDLE: Duration = Duration::from_secs(3600);

/// How often somebody is looked for whose token asks what a connector offers, while there is nobody.
const LOOK: Duration = Duration::from_secs(5);

type Make = Box<dyn Fn(Credential) -> Arc<Upstream> + Send + Sync>;

/// The people of a connector.
pub(crate) struct People {
    pub(super) desk: Arc<Desk>,
    latest: Arc<Latest>,
    make: Make,
    wake: Box<dyn Fn() + Send + Sync>,
    known: Mutex<HashMap<Person, Known>>,
}

struct Known {
    personal: Arc<Personal>,
    upstream: Arc<Upstream>,
    seen: Instant,
}

impl fmt::Debug for People {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("People").field("desk", &self.desk).finish_non_exhaustive()
    }
}

impl People {
    /// Nobody yet. `make`: an upstream with a credential; `wake`: asks anew what the connector offers.
    pub(crate) fn new(
        desk: Arc<Desk>,
        latest: Arc<Latest>,
        make: Make,
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> Arc<Self> {
        Arc::new(Self { desk, latest, make, wake, known: Mutex::default() })
    }

    /// The tokens.
    pub(crate) fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// The upstream of one caller.
    ///
    /// # Errors
    /// [`ConsentError::NoPerson`].
    pub(crate) fn upstream(&self, caller: &Caller) -> Result<Arc<Upstream>, ConsentError> {
        let person = Person::of(caller).ok_or(ConsentError::NoPerson)?;
        Ok(self.known(&person).1)
    }

    fn known(&self, person: &Person) -> (Arc<Personal>, Arc<Upstream>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if known.len() >= MAX_PEOPLE && !known.contains_key(person) {
            known.retain(|_, one| now.duration_since(one.seen) < IDLE);
            if known.len() >= MAX_PEOPLE {
                known.clear();
            }
        }
        let one = known.entry(person.clone()).or_insert_with(|| {
            let personal = Personal::new(&self.desk, person);
            let upstream = (self.make)(Credential::Personal(Arc::clone(&personal)));
            Known { personal, upstream, seen: now }
        });
        one.seen = now;
        (Arc::clone(&one.personal), Arc::clone(&one.upstream))
    }

    /// The credential of one caller.
    #[cfg(test)]
    pub(crate) fn personal(&self, caller: &Caller) -> Arc<Personal> {
        let person = Person::of(caller).expect("a person");
        self.known(&person).0
    }

    /// How it is for a caller.
    ///
    /// # Errors
    /// [`ConsentError`].
    pub(crate) async fn standing(&self, caller: &Caller) -> Result<Standing, ConsentError> {
        let Some(person) = Person::of(caller) else { return Ok(Standing::NeedsAuth) };
        let standing = self.desk.standing(&person).await?;
        if standing != Standing::NeedsAuth && self.latest.0.load().is_none() {
            self.consented(&person);
        }
        Ok(standing)
    }

    /// Whether a caller is somebody who could consent.
    pub(crate) fn knows(&self, caller: &Caller) -> bool {
        Person::of(caller).is_some()
    }

    /// Another replica may have taken a caller's consent: what this one remembers of it counts no longer.
    pub(crate) fn look_again(&self, caller: &Caller) {
        if let Some(person) = Person::of(caller) {
            self.known(&person).0.changed();
        }
    }

    /// Looks for somebody whose token asks what the connector offers, for as long as the connector is there: whoever
    /// consented before this replica was started, on another one, or besides somebody who has disconnected since.
    pub(crate) async fn look_for_somebody(people: Weak<Self>) {
        while let Some(people) = people.upgrade() {
            if people.latest.0.load().is_none()
                && let Ok(Some(person)) = people.desk.somebody().await
            {
                people.consented(&person);
            }
            drop(people);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A person has consented: what the connector offers is asked with their token.
    pub(super) fn consented(&self, person: &Person) {
        let (personal, _) = self.known(person);
        personal.changed();
        self.latest.0.store(Some(personal));
        (self.wake)();
    }

    /// Takes a caller's tokens away and revokes them. Whether there were any.
    ///
    /// # Errors
    /// [`ConsentError`].
    pub(crate) async fn disconnect(&self, caller: &Caller) -> Result<bool, ConsentError> {
        let person = Person::of(caller).ok_or(ConsentError::NoPerson)?;
        let forgotten = self.desk.forget(&person).await;
        // Its session with the upstream ends too.
        let gone = self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(&person);
        if let Some(gone) = gone {
            let lists = self.latest.0.load().as_ref().is_some_and(|latest| Arc::ptr_eq(latest, &gone.personal));
            if lists {
                self.latest.0.store(None);
            }
            gone.personal.changed();
            if let Some(session) = gone.upstream.known() {
                gone.upstream.forget(&session);
            }
        }
        forgotten
    }
}
