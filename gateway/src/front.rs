//! What every request of the public listeners meets first, and the data path: an id, the edge, who calls, then one of
//! three ways by hand (MCP, the proxy, everything else).
//!
//! Layers of a router would say the same in fewer lines; but each of them moves the request and its future to the heap
//! once more, and on this path that is a tenth of a call's time. Whatever is not the data path is a router's.
//!
//! The future of a request is made and moved once for each; so that it stays small, every step that few requests take
//! is put on the heap where it begins (`Box::pin`), and nothing wraps a future in an `async fn`, which has room for it
//! twice.

use crate::entry::{consent, http as proxy, mcp, pages};
use crate::error::Failure;
use crate::login::session;
use crate::pipeline::authn::{self, challenge, delegate};
use crate::pipeline::edge::{self, Listener};
use crate::snapshot::Identity;
use crate::state::State;
use crate::trail;
use aperium_platform::request_id;
use aperium_platform::serve::App;
use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use http::{Method, header};
use std::future::Future;
use std::sync::Arc;
use tower::ServiceExt as _;
use tracing::Instrument as _;

/// The service of the public listeners. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Front(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    state: Arc<State>,
    listener: Listener,
    /// What needs no caller: load balancers ask by address and have no token.
    open: Router,
    /// What needs none either: where people sign in.
    login: Router,
    /// What needs one, the data path aside.
    rest: Router,
}

impl Front {
    /// Puts it together.
    pub(crate) fn new(state: &Arc<State>, listener: Listener, open: Router, login: Router, rest: Router) -> Self {
        Self(Arc::new(Parts { state: Arc::clone(state), listener, open, login, rest }))
    }

    /// As a router answers, for tests that use the one like the other.
    #[cfg(test)]
    pub(crate) async fn oneshot(self, request: Request) -> Result<Response, std::convert::Infallible> {
        Ok(self.serve(request).await)
    }

    /// First and last: every answer carries the id that the logs carry.
    async fn serve(self, mut request: Request) -> Response {
        let (id, span) = request_id::begin(&mut request);
        // One line for every request, whatever became of it.
        let trail = trail::begin(&self.0.state, &request);
        let response = trail.scope(self.0.admit(request).instrument(span)).await;
        let mut response = trail.answered(response);
        request_id::end(&mut response, id);
        response
    }
}

impl Parts {
    /// Before anyone asks for a token: what a web page or a stray proxy sends is no request at all. Then the token.
    async fn admit(&self, mut request: Request) -> Response {
        if request.uri().path() == "/healthz" {
            return through(&self.open, request).await;
        }
        {
            let access = self.state.access.load();
            if let Err(failure) = edge::edge(&access, self.listener, &request) {
                return self.state.refuse(&failure);
            }
            if let Some(metadata) = challenge::metadata(&access, request.method(), request.uri().path()) {
                return metadata;
            }
            // Authorization servers fetch it, without any token.
            if let Some(document) = consent::client_document(&access, request.method(), request.uri().path()) {
                return document;
            }
        }
        if self.listener == Listener::Public && pages::is_open(request.uri().path()) {
            return through(&self.login, request).await;
        }
        match self.caller(&mut request).await {
            Ok(identity) => {
                trail::called_by(&identity);
                // They have done their work; nothing behind this line can pass them on.
                request.headers_mut().remove(header::AUTHORIZATION);
                request.headers_mut().remove(header::COOKIE);
                if identity.caller.delegate.is_some() {
                    for name in [delegate::TENANT, delegate::USER, delegate::GROUPS] {
                        request.headers_mut().remove(name);
                    }
                }
                self.route(identity, request).await
            }
            Err(failure) => {
                if let Some(page) = pages::sign_in_first(&self.state, self.listener, &request, &failure) {
                    return page;
                }
                let mut response = self.state.refuse(&failure);
                challenge::challenge(&self.state.access.load(), request.uri().path(), &failure, &mut response);
                response
            }
        }
    }

    /// By token, or by the cookie of a browser that has signed in.
    async fn caller(&self, request: &mut Request) -> Result<Arc<Identity>, Failure> {
        let headers = request.headers();
        let by_cookie = self.listener == Listener::Public
            && headers.contains_key(header::COOKIE)
            && !headers.contains_key(header::AUTHORIZATION);
        if by_cookie && !self.state.access.load().loopback() {
            // On the heap: the future of every request would have room for what only browsers need.
            let visit = Box::pin(session::visit(&self.state, request.method(), request.uri().path(), headers));
            if let Some((identity, visit)) = visit.await? {
                request.extensions_mut().insert(visit);
                return Ok(identity);
            }
        }
        authn::identify(&self.state, request.headers()).await
    }

    async fn route(&self, identity: Arc<Identity>, mut request: Request) -> Response {
        match Way::of(request.uri().path()) {
            Way::Mcp(only) => {
                let only = only.map(str::to_owned);
                self.mcp(&identity, only.as_deref(), request).await
            }
            Way::Proxy => proxy::proxy(&self.state, &identity, request).await,
            Way::Rest => {
                request.extensions_mut().insert(identity);
                through(&self.rest, request).await
            }
        }
    }

    async fn mcp(&self, identity: &Arc<Identity>, only: Option<&str>, request: Request) -> Response {
        match *request.method() {
            Method::POST => mcp::message(&self.state, identity, only, request).await,
            Method::GET => mcp::stream(&self.state, identity, only, &request),
            Method::DELETE => mcp::end(&self.state, identity, only, request.headers()),
            _ => Failure::Method.respond(None, false),
        }
    }
}

/// Where a path leads.
#[derive(Debug, PartialEq, Eq)]
enum Way<'p> {
    /// `/v1/mcp`, or `/v1/mcp/<id>`.
    Mcp(Option<&'p str>),
    /// `/v1/connectors/<id>` and everything below it, undecoded.
    Proxy,
    /// The routers' business.
    Rest,
}

impl<'p> Way<'p> {
    /// `/v1/mcp/register` is nobody's id: the word is reserved.
    fn of(path: &'p str) -> Self {
        if let Some(rest) = path.strip_prefix("/v1/mcp") {
            return match rest.strip_prefix('/') {
                None if rest.is_empty() => Self::Mcp(None),
                Some(id) if !id.is_empty() && !id.contains('/') && id != "register" => Self::Mcp(Some(id)),
                _ => Self::Rest,
            };
        }
        if path.strip_prefix("/v1/connectors/").is_some_and(|rest| !rest.is_empty()) { Self::Proxy } else { Self::Rest }
    }
}

async fn through(router: &Router, request: Request) -> Response {
    // On the heap: the data path shall not have to make room for it.
    Box::pin(router.clone().oneshot(request)).await.unwrap_or_else(|never| match never {})
}

impl App for Front {
    fn answer(self, request: Request) -> impl Future<Output = Response> + Send {
        self.serve(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_path_is_three_ways_and_nothing_else() {
        for (path, way) in [
            ("/v1/mcp", Way::Mcp(None)),
            ("/v1/mcp/odoo", Way::Mcp(Some("odoo"))),
            ("/v1/mcp/", Way::Rest),
            ("/v1/mcp/odoo/x", Way::Rest),
            ("/v1/mcp/register", Way::Rest),
            ("/v1/mcpx", Way::Rest),
            ("/v1/connectors/github", Way::Proxy),
            ("/v1/connectors/github/../x", Way::Proxy),
            ("/v1/connectors/", Way::Rest),
            ("/v1/connectors", Way::Rest),
            ("/api/whoami", Way::Rest),
            ("/", Way::Rest),
        ] {
            assert_eq!(Way::of(path), way, "{path}");
        }
    }
}
