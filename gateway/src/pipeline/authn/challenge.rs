//! Where a client without a good token finds out how to get one: the metadata of this protected resource (RFC 9728),
//! and the challenges that lead there (RFC 6750 §3).

use crate::access::Access;
use crate::error::{self, Failure};
use aperium_core::id::ConnectorId;
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;

/// Before the path of the resource (RFC 9728 §3.1).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The metadata that a path asks for, where it asks for metadata at all. Open to everyone, so it says nothing about
/// which connectors there are.
pub(crate) fn metadata(access: &Access, method: &Method, path: &str) -> Option<Response> {
    let resource = path.strip_prefix(WELL_KNOWN)?;
    let known = matches!(resource, "" | "/v1/mcp") || is_of_one(resource);
    if !known || !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    if access.oidc.issuers().next().is_none() {
        return Some(Failure::NotFound.respond(None, false));
    }
    let servers: Vec<&str> = access.oidc.issuers().map(|issuer| issuer.issuer.as_str()).collect();
    let mut scopes: Vec<&str> = access.oidc.issuers().flat_map(|issuer| &issuer.scopes).map(String::as_str).collect();
    scopes.sort_unstable();
    scopes.dedup();
    let mut body = json!({
        "resource": format!("{}{resource}", access.public_url),
        "authorization_servers": servers,
        "bearer_methods_supported": ["header"],
        "resource_name": "Aperium",
    });
    if !scopes.is_empty() {
        body["scopes_supported"] = json!(scopes);
    }
    Some(error::json(StatusCode::OK, body.to_string()))
}

/// Says with a refusal where the metadata is. Only where there are issuers: elsewhere there is nothing to find.
pub(crate) fn challenge(access: &Access, path: &str, failure: &Failure, response: &mut Response) {
    let error = match failure {
        Failure::Unauthenticated { presented: false } => String::new(),
        Failure::Unauthenticated { presented: true } => "error=\"invalid_token\", ".to_owned(),
        Failure::InsufficientScope(scopes) => format!("error=\"insufficient_scope\", scope=\"{scopes}\", "),
        _ => return,
    };
    if access.oidc.issuers().next().is_none() {
        return;
    }
    let resource = if is_of_one(path) || path == "/v1/mcp" { path } else { "" };
    let value = format!("Bearer {error}resource_metadata=\"{}{WELL_KNOWN}{resource}\"", access.public_url);
    if let Ok(value) = HeaderValue::from_str(&value) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
}

fn is_of_one(path: &str) -> bool {
    path.strip_prefix("/v1/mcp/").is_some_and(|id| ConnectorId::any(id).is_ok())
}
