//! The steps that ask somebody: who the authorization server is, a registration, tokens, their end.

use super::fetch::Send;
use super::{
    Challenge, Client, ClientAuth, Fetcher, Granted, OauthError, Pending, Resource, Server, Trust, canonical, client,
    resource, server, token, web,
};
use bytes::Bytes;
use http::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

const RESOURCE: &str = "the resource metadata";
const SERVER: &str = "the authorization server's metadata";
const REGISTRATION: &str = "the registration";
const REVOCATION: &str = "the revocation endpoint";

/// What an upstream and its authorization server say of themselves.
#[derive(Debug, Clone)]
pub struct Found {
    /// The upstream.
    pub resource: Resource,
    /// Its authorization server.
    pub server: Server,
}

/// Finds the authorization server of the MCP server at `url`, from its challenge where there was one.
///
/// A server that publishes no resource metadata is taken to be its own authorization server, as before 2025-06-18.
///
/// # Errors
/// [`OauthError`].
pub async fn discover(fetcher: &Fetcher, url: &Url, challenge: Option<&Challenge>) -> Result<Found, OauthError> {
    let named = challenge.and_then(|challenge| challenge.resource_metadata.as_deref());
    let places = match named {
        Some(named) => vec![web::endpoint(named, RESOURCE)?],
        None => resource::well_known(url),
    };
    let resource = match first(fetcher, RESOURCE, places).await? {
        Some(body) => resource::read(&body, url)?,
        None if named.is_some() => return Err(OauthError::NoServer),
        None => Resource { id: canonical(url), issuer: url.origin().ascii_serialization(), scopes: Vec::new() },
    };
    let body = first(fetcher, SERVER, server::well_known(&resource.issuer)?).await?.ok_or(OauthError::NoServer)?;
    let server = server::read(&body, &resource.issuer)?;
    Ok(Found { resource, server })
}

/// The first document that is there. Whoever is not reached ends the search: what is found further on would be a guess.
async fn first(fetcher: &Fetcher, what: &'static str, places: Vec<Url>) -> Result<Option<Bytes>, OauthError> {
    for place in places {
        let (status, body) = fetcher.send(what, Method::GET, &place, Trust::Told, Send::Nothing).await?;
        match status {
            StatusCode::OK => return Ok(Some(body)),
            other if other.is_client_error() => {}
            other => return Err(OauthError::Status { what, status: other.as_u16() }),
        }
    }
    Ok(None)
}

/// Becomes a client there by registration. A client that is there already, and one by its metadata document
/// ([`Client::by_document`]), come first.
///
/// # Errors
/// [`OauthError`]; [`OauthError::NoRegistration`] where the server takes none.
pub async fn register(fetcher: &Fetcher, server: &Server, redirect: &str) -> Result<Client, OauthError> {
    let endpoint = server.registration.as_ref().ok_or(OauthError::NoRegistration)?;
    let body = client::registration(server, redirect).to_string().into_bytes();
    let answered = fetcher.send(REGISTRATION, Method::POST, endpoint, server.trust, Send::Json(body)).await?;
    client::registered(&accept(REGISTRATION, answered)?, server)
}

/// Exchanges a code for tokens.
///
/// # Errors
/// [`OauthError`].
pub async fn redeem(fetcher: &Fetcher, pending: &Pending, code: &SecretString) -> Result<Granted, OauthError> {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code.expose_secret()),
        ("redirect_uri", &pending.redirect),
        ("code_verifier", pending.verifier()),
        ("resource", &pending.resource),
    ];
    let body = ask(fetcher, &pending.server, &pending.client, &fields).await?;
    token::granted(&body)
}

/// Renews a token.
///
/// # Errors
/// [`OauthError`]; one that [`OauthError::ends_consent`] where the user has to consent again.
pub async fn refresh(
    fetcher: &Fetcher,
    server: &Server,
    client: &Client,
    resource: &str,
    refresh: &SecretString,
) -> Result<Granted, OauthError> {
    let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh.expose_secret()), ("resource", resource)];
    let body = ask(fetcher, server, client, &fields).await?;
    token::granted(&body)
}

async fn ask(
    fetcher: &Fetcher,
    server: &Server,
    client: &Client,
    fields: &[(&str, &str)],
) -> Result<Bytes, OauthError> {
    let once = async |auth| {
        let form = Send::Form(token::form(client, auth, fields));
        let answered = fetcher.send(token::WHAT, Method::POST, &server.token, server.trust, form).await?;
        accept(token::WHAT, answered)
    };
    match once(client.auth).await {
        Err(error) if client.auth == ClientAuth::Either && token::about_authentication(&error) => {
            once(ClientAuth::Post).await
        }
        outcome => outcome,
    }
}

/// Revokes a token (RFC 7009), where the server has an endpoint for it. Returns whether it has.
///
/// # Errors
/// [`OauthError`].
pub async fn revoke(
    fetcher: &Fetcher,
    server: &Server,
    client: &Client,
    token: &SecretString,
    kind: &'static str,
) -> Result<bool, OauthError> {
    let Some(endpoint) = &server.revocation else { return Ok(false) };
    let fields = [("token", token.expose_secret()), ("token_type_hint", kind)];
    let form = Send::Form(token::form(client, client.auth, &fields));
    let answered = fetcher.send(REVOCATION, Method::POST, endpoint, server.trust, form).await?;
    accept(REVOCATION, answered).map(|_| true)
}

fn accept(what: &'static str, (status, body): (StatusCode, Bytes)) -> Result<Bytes, OauthError> {
    match status {
        StatusCode::OK | StatusCode::CREATED => Ok(body),
        StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(OauthError::Refused { what, status: status.as_u16(), code: token::error_code(&body) })
        }
        other => Err(OauthError::Status { what, status: other.as_u16() }),
    }
}
