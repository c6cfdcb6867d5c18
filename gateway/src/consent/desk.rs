//! One connector's tokens: where they are, how they are got, renewed and given up.

use super::scopes::{Change, Scopes, Step};
use super::{ConsentError, Kept, Person, Standing};
use crate::catalog::PerUser;
use crate::secrets::{Found, Unresolved};
use aperium_core::auth::{check_client, without_line_end};
use aperium_core::id::TenantId;
use aperium_platform::egress::{EgressError, EgressPolicy};
use aperium_platform::oauth::{self, Client, Fetcher, Granted, OauthError, Server};
use aperium_store::{Claim, NewToken, Store, StoredToken, TenantStore, TokenKey, now_ms};
use arc_swap::ArcSwap;
use secrecy::{ExposeSecret as _, SecretString};
use std::sync::Arc;
use std::time::Duration;
use url::Url;
use zeroize::Zeroizing;

/// A token is renewed so long before its end, or at half of a short life.
const EARLY: Duration = Duration::from_secs(60);
/// How long a replica may take to renew a token before another one tries: more than a request to a token endpoint.
const CLAIM_MS: i64 = 15_000;
/// How long nobody tries again after a failure that says nothing of the consent.
const PAUSE_MS: i64 = 1_000;
/// How often those who wait for another's renewal look.
const LOOK: Duration = Duration::from_millis(25);

/// The tokens of one connector.
pub(crate) struct Desk {
    pub(super) id: String,
    pub(super) url: Url,
    pub(super) how: PerUser,
    pub(super) store: Option<Store>,
    fetcher: Result<Fetcher, EgressError>,
    given: ArcSwap<Result<(String, Option<SecretString>), Unresolved>>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Desk {
    pub(super) fn new(
        id: &str,
        url: &http::Uri,
        how: PerUser,
        secret: &str,
        store: Option<Store>,
        policy: Result<EgressPolicy, EgressError>,
    ) -> Arc<Self> {
        let parsed = Url::parse(&url.to_string()).map_err(|_| EgressError::Url("its address cannot be read"));
        let fetcher = parsed.clone().and_then(|url| Fetcher::new(&policy?, &url));
        let url = parsed.unwrap_or_else(|_| nowhere());
        let given = ArcSwap::from_pointee(Err(Unresolved::pending(secret)));
        Arc::new(Self { id: id.to_owned(), url, how, store, fetcher, given })
    }

    /// The connector's id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Takes the Secret with the client of an admin as it is now.
    pub(crate) fn replace(&self, secret: &str, found: &Found) {
        self.given.store(Arc::new(client_of(secret, found)));
    }

    pub(super) fn fetcher(&self) -> Result<&Fetcher, ConsentError> {
        self.fetcher.as_ref().map_err(|error| OauthError::Egress { what: "the upstream", error: error.clone() }.into())
    }

    pub(super) fn tenant(&self, person: &Person) -> Result<TenantStore, ConsentError> {
        Ok(self.store.as_ref().ok_or(ConsentError::NoStore)?.tenant(&person.tenant))
    }

    pub(super) fn key<'a>(&'a self, person: &'a Person) -> TokenKey<'a> {
        TokenKey { connector: &self.id, person: &person.name, upstream: self.url.as_str() }
    }

    /// Somebody who has consented.
    pub(super) async fn somebody(&self) -> Result<Option<Person>, ConsentError> {
        let store = self.store.as_ref().ok_or(ConsentError::NoStore)?;
        let last = store.every_tenant().last_consent(&self.id, self.url.as_str()).await?;
        Ok(last.and_then(|(tenant, name)| Some(Person { tenant: TenantId::parse(&tenant).ok()?, name })))
    }

    /// The client that an admin has registered at the server that the admin names.
    pub(super) fn given(&self, server: &Server) -> Result<Client, ConsentError> {
        match &**self.given.load() {
            Ok((id, secret)) => Ok(Client::given(id, secret.clone(), server)),
            Err(why) => Err(why.clone().into()),
        }
    }

    /// How it is for a person.
    pub(crate) async fn standing(&self, person: &Person) -> Result<Standing, ConsentError> {
        let Some(stored) = self.tenant(person)?.oauth_token(&self.key(person)).await? else {
            return Ok(Standing::NeedsAuth);
        };
        let kept = read(&stored)?;
        let ended = kept.ends_ms.is_some_and(|ends| ends <= now_ms());
        Ok(match stored.refreshable {
            false if ended => Standing::NeedsAuth,
            _ if kept.scopes.wants_more() => Standing::NeedsScope,
            true => Standing::Authorised,
            false => Standing::WithoutRenewal,
        })
    }

    /// What a consent has brought.
    pub(super) async fn save(
        &self,
        person: &Person,
        server: Server,
        client: Client,
        resource: String,
        asked: Vec<String>,
        granted: Granted,
    ) -> Result<(), ConsentError> {
        let (tenant, key, issuer) = (self.tenant(person)?, self.key(person), server.issuer.clone());
        let before = tenant.oauth_token(&key).await?.map(|stored| read(&stored)).transpose()?;
        let before = before.as_ref().map(|before| &before.scopes);
        let (scopes, change) = Scopes::consented(before, asked, granted.scopes.clone());
        self.tell("a consent", change);
        let (kept, renew_ms) = kept(granted, server, client, resource, scopes, None);
        let content = written(&kept)?;
        let token = NewToken { renew_ms, refreshable: kept.refresh.is_some(), content: &content };
        tenant.save_oauth_token(&key, &issuer, &token).await?;
        Ok(())
    }

    /// What a flow of a person asks for. `first`: what it would ask for if it were their first.
    pub(super) async fn scopes(&self, person: &Person, first: Vec<String>) -> Result<Vec<String>, ConsentError> {
        let Some(stored) = self.tenant(person)?.oauth_token(&self.key(person)).await? else { return Ok(first) };
        Ok(read(&stored)?.scopes.next(&first))
    }

    /// The upstream has refused a person's token because it wants these scopes. Remembers them for the next flow.
    ///
    /// # Errors
    /// [`ConsentError::MoreScope`] where the person should be asked, [`ConsentError::AskedAlready`] where that would be of
    /// no use.
    pub(super) async fn step_up(&self, person: &Person, scopes: &[String]) -> Result<(), ConsentError> {
        let (tenant, key) = (self.tenant(person)?, self.key(person));
        let stored = tenant.oauth_token(&key).await?.ok_or(ConsentError::Needed)?;
        let mut kept = read(&stored)?;
        match kept.scopes.want(scopes) {
            Step::Useless => return Err(ConsentError::AskedAlready),
            Step::Known => {}
            Step::Ask(step) => {
                // A token that was renewed meanwhile does not know of it: the next refusal says it again.
                tenant.amend_oauth_token(&key, &stored.issuer, stored.generation, &written(&kept)?).await?;
                tracing::info!(connector = self.id, step, "an upstream wants more scopes of a user");
            }
        }
        Err(ConsentError::MoreScope)
    }

    /// A server has granted other scopes than those that were expected of it. Their names are its own text.
    fn tell(&self, what: &'static str, change: Option<Change>) {
        if let Some(Change { less, more }) = change {
            tracing::warn!(connector = self.id, what, less, more, "an authorization server has granted other scopes");
        }
    }

    /// A token that is good now: renewed by exactly one of all who ask on all replicas. `refused`: the generation that
    /// the upstream did not take.
    pub(super) async fn current(
        &self,
        person: &Person,
        refused: Option<i64>,
    ) -> Result<(i64, Kept, bool), ConsentError> {
        let (tenant, key) = (self.tenant(person)?, self.key(person));
        let give_up = now_ms() + 2 * CLAIM_MS;
        loop {
            let stored = tenant.oauth_token(&key).await?.ok_or(ConsentError::Needed)?;
            let content = read(&stored)?;
            let now = now_ms();
            let ended = content.ends_ms.is_some_and(|ends| ends <= now);
            let refused = refused == Some(stored.generation);
            let due = stored.renew_ms.is_some_and(|at| at <= now) || refused;
            if !stored.refreshable {
                return if ended { Err(ConsentError::Needed) } else { Ok((stored.generation, content, false)) };
            }
            if !due {
                return Ok((stored.generation, content, true));
            }
            match tenant.claim_oauth_token(&key, stored.generation, CLAIM_MS).await? {
                Claim::Gone => return Err(ConsentError::Needed),
                Claim::Newer(_) => {}
                // Whoever still has a good token does not wait for the next one.
                Claim::Theirs(_) if !ended && !refused => return Ok((stored.generation, content, true)),
                Claim::Theirs(_) if now > give_up => return Err(ConsentError::Interrupted),
                Claim::Theirs(_) => tokio::time::sleep(LOOK).await,
                Claim::Mine(stored) => self.renew(&tenant, &key, &stored, ended || refused).await?,
            }
        }
    }

    /// Renews a token that was claimed. `needed`: the old one is of no use.
    async fn renew(
        &self,
        tenant: &TenantStore,
        key: &TokenKey<'_>,
        stored: &StoredToken,
        needed: bool,
    ) -> Result<(), ConsentError> {
        let before = read(stored)?;
        let Some(refresh) = &before.refresh else { return Err(ConsentError::Needed) };
        // An admin may have changed the secret since.
        let client = match self.how.server.is_some() {
            true => self.given(&before.server)?,
            false => before.client.clone(),
        };
        match oauth::refresh(self.fetcher()?, &before.server, &client, &before.resource, refresh).await {
            Ok(granted) => {
                let Kept { server, resource, scopes, refresh, .. } = before;
                let (scopes, change) = scopes.renewed(granted.scopes.clone());
                self.tell("a renewal", change);
                let (kept, renew_ms) = kept(granted, server, client, resource, scopes, refresh);
                let content = written(&kept)?;
                let token = NewToken { renew_ms, refreshable: true, content: &content };
                tenant.renew_oauth_token(key, &stored.issuer, stored.generation, &token).await?;
                Ok(())
            }
            Err(error) if error.ends_consent() => {
                tracing::warn!(connector = self.id, reason = error.reason(), "a user has to authorise again");
                tenant.delete_oauth_token(key, Some(stored.generation)).await?;
                Err(ConsentError::Needed)
            }
            Err(error) => {
                tracing::warn!(connector = self.id, reason = error.reason(), %error, "a token was not renewed");
                tenant.release_oauth_token(key, stored.generation, PAUSE_MS).await?;
                if needed { Err(error.into()) } else { Ok(()) }
            }
        }
    }

    /// Takes a person's tokens away, and tells the authorization server. Whether there were any.
    pub(super) async fn forget(&self, person: &Person) -> Result<bool, ConsentError> {
        let deleted = self.tenant(person)?.delete_oauth_token(&self.key(person), None).await?;
        for stored in &deleted {
            let kept = read(stored)?;
            let (token, kind) = match &kept.refresh {
                Some(refresh) => (refresh, "refresh_token"),
                None => (&kept.access, "access_token"),
            };
            if let Err(error) = oauth::revoke(self.fetcher()?, &kept.server, &kept.client, token, kind).await {
                // It is gone here in any case.
                tracing::warn!(connector = self.id, reason = error.reason(), %error, "a token was not revoked");
            }
        }
        Ok(!deleted.is_empty())
    }
}

fn nowhere() -> Url {
    // A constant that every parser takes; nothing is ever sent there: without a URL there is no fetcher.
    #[expect(clippy::expect_used, reason = "a constant")]
    Url::parse("https://invalid.invalid/").expect("a URL")
}

fn client_of(secret: &str, found: &Found) -> Result<(String, Option<SecretString>), Unresolved> {
    let values = match found {
        Found::Not(why) => return Err(why.clone()),
        Found::Values(values) => values,
    };
    let invalid = |reason, problem: String| Unresolved { reason, message: format!("Secret \"{secret}\": {problem}") };
    let get = |key: &str| {
        let Some(value) = values.get(key) else { return Ok(None) };
        let value = without_line_end(value.expose_secret());
        check_client(value).map_err(|fault| invalid("SecretInvalid", format!("key {key} {fault}")))?;
        Ok(Some(value.to_owned()))
    };
    let id = get("client_id")?.ok_or_else(|| invalid("SecretKeyMissing", "has no key client_id".to_owned()))?;
    Ok((id, get("client_secret")?.map(SecretString::from)))
}

/// What is stored of what was granted, and when it should be renewed.
fn kept(
    granted: Granted,
    server: Server,
    client: Client,
    resource: String,
    scopes: Scopes,
    refresh: Option<SecretString>,
) -> (Kept, Option<i64>) {
    let now = now_ms();
    let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let refresh = granted.refresh.or(refresh);
    let ends_ms = granted.life.map(|life| now.saturating_add(ms(life)));
    let renew = granted.life.map(|life| now.saturating_add(ms(life - EARLY.min(life / 2))));
    let renew_ms = renew.filter(|_| refresh.is_some());
    let access = granted.access;
    (Kept { access, refresh, server, client, resource, scopes, ends_ms }, renew_ms)
}

pub(super) fn read(stored: &StoredToken) -> Result<Kept, ConsentError> {
    serde_json::from_slice(&stored.content).map_err(|_| ConsentError::Stored)
}

fn written(kept: &Kept) -> Result<Zeroizing<Vec<u8>>, ConsentError> {
    serde_json::to_vec(kept).map(Zeroizing::new).map_err(|_| ConsentError::Stored)
}
