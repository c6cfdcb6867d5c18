//! Pages for browsers. None can be framed, runs a script or is kept by a cache, and whatever came from outside is escaped.

use crate::error::Failure;
use crate::login::{ReturnTo, Visit, csrf};
use crate::pipeline::edge::Listener;
use crate::state::State;
use aperium_platform::body;
use askama::Template;
use axum::Router;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use secrecy::SecretString;
use std::sync::Arc;
use std::time::Duration;
use url::form_urlencoded;

pub(crate) mod home;
pub(crate) mod login;

/// Bytes of a form, and how long it may take to arrive.
const MAX_FORM: usize = 16 * 1024;
const FORM_TIME: Duration = Duration::from_secs(10);
/// What keeps a page to itself.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    ),
];

/// The routes that need a caller.
pub(crate) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/", get(home::show))
        .route("/logout", post(login::sign_out))
        .route("/aperture/auth/{id}/disconnect", post(home::disconnect))
}

/// Whether a path is one where people sign in.
pub(crate) fn is_open(path: &str) -> bool {
    path == "/login" || path.starts_with("/login/") || path == "/signed-out"
}

/// Where a browser is sent that has to sign in before it sees a page.
pub(crate) fn sign_in_first(
    state: &State,
    listener: Listener,
    request: &Request,
    failure: &Failure,
) -> Option<Response> {
    let unknown = matches!(failure, Failure::Unauthenticated { presented: false });
    if !unknown || listener != Listener::Public || *request.method() != Method::GET || !wants_page(request.headers()) {
        return None;
    }
    let (path, access) = (request.uri().path(), state.access.load());
    let wish = ReturnTo::of(path);
    let is_page = path == "/" || wish != ReturnTo::START;
    if !is_page || !access.login.any() {
        return None;
    }
    state.metrics.request("page", failure.outcome());
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("return_to", &wish.path()).finish();
    Some(see_other(&format!("/login?{query}")))
}

fn wants_page(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

/// A page that says one thing.
#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    title: &'a str,
    text: &'a str,
    /// Where to go on, and what the link says.
    next: Option<(&'a str, &'a str)>,
}

/// A page that says one thing. It knows where it was called from and tells nobody.
pub(crate) fn message(status: StatusCode, title: &str, text: &str, next: Option<(&str, &str)>) -> Response {
    let mut response = page(status, &Message { title, text, next });
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// A page. A form on it must say where it comes from, so our own pages are told; others are not.
pub(crate) fn page(status: StatusCode, template: &impl Template) -> Response {
    let Ok(body) = template.render() else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// On to another place, by GET.
pub(crate) fn see_other(to: &str) -> Response {
    let mut response = message(StatusCode::SEE_OTHER, "Aperium", "You are being sent on.", None);
    match HeaderValue::from_str(to) {
        Ok(to) => response.headers_mut().insert(header::LOCATION, to),
        Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    response
}

/// The fields of our forms.
pub(crate) struct Fields {
    csrf: String,
    pub(crate) name: String,
    pub(crate) password: SecretString,
    pub(crate) return_to: String,
}

/// A form. Whether a page of ours was filled in for it is not known yet.
pub(crate) struct Form(Fields);

impl Form {
    /// The fields, where the token is the one.
    pub(crate) fn confirmed(self, token: &str) -> Option<Fields> {
        csrf::is(token, &self.0.csrf).then_some(self.0)
    }

    /// The same for a caller. The person at the machine has no session; of theirs the edge takes no foreign request.
    pub(crate) fn of(self, visit: Option<&Visit>, at_machine: bool) -> Option<Fields> {
        match visit {
            Some(visit) => self.confirmed(&visit.token),
            None => at_machine.then_some(self.0),
        }
    }
}

impl FromRequest<Arc<State>> for Form {
    type Rejection = Response;

    async fn from_request(request: Request, _: &Arc<State>) -> Result<Self, Response> {
        let kind = request.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        if !kind.starts_with(b"application/x-www-form-urlencoded") {
            return Err(message(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Not a form", "This is no form of ours.", None));
        }
        let read = body::read(request.into_body(), MAX_FORM, FORM_TIME).await;
        let bytes = read.map_err(|error| message(error.status(), "Not a form", "The form did not arrive.", None))?;
        let fields = fields(&bytes)
            .ok_or_else(|| message(StatusCode::BAD_REQUEST, "Not a form", "This is no form of ours.", None));
        fields.map(Self)
    }
}

/// Each field once at most; others are not ours.
fn fields(bytes: &[u8]) -> Option<Fields> {
    let mut fields =
        Fields { csrf: String::new(), name: String::new(), password: String::new().into(), return_to: String::new() };
    let mut seen = std::collections::BTreeSet::new();
    for (name, value) in form_urlencoded::parse(bytes) {
        if !seen.insert(name.to_string()) {
            return None;
        }
        match &*name {
            "csrf" => fields.csrf = value.into_owned(),
            "name" => fields.name = value.into_owned(),
            "password" => fields.password = value.into_owned().into(),
            "return_to" => fields.return_to = value.into_owned(),
            _ => return None,
        }
    }
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn a_form_holds_our_fields_once_each() {
        let read = fields(b"csrf=a&name=b%20c&password=d%26&return_to=%2F").unwrap();
        assert_eq!((read.csrf.as_str(), read.name.as_str(), read.return_to.as_str()), ("a", "b c", "/"));
        assert_eq!(read.password.expose_secret(), "d&");
        for bad in [&b"csrf=a&csrf=b"[..], b"csrf=a&admin=true", b"name=a&name=b"] {
            assert!(fields(bad).is_none());
        }
    }

    #[test]
    fn a_token_is_the_visits_own() {
        let form = || Form(fields(b"csrf=abc").unwrap());
        let visit = |token: &str| Visit { id: "i".into(), token: token.into() };
        assert!(form().of(Some(&visit("abc")), false).is_some());
        assert!(form().of(Some(&visit("abd")), true).is_none());
        assert!(form().of(None, false).is_none() && form().of(None, true).is_some());
    }
}
