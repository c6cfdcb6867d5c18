//! Access tokens by client credentials (RFC 6749 §4.4): fetched once for all who wait, kept until shortly before their
//! end, never fetched in a hurry after a failure.

use super::inject::Injection;
use super::mask::Mask;
use super::remote::{Changed, Condition};
use aperium_platform::egress::{EgressError, ExternalClient};
use arc_swap::ArcSwapOption;
use http::{HeaderName, Uri, header};
use secrecy::SecretString;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

mod answer;
mod exchange;

use exchange::Style;
pub(crate) use exchange::TokenError;

/// A token is renewed this long before its end, or at half of a life shorter than twice that.
const EARLY: Duration = Duration::from_secs(60);
/// The first pause after a failure; it doubles up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// A token that was in use for this long was a good one: its refusal is news.
const PROVEN: Duration = Duration::from_secs(60);

/// Who asks for tokens, and where.
pub(super) struct Client {
    pub(super) token_url: Uri,
    /// Scopes joined by blanks; empty: none is asked for.
    pub(super) scope: String,
    pub(super) id: String,
    pub(super) secret: SecretString,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// One access token.
#[derive(Debug)]
pub(super) struct Token {
    injection: Injection,
    mask: Option<Arc<Mask>>,
    fetched: Instant,
    renew: Instant,
    ends: Instant,
    /// The upstream did not accept it, and another one may be asked for.
    stale: AtomicBool,
}

impl Token {
    fn new(client: &Client, granted: &answer::Granted, now: Instant) -> Option<Self> {
        use secrecy::ExposeSecret as _;
        let access = granted.access_token.expose_secret();
        let name: HeaderName = header::AUTHORIZATION;
        Some(Self {
            injection: Injection::header(name, &format!("Bearer {access}"))?,
            mask: Mask::over(&[access, client.secret.expose_secret()]),
            fetched: now,
            renew: now + granted.life.saturating_sub(EARLY).max(granted.life / 2),
            ends: now + granted.life,
            stale: AtomicBool::new(false),
        })
    }

    pub(super) fn injection(&self) -> &Injection {
        &self.injection
    }

    pub(super) fn mask(&self) -> Option<Arc<Mask>> {
        self.mask.clone()
    }

    fn usable(&self, now: Instant) -> bool {
        now < self.ends && !self.stale.load(Ordering::Acquire)
    }
}

/// The tokens of one client.
pub(super) struct Tokens {
    client: Client,
    external: Result<ExternalClient, EgressError>,
    current: ArcSwapOption<Token>,
    failed: ArcSwapOption<TokenError>,
    gate: Mutex<Gate>,
    refusals: std::sync::Mutex<Attempts>,
    renewing: AtomicBool,
    changed: Changed,
}

/// What whoever fetches has to know; held while fetching.
#[derive(Debug, Default)]
struct Gate {
    style: Option<Style>,
    attempts: Attempts,
}

/// Failures in a row, and how long to wait after them.
#[derive(Debug, Default)]
struct Attempts {
    failures: u32,
    not_before: Option<Instant>,
}

impl Attempts {
    /// One more failure: the pause before the next attempt.
    fn fail(&mut self, now: Instant) {
        let pause = PAUSE.saturating_mul(1 << self.failures.min(6)).min(MAX_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + pause);
    }

    fn closed(&self, now: Instant) -> bool {
        self.not_before.is_some_and(|until| now < until)
    }
}

impl Tokens {
    pub(super) fn new(client: Client, external: Result<ExternalClient, EgressError>, changed: Changed) -> Arc<Self> {
        Arc::new(Self {
            client,
            external,
            current: ArcSwapOption::empty(),
            failed: ArcSwapOption::empty(),
            gate: Mutex::default(),
            refusals: std::sync::Mutex::default(),
            renewing: AtomicBool::new(false),
            changed,
        })
    }

    /// Fetches the first token before anybody asks, so that a status can say whether it works.
    pub(super) fn warm(self: &Arc<Self>) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let this = Arc::clone(self);
            runtime.spawn(async move { this.fetch().await });
        }
    }

    /// A token that is good now.
    ///
    /// # Errors
    /// [`TokenError`]: of this attempt, or of the last one while the pause after it lasts.
    pub(super) async fn get(self: &Arc<Self>) -> Result<Arc<Token>, Arc<TokenError>> {
        let now = Instant::now();
        if let Some(token) = self.current.load_full().filter(|token| token.usable(now)) {
            if now >= token.renew && !self.renewing.swap(true, Ordering::AcqRel) {
                let this = Arc::clone(self);
                tokio::spawn(async move {
                    // Whoever asks meanwhile still has a good token.
                    let _ = this.fetch().await;
                    this.renewing.store(false, Ordering::Release);
                });
            }
            return Ok(token);
        }
        // A task of its own: a caller that goes away must not take the answer of the others with it.
        let this = Arc::clone(self);
        tokio::spawn(async move { this.fetch().await }).await.unwrap_or_else(|_| Err(Arc::new(TokenError::Interrupted)))
    }

    async fn fetch(&self) -> Result<Arc<Token>, Arc<TokenError>> {
        let mut gate = self.gate.lock().await;
        let now = Instant::now();
        if let Some(token) = self.current.load_full().filter(|token| token.usable(now) && now < token.renew) {
            return Ok(token);
        }
        if gate.attempts.closed(now)
            && let Some(error) = self.failed.load_full()
        {
            return Err(error);
        }
        let outcome = self.exchange(&mut gate).await;
        let now = Instant::now();
        let state = || (self.current.load().is_some(), self.failed.load().as_ref().map(|error| error.reason()));
        let before = state();
        let outcome = match outcome {
            Ok(token) => {
                gate.attempts = Attempts::default();
                self.current.store(Some(Arc::clone(&token)));
                self.failed.store(None);
                Ok(token)
            }
            Err(error) => {
                gate.attempts.fail(now);
                let error = Arc::new(error);
                tracing::warn!(reason = error.reason(), %error, "no access token for a remote connector");
                self.failed.store(Some(Arc::clone(&error)));
                Err(error)
            }
        };
        drop(gate);
        if before != state() {
            (self.changed)();
        }
        outcome
    }

    async fn exchange(&self, gate: &mut Gate) -> Result<Arc<Token>, TokenError> {
        let external = self.external.as_ref().map_err(|error| TokenError::Egress(error.clone()))?;
        let granted = exchange::grant(external, &self.client, &mut gate.style).await?;
        let token = Token::new(&self.client, &granted, Instant::now());
        token.map(Arc::new).ok_or(TokenError::Malformed("its token fits into no header"))
    }

    /// The upstream has refused this token. Another one is fetched for the next request; where that is refused as well
    /// soon after, the pauses grow, and the token stays in use meanwhile.
    pub(super) fn refused(&self, token: &Arc<Token>) {
        let current = self.current.load();
        let Some(current) = current.as_ref().filter(|current| Arc::ptr_eq(current, token)) else { return };
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now.duration_since(current.fetched) >= PROVEN {
            *refusals = Attempts::default();
        }
        if !refusals.closed(now) {
            refusals.fail(now);
            current.stale.store(true, Ordering::Release);
        }
    }

    pub(super) fn condition(&self) -> Condition {
        match (self.failed.load_full(), self.current.load().is_some()) {
            (Some(error), _) => Condition::Failed(error),
            (None, true) => Condition::Fetched,
            (None, false) => Condition::Pending,
        }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("client", &self.client).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
