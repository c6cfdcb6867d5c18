//! Where people sign in and out: `/login`, `/login/<name>`, `/login/<name>/callback`, `/logout`, `/signed-out`.

use super::{Form, message, page, see_other};
use crate::access::Access;
use crate::login::cookie::Cookie;
use crate::login::{ReturnTo, SignInError, Visit, csrf, flow, session};
use crate::snapshot::Identity;
use crate::state::State;
use crate::trail;
use aperium_core::caller::{Caller, Principal};
use aperium_crds::settings::OidcLogin;
use aperium_platform::oauth;
use askama::Template;
use axum::extract::{Path, RawQuery, State as Given};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use secrecy::ExposeSecret as _;
use std::sync::Arc;
use url::form_urlencoded;

/// The routes; they need no caller.
pub(crate) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/login", get(show).post(with_password))
        .route("/login/{name}", get(begin))
        .route("/login/{name}/callback", get(callback))
        .route("/signed-out", get(signed_out))
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    /// Label and address of each issuer.
    issuers: Vec<(&'a str, String)>,
    local: bool,
    token: &'a str,
    return_to: &'a str,
    problem: &'a str,
}

/// What a query wishes for.
fn wish(query: Option<&str>) -> ReturnTo {
    let query = query.unwrap_or_default();
    let mut wishes = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "return_to");
    match (wishes.next(), wishes.next()) {
        (Some((_, wish)), None) => ReturnTo::of(&wish),
        _ => ReturnTo::START,
    }
}

async fn show(Given(gateway): Given<Arc<State>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    form(&gateway.access.load(), StatusCode::OK, &wish(query.as_deref()), "", &headers)
}

/// The page with all ways, its form bound to the browser.
fn form(access: &Access, status: StatusCode, return_to: &ReturnTo, problem: &str, headers: &HeaderMap) -> Response {
    if access.loopback() {
        return see_other("/");
    }
    let login = &access.login;
    if !login.any() {
        let text = "Nobody signs in here: the settings name no issuer and no local user (authentication.login).";
        return message(StatusCode::NOT_FOUND, "No sign-in", text, None);
    }
    let secure = access.secure();
    let (secret, new) = match Cookie::Form.read(headers, secure) {
        Some(known) => (known.to_owned(), None),
        None => {
            let Ok(secret) = oauth::random() else { return failed(&SignInError::Sealed) };
            let secret = secret.expose_secret().to_owned();
            let cookie = Cookie::Form.set(&secret, secure, None);
            (secret, cookie)
        }
    };
    let (token, return_to) = (csrf::token(&secret), return_to.path());
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("return_to", &return_to).finish();
    let issuer = |one: &'_ OidcLogin| format!("/login/{}?{query}", one.name);
    let issuers =
        login.oidc.iter().map(|one| (if one.label.is_empty() { &*one.name } else { &*one.label }, issuer(one)));
    let content = LoginPage {
        issuers: issuers.collect(),
        local: !login.local.is_empty(),
        token: &token,
        return_to: &return_to,
        problem,
    };
    let mut response = page(status, &content);
    response.headers_mut().extend(new.map(|cookie| (header::SET_COOKIE, cookie)));
    response
}

async fn with_password(Given(gateway): Given<Arc<State>>, headers: HeaderMap, sent: Form) -> Response {
    let access = gateway.access.load_full();
    trail::signs_in(LOCAL, None);
    let token = Cookie::Form.read(&headers, access.secure()).map(csrf::token);
    let ours = csrf::from_here(&Method::POST, &headers, access.secure(), true).is_ok();
    let fields = token.filter(|_| ours).and_then(|token| sent.confirmed(&token));
    let Some(fields) = fields else { return refused(&access, &SignInError::Form, &ReturnTo::START, &headers) };
    let return_to = ReturnTo::of(&fields.return_to);
    trail::signs_in(LOCAL, session::local(&access, &fields.name));
    let signed_in = async {
        let mark = gateway.login.check_password(&access.login, &fields.name, fields.password).await?;
        let caller = session::local(&access, &fields.name).ok_or(SignInError::Wrong)?;
        let cookie = session::begin(&gateway, &access, &caller, Some(mark), &headers).await?;
        Ok::<_, SignInError>((caller, cookie))
    };
    match signed_in.await {
        Ok((caller, cookie)) => welcome(&gateway, &access, caller, &return_to, [Some(cookie), None]),
        Err(error) => refused(&access, &error, &return_to, &headers),
    }
}

async fn begin(Given(gateway): Given<Arc<State>>, Path(name): Path<String>, RawQuery(query): RawQuery) -> Response {
    let access = gateway.access.load_full();
    match flow::begin(&gateway, &access, &name, &wish(query.as_deref())).await {
        Ok(begun) => {
            let mut response = see_other(begun.to.as_str());
            response.headers_mut().append(header::SET_COOKIE, begun.cookie);
            response
        }
        Err(error) => failed(&error),
    }
}

async fn callback(
    Given(gateway): Given<Arc<State>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let access = gateway.access.load_full();
    let gone = Cookie::Flow.gone(access.secure());
    // Names that the settings do not know are anybody's text.
    let way = access.login.oidc.iter().find(|login| login.name == name).map(through);
    if let Some(way) = &way {
        trail::signs_in(way, None);
    }
    let signed_in = async {
        let ended = flow::end(&gateway, &access, &name, query.as_deref().unwrap_or_default(), &headers).await?;
        trail::signs_in(way.as_deref().unwrap_or_default(), Some(ended.caller.clone()));
        let cookie = session::begin(&gateway, &access, &ended.caller, None, &headers).await?;
        Ok::<_, SignInError>((ended, cookie))
    };
    match signed_in.await {
        Ok((ended, cookie)) => welcome(&gateway, &access, ended.caller, &ended.return_to, [Some(cookie), gone]),
        Err(error) => {
            let mut response = failed(&error);
            response.headers_mut().extend(gone.map(|gone| (header::SET_COOKIE, gone)));
            response
        }
    }
}

/// How somebody signs in who has a password here.
const LOCAL: &str = "local";

/// How somebody signs in at an issuer.
fn through(login: &OidcLogin) -> String {
    format!("oidc:{}", login.name)
}

/// How somebody has come in who leaves.
fn way_of(access: &Access, caller: &Caller) -> String {
    let issuer = match &caller.principal {
        Principal::User { issuer, .. } => access.login.oidc.iter().find(|login| login.issuer == *issuer),
        _ => None,
    };
    issuer.map_or_else(|| LOCAL.to_owned(), through)
}

/// On with the new session. What the person's connectors offer is asked for with their tokens, if nobody's are known.
fn welcome(
    gateway: &Arc<State>,
    access: &Access,
    caller: Caller,
    return_to: &ReturnTo,
    cookies: [Option<HeaderValue>; 2],
) -> Response {
    tracing::info!(caller = %caller.principal, "signed in");
    gateway.metrics.request("login", "ok");
    let identity = Identity::new(caller);
    trail::called_by(&identity);
    let mut response = see_other(&return_to.path());
    let form = Cookie::Form.gone(access.secure());
    for cookie in cookies.into_iter().chain([form]).flatten() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    let snapshot = gateway.snapshot.load_full();
    tokio::spawn(async move {
        let Ok(view) = snapshot.view(&identity) else { return };
        for (position, entry) in snapshot.connectors().iter().enumerate() {
            if let Some(people) = entry.people.as_ref().filter(|_| view.concerns(position, entry)) {
                // How it stands is shown where it is asked for.
                let _ = people.standing(&view.identity().caller).await;
            }
        }
    });
    response
}

pub(super) async fn sign_out(
    Given(gateway): Given<Arc<State>>,
    Extension(identity): Extension<Arc<Identity>>,
    visit: Option<Extension<Arc<Visit>>>,
    sent: Form,
) -> Response {
    let visit = visit.map(|Extension(visit)| visit);
    let at_machine = identity.caller.principal == Principal::Loopback;
    trail::signs_out(&way_of(&gateway.access.load(), &identity.caller));
    let Some(visit) = visit.filter(|visit| sent.of(Some(visit), at_machine).is_some()) else {
        return failed(&SignInError::Form);
    };
    match session::end(&gateway, &visit).await {
        Ok(()) => {
            tracing::info!(caller = %identity.caller.principal, "signed out");
            let mut response = see_other("/signed-out");
            let gone = Cookie::Session.gone(gateway.access.load().secure());
            response.headers_mut().extend(gone.map(|gone| (header::SET_COOKIE, gone)));
            response
        }
        Err(error) => failed(&error),
    }
}

async fn signed_out() -> Response {
    let text = "Your session has ended here. Close the browser to end what other sites know of you.";
    message(StatusCode::OK, "Signed out", text, Some(("/login", "Sign in again")))
}

fn status(error: &SignInError) -> StatusCode {
    match error {
        SignInError::Unknown => StatusCode::NOT_FOUND,
        SignInError::NoStore | SignInError::Store(_) | SignInError::Sealed => StatusCode::SERVICE_UNAVAILABLE,
        SignInError::Wrong => StatusCode::UNAUTHORIZED,
        SignInError::TooMany => StatusCode::TOO_MANY_REQUESTS,
        SignInError::Form => StatusCode::FORBIDDEN,
        SignInError::Issuer(_) => StatusCode::BAD_GATEWAY,
        SignInError::Denied(_) => StatusCode::BAD_REQUEST,
    }
}

/// The form once more, with what was wrong.
fn refused(access: &Access, error: &SignInError, return_to: &ReturnTo, headers: &HeaderMap) -> Response {
    tracing::warn!(reason = error.reason(), "sign-in refused");
    trail::not_signed(error.outcome());
    let mut response = form(access, status(error), return_to, &error.outside(), headers);
    if matches!(error, SignInError::TooMany) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
    }
    response
}

fn failed(error: &SignInError) -> Response {
    tracing::warn!(reason = error.reason(), %error, "sign-in failed");
    trail::not_signed(error.outcome());
    message(status(error), "Not signed in", &error.outside(), Some(("/login", "Sign in")))
}
