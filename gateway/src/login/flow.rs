//! The way through an issuer: authorization code with PKCE (S256), `state` and `nonce`. All that has to be remembered is
//! sealed into a cookie of the browser that began, so nobody else's browser can end it, and beginning costs nothing here.

use super::cookie::Cookie;
use super::session::store;
use super::{ReturnTo, SignInError};
use crate::access::Access;
use crate::pipeline::authn::oidc::As;
use crate::state::State;
use aperium_core::caller::Caller;
use aperium_crds::settings::OidcLogin;
use aperium_platform::oauth::{self, Answer, Denied};
use aperium_platform::seal::Purpose;
use aperium_store::now_ms;
use http::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use url::Url;

const FLOW: Purpose = Purpose::new("sign-in");
/// How long a person may take at the issuer.
const SECONDS: i64 = 15 * 60;

#[derive(Serialize, Deserialize)]
struct Flow {
    state: String,
    nonce: String,
    verifier: String,
    return_to: String,
    ends_ms: i64,
}

/// Where the browser goes, and the cookie that it takes along.
pub(crate) struct Begun {
    pub(crate) to: Url,
    pub(crate) cookie: HeaderValue,
}

/// Who came back, and what they wanted.
pub(crate) struct Ended {
    pub(crate) caller: Caller,
    pub(crate) return_to: ReturnTo,
}

/// Where the browser comes back to: written from the settings alone, never from a request.
fn redirect(access: &Access, login: &OidcLogin) -> String {
    format!("{}/login/{}/callback", access.public_url, login.name)
}

fn found<'a>(access: &'a Access, name: &str) -> Result<&'a OidcLogin, SignInError> {
    access.login.oidc.iter().find(|login| login.name == name).ok_or(SignInError::Unknown)
}

/// Begins a sign-in.
///
/// # Errors
/// [`SignInError`]
pub(crate) async fn begin(
    gateway: &State,
    access: &Access,
    name: &str,
    return_to: &ReturnTo,
) -> Result<Begun, SignInError> {
    let login = found(access, name)?;
    store(gateway).ok_or(SignInError::NoStore)?;
    let leads = access.oidc.leads(&login.issuer).await?;
    let random = || oauth::random().map_err(|_| SignInError::Sealed);
    let (state, nonce, verifier) = (random()?, random()?, random()?);
    let mut to = leads.to;
    let mut scope = "openid".to_owned();
    for wanted in login.scopes.iter().filter(|scope| *scope != "openid") {
        scope.push(' ');
        scope.push_str(wanted);
    }
    to.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &login.client_id)
        .append_pair("redirect_uri", &redirect(access, login))
        .append_pair("scope", &scope)
        .append_pair("state", state.expose_secret())
        .append_pair("nonce", nonce.expose_secret())
        .append_pair("code_challenge", &oauth::challenge(&verifier))
        .append_pair("code_challenge_method", "S256");
    let flow = Flow {
        state: state.expose_secret().to_owned(),
        nonce: nonce.expose_secret().to_owned(),
        verifier: verifier.expose_secret().to_owned(),
        return_to: return_to.path(),
        ends_ms: now_ms() + SECONDS * 1000,
    };
    let flow = zeroize::Zeroizing::new(serde_json::to_vec(&flow).map_err(|_| SignInError::Sealed)?);
    let sealed = gateway.sessions.sealer().seal_text(FLOW, login.name.as_bytes(), &flow);
    let sealed = sealed.map_err(|_| SignInError::Sealed)?;
    let cookie = Cookie::Flow.set(&sealed, access.secure(), Some(SECONDS)).ok_or(SignInError::Sealed)?;
    Ok(Begun { to, cookie })
}

/// Takes what the browser has brought back. Each sign-in counts once, on whatever replica.
///
/// # Errors
/// [`SignInError`]
pub(crate) async fn end(
    gateway: &State,
    access: &Access,
    name: &str,
    query: &str,
    headers: &HeaderMap,
) -> Result<Ended, SignInError> {
    let login = found(access, name)?;
    let platform = store(gateway).ok_or(SignInError::NoStore)?.platform();
    let answer = Answer::read(query)?;
    let sealed = Cookie::Flow.read(headers, access.secure()).ok_or(Denied::State)?;
    let flow = gateway.sessions.sealer().open_text(FLOW, login.name.as_bytes(), sealed).map_err(|_| Denied::State)?;
    let flow: Flow = serde_json::from_slice(&flow).map_err(|_| Denied::State)?;
    if flow.ends_ms <= now_ms() {
        return Err(Denied::State.into());
    }
    let leads = access.oidc.leads(&login.issuer).await?;
    let code = answer.judged(&flow.state, Some(&login.issuer), leads.names_itself)?;
    if !platform.use_sign_in(&hex::encode(Sha256::digest(&flow.state)), flow.ends_ms).await? {
        return Err(Denied::State.into());
    }
    let secret = gateway.login.file(&format!("oidc.{}", login.name)).map(SecretString::from);
    let at = As { issuer: &login.issuer, client: &login.client_id, secret };
    let verifier = SecretString::from(flow.verifier);
    let caller = access.oidc.signed_in(at, &code, &redirect(access, login), &verifier, &flow.nonce).await?;
    Ok(Ended { caller, return_to: ReturnTo::of(&flow.return_to) })
}
