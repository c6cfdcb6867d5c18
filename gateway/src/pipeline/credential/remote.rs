//! The shared credential of one remote connector, as its Secret says at the moment.

use super::material::Material;
use super::token::{TokenError, Tokens};
use super::{CredentialError, Inserted};
use crate::catalog::Auth;
use crate::secrets::{Found, Unresolved};
use aperium_platform::egress::{EgressError, ExternalClient};
use arc_swap::{ArcSwap, ArcSwapOption};
use http::{HeaderMap, Uri};
use std::fmt;
use std::sync::Arc;
use tokio::sync::Notify;

/// Who is told that the state of a credential has changed.
pub(crate) type Changed = Arc<dyn Fn() + Send + Sync>;

/// The credential of one remote connector. Lives as long as its upstream; the values behind it may change.
pub(crate) struct Remote {
    auth: Auth,
    client: Result<ExternalClient, EgressError>,
    state: ArcSwap<State>,
    reader: ArcSwapOption<Notify>,
    changed: Changed,
}

enum State {
    Unresolved(Unresolved),
    Fixed(super::inject::Injection, Inserted),
    Tokens(Arc<Tokens>),
}

/// How a credential is, for conditions.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    /// Its Secret cannot be used.
    Unresolved(Unresolved),
    /// It is inserted into every request.
    Inserted,
    /// No token was fetched yet.
    Pending,
    /// There is a token.
    Fetched,
    /// There is none.
    Failed(Arc<TokenError>),
}

impl Remote {
    /// A credential whose values are not known yet. Tokens are fetched with `client`, which must reach what an admin
    /// may name; `changed` is called when a token was fetched after none was there, or the reverse.
    pub(crate) fn new(auth: Auth, client: Result<ExternalClient, EgressError>, changed: Changed) -> Arc<Self> {
        let state = ArcSwap::from_pointee(State::Unresolved(Unresolved::pending(&auth.secret)));
        Arc::new(Self { auth, client, state, reader: ArcSwapOption::empty(), changed })
    }

    /// Takes the Secret as it is now; a token of other values is forgotten. `reader` is notified when the upstream does
    /// not accept the credential.
    pub(crate) fn replace(&self, found: &Found, reader: &Arc<Notify>) {
        self.reader.store(Some(Arc::clone(reader)));
        let material = match found {
            Found::Not(why) => Err(why.clone()),
            Found::Values(values) => Material::of(&self.auth, values),
        };
        let state = match material {
            Err(why) => State::Unresolved(why),
            Ok(Material::Fixed(injection, mask)) => State::Fixed(injection, Inserted { mask, token: None }),
            Ok(Material::Client(client)) => {
                let tokens = Tokens::new(client, self.client.clone(), Arc::clone(&self.changed));
                tokens.warm();
                State::Tokens(tokens)
            }
        };
        self.state.store(Arc::new(state));
    }

    pub(super) async fn insert(&self, headers: &mut HeaderMap, uri: &mut Uri) -> Result<Inserted, CredentialError> {
        // Out of the guard before anything is awaited.
        let tokens = match &**self.state.load() {
            State::Unresolved(why) => return Err(why.clone().into()),
            State::Fixed(injection, inserted) => {
                injection.write_into(headers, uri)?;
                return Ok(inserted.clone());
            }
            State::Tokens(tokens) => Arc::clone(tokens),
        };
        let token = Box::pin(tokens.get()).await?;
        token.injection().write_into(headers, uri)?;
        Ok(Inserted { mask: token.mask(), token: Some(token) })
    }

    pub(super) fn refused(&self, inserted: &Inserted) {
        if let (State::Tokens(tokens), Some(token)) = (&**self.state.load(), &inserted.token) {
            tokens.refused(token);
        }
        if let Some(reader) = &*self.reader.load() {
            reader.notify_one();
        }
    }

    /// How it is at the moment.
    pub(crate) fn condition(&self) -> Condition {
        match &**self.state.load() {
            State::Unresolved(why) => Condition::Unresolved(why.clone()),
            State::Fixed(..) => Condition::Inserted,
            State::Tokens(tokens) => tokens.condition(),
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("auth", &self.auth).finish_non_exhaustive()
    }
}
