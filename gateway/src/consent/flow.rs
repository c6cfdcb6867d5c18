//! From the wish of a user to their token: the URL that their browser opens, and what it brings back.

use super::{ConsentError, People, Person, document};
use aperium_core::caller::Caller;
use aperium_core::id::TenantId;
use aperium_platform::oauth::{self, Answer, Client, Denied, Pending, Server, Wish};
use aperium_platform::seal::{Purpose, Sealer};
use aperium_store::{Flow, TenantStore, now_ms};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;
use url::Url;
use zeroize::Zeroizing;

/// How long a user may take.
const FLOW_MS: i64 = 15 * 60 * 1000;
const LEAD: Purpose = Purpose::new("oauth state");

/// What the gateway is at a server, for one place that browsers come back to.
#[derive(Serialize, Deserialize)]
struct Registered {
    client: Client,
    redirect: String,
}

/// What a flow is for.
struct Plan {
    server: Server,
    client: Client,
    resource: String,
    scopes: Vec<String>,
}

impl People {
    /// Begins a flow for a caller; what the user's browser opens. `redirect`: where it comes back to; `browser`: which one
    /// may end it, empty at the machine.
    ///
    /// # Errors
    /// [`ConsentError`].
    pub(crate) async fn begin(
        &self,
        caller: &Caller,
        redirect: &str,
        browser: &str,
        sealer: &Sealer,
    ) -> Result<Url, ConsentError> {
        let person = Person::of(caller).ok_or(ConsentError::NoPerson)?;
        let desk = &self.desk;
        let tenant = desk.tenant(&person)?;
        let plan = match &desk.how.server {
            Some(server) => Plan {
                server: server.clone(),
                client: desk.given(server)?,
                resource: oauth::canonical(&desk.url),
                scopes: desk.how.scopes.clone(),
            },
            None => self.discover(&tenant, redirect).await?,
        };
        let scopes = desk.scopes(&person, plan.scopes).await?;
        // The state says, to us alone, whose database rows the flow is among.
        let lead = sealer.seal_text(LEAD, desk.id.as_bytes(), person.tenant.as_str().as_bytes());
        let lead = format!("{}.", lead.map_err(|_| ConsentError::Stored)?);
        let parameters = &desk.how.parameters;
        let wish = Wish { lead: &lead, redirect, resource: &plan.resource, scopes: &scopes, parameters };
        let (url, pending) = oauth::begin(plan.server, plan.client, &wish)?;
        let content = serde_json::to_vec(&pending).map(Zeroizing::new).map_err(|_| ConsentError::Stored)?;
        let flow = Flow { connector: desk.id.clone(), person: person.name, browser: browser.to_owned(), content };
        tenant.begin_oauth_flow(&id_of(pending.state()), &flow, now_ms() + FLOW_MS).await?;
        Ok(url)
    }

    /// Asks the upstream for its authorization server, and becomes a client there where that has not happened yet.
    async fn discover(&self, tenant: &TenantStore, redirect: &str) -> Result<Plan, ConsentError> {
        let (desk, fetcher) = (&self.desk, self.desk.fetcher()?);
        let challenge = fetcher.challenge(&desk.url).await?;
        let found = oauth::discover(fetcher, &desk.url, challenge.as_ref()).await?;
        let server = found.server;
        let client = match document::url_beside(redirect).and_then(|url| Client::by_document(&url, &server)) {
            Some(client) => client,
            None => self.register(tenant, &server, redirect).await?,
        };
        let challenged = challenge.map(|challenge| challenge.scopes).unwrap_or_default();
        let scopes = oauth::choose(&desk.how.scopes, &challenged, &found.resource.scopes, &server.scopes);
        Ok(Plan { server, client, resource: found.resource.id, scopes })
    }

    /// The client that the gateway has registered at a server, or registers now.
    async fn register(&self, tenant: &TenantStore, server: &Server, redirect: &str) -> Result<Client, ConsentError> {
        let desk = &self.desk;
        let stored = tenant.oauth_client(&desk.id, &server.issuer).await?;
        let known: Option<Registered> = stored.and_then(|content| serde_json::from_slice(&content).ok());
        if let Some(known) = known.filter(|known| known.redirect == redirect) {
            return Ok(known.client);
        }
        let client = oauth::register(desk.fetcher()?, server, redirect).await?;
        let registered = Registered { client, redirect: redirect.to_owned() };
        let content = serde_json::to_vec(&registered).map(Zeroizing::new).map_err(|_| ConsentError::Stored)?;
        tenant.save_oauth_client(&desk.id, &server.issuer, &content).await?;
        Ok(registered.client)
    }

    /// Takes what the caller's browser has brought back. `browser`: which one it is.
    ///
    /// # Errors
    /// [`ConsentError`].
    pub(crate) async fn finish(
        self: &Arc<Self>,
        caller: &Caller,
        query: &str,
        browser: &str,
        sealer: &Sealer,
    ) -> Result<(), ConsentError> {
        let person = Person::of(caller).ok_or(ConsentError::NoPerson)?;
        let desk = &self.desk;
        let answer = Answer::read(query)?;
        let state = answer.state.clone().unwrap_or_default();
        let lead = state.split_once('.').map(|(lead, _)| lead).unwrap_or_default();
        let tenant = sealer.open_text(LEAD, desk.id.as_bytes(), lead).map_err(|_| Denied::State)?;
        let tenant = std::str::from_utf8(&tenant).ok().and_then(|text| TenantId::parse(text).ok());
        if tenant.as_ref() != Some(&person.tenant) {
            return Err(Denied::State.into());
        }
        let flow = desk.tenant(&person)?.take_oauth_flow(&id_of(&state), &desk.id).await?;
        let flow = flow.filter(|flow| flow.person == person.name && flow.browser == browser).ok_or(Denied::State)?;
        let pending: Pending = serde_json::from_slice(&flow.content).map_err(|_| ConsentError::Stored)?;
        let code = answer.code(&pending)?;
        // A task of its own: a browser that goes away must not take the token response with it.
        let this = Arc::clone(self);
        let ended = tokio::spawn(async move {
            let granted = oauth::redeem(this.desk.fetcher()?, &pending, &code).await?;
            let Pending { server, client, resource, scopes, .. } = pending;
            this.desk.save(&person, server, client, resource, scopes, granted).await?;
            this.consented(&person);
            Ok::<(), ConsentError>(())
        });
        ended.await.unwrap_or(Err(ConsentError::Interrupted))
    }
}

/// What a flow is found by: whoever reads the database cannot end it.
fn id_of(state: &str) -> String {
    hex::encode(Sha256::digest(state))
}
