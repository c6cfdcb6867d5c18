//! The scenarios `auth/*`: a client of the suite's protected server that does what the gateway does for a user, with the
//! same library, and takes the user's way through the authorization server itself.

use anyhow::{Context as _, bail, ensure};
use aperium_core::egress::{EgressRules, LoopbackOpening};
use aperium_platform::egress::EgressPolicy;
use aperium_platform::oauth::{self, Answer, Challenge, Client, Fetcher, Wish};
use aperium_tests::http::{self, Reply};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// Whose metadata document the suite expects; nobody serves it.
const DOCUMENT: &str = "https://conformance-test.local/client-metadata.json";
/// Nothing listens here: the browser's last step is read from the redirect.
const REDIRECT: &str = "http://127.0.0.1:8080/aperture/auth/upstream/callback";
/// How often a user is asked in one scenario.
const CONSENTS: usize = 3;

/// Lists the tools and calls one, and consents where that is asked for.
pub(crate) async fn play(version: &str, context: &Value, url: &str) -> anyhow::Result<()> {
    let rules = EgressRules { loopback: Some(LoopbackOpening::default()), ..EgressRules::default() };
    let upstream = url.parse()?;
    let fetcher = Fetcher::new(&EgressPolicy::new(rules)?, &upstream)?;
    let mut user = User { version, url, upstream, context, fetcher, clients: HashMap::new(), granted: None, asked: 0 };
    for (method, params) in [("tools/list", json!({})), ("tools/call", json!({"name": "test-tool", "arguments": {}}))] {
        loop {
            let response = user.post(method, params.clone()).await?;
            let challenge = Challenge::of(&response.headers);
            match response.status {
                200 => break,
                401 => user.consent(challenge.as_ref()).await?,
                403 if challenge.as_ref().is_some_and(Challenge::wants_more_scope) => {
                    user.consent(challenge.as_ref()).await?;
                }
                other => bail!("{method}: HTTP {other}"),
            }
        }
    }
    Ok(())
}

struct User<'a> {
    version: &'a str,
    url: &'a str,
    upstream: url::Url,
    context: &'a Value,
    fetcher: Fetcher,
    /// By issuer: no client is known to two servers.
    clients: HashMap<String, Client>,
    /// The token, and the scopes that were asked for.
    granted: Option<(SecretString, Vec<String>)>,
    asked: usize,
}

impl User<'_> {
    async fn post(&self, method: &str, mut params: Value) -> anyhow::Result<Reply> {
        let mut headers = vec![("mcp-protocol-version", self.version)];
        if self.version == "2026-07-28" {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": self.version,
                "io.modelcontextprotocol/clientInfo": {"name": "driver", "version": "1.0.0"},
                "io.modelcontextprotocol/clientCapabilities": {},
            });
            headers.push(("mcp-method", method));
            if method == "tools/call" {
                headers.push(("mcp-name", "test-tool"));
            }
        }
        let bearer = self.granted.as_ref().map(|(token, _)| format!("Bearer {}", token.expose_secret()));
        headers.extend(bearer.iter().map(|bearer| ("authorization", bearer.as_str())));
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        Ok(http::post_json(self.url, &headers, &message).await?)
    }

    /// All of a flow.
    async fn consent(&mut self, challenge: Option<&Challenge>) -> anyhow::Result<()> {
        self.asked += 1;
        ensure!(self.asked <= CONSENTS, "the server is never satisfied");
        let found = oauth::discover(&self.fetcher, &self.upstream, challenge).await?;
        let server = found.server;
        let client = match self.context["client_id"].as_str() {
            Some(id) => Client::given(id, self.context["client_secret"].as_str().map(SecretString::from), &server),
            None => match self.clients.get(&server.issuer) {
                Some(known) => known.clone(),
                None => match Client::by_document(DOCUMENT, &server) {
                    Some(client) => client,
                    None => oauth::register(&self.fetcher, &server, REDIRECT).await?,
                },
            },
        };
        self.clients.insert(server.issuer.clone(), client.clone());
        let challenged = challenge.map(|challenge| challenge.scopes.clone()).unwrap_or_default();
        let chosen = oauth::choose(&[], &challenged, &found.resource.scopes, &server.scopes);
        let before = self.granted.as_ref().map(|(_, scopes)| scopes.clone()).unwrap_or_default();
        let scopes = oauth::union(&before, &chosen);
        let parameters = BTreeMap::new();
        let wish = Wish {
            lead: "",
            redirect: REDIRECT,
            resource: &found.resource.id,
            scopes: &scopes,
            parameters: &parameters,
        };
        let (url, pending) = oauth::begin(server, client, &wish)?;
        let redirected = http::get(url.as_str(), &[]).await?;
        let location = redirected.header("location").context("no redirect")?;
        let query = location.strip_prefix(REDIRECT).and_then(|rest| rest.strip_prefix('?')).context("elsewhere")?;
        let code = Answer::read(query)?.code(&pending)?;
        let granted = oauth::redeem(&self.fetcher, &pending, &code).await?;
        self.granted = Some((granted.access, scopes));
        Ok(())
    }
}
