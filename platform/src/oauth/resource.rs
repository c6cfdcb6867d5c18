//! Metadata of a protected resource (RFC 9728): where they may be, and what they say. Pure.

use super::{OauthError, scope, web};
use crate::json::check_strict;
use serde::Deserialize;
use url::Url;

const WHAT: &str = "the resource metadata";
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// What an upstream says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its identifier, exactly as it publishes it: what `resource` carries.
    pub id: String,
    /// Its authorization server.
    pub issuer: String,
    /// The scopes that it knows.
    pub scopes: Vec<String>,
}

#[derive(Deserialize)]
struct Document {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

/// The identifier of an MCP server that publishes none (RFC 8707 §2): its URL without fragment and without the slash
/// of an empty path.
#[must_use]
pub fn canonical(url: &Url) -> String {
    let mut url = url.clone();
    url.set_fragment(None);
    let bare = url.path() == "/" && url.query().is_none();
    if bare { url.as_str().trim_end_matches('/').to_owned() } else { url.into() }
}

/// Where the metadata of an MCP server are when its challenge does not say it: below the well-known path, then there.
pub(super) fn well_known(url: &Url) -> Vec<Url> {
    let path = url.path().trim_end_matches('/');
    let mut places = vec![web::at(url, &format!("{WELL_KNOWN}{path}"))];
    if !path.is_empty() {
        places.push(web::at(url, WELL_KNOWN));
    }
    places
}

/// Reads the document; it must be about the server at `url`: the same, or one that its path is below.
pub(super) fn read(body: &[u8], url: &Url) -> Result<Resource, OauthError> {
    let malformed = |problem| OauthError::Malformed { what: WHAT, problem };
    check_strict(body).map_err(|_| malformed("no JSON object with unique keys"))?;
    let document: Document = serde_json::from_slice(body).map_err(|_| malformed("they hold no resource"))?;
    let resource = web::endpoint(&document.resource, WHAT).map_err(|_| OauthError::ResourceMismatch)?;
    if resource.origin() != url.origin() || !below(url.path(), resource.path()) {
        return Err(OauthError::ResourceMismatch);
    }
    if resource.query().is_some() && resource.query() != url.query() {
        return Err(OauthError::ResourceMismatch);
    }
    let issuer = document.authorization_servers.into_iter().next().ok_or(OauthError::NoServer)?;
    Ok(Resource { id: document.resource, issuer, scopes: scope::collect(document.scopes_supported) })
}

/// Whether a path is another one or lies below it, segment by segment.
fn below(path: &str, base: &str) -> bool {
    let (path, base) = (path.trim_end_matches('/'), base.trim_end_matches('/'));
    path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn the_places_are_those_of_rfc_9728_in_order() {
        let places = |text: &str| well_known(&url(text)).into_iter().map(String::from).collect::<Vec<_>>();
        assert_eq!(
            places("https://a.example/public/mcp?x=1"),
            [
                "https://a.example/.well-known/oauth-protected-resource/public/mcp",
                "https://a.example/.well-known/oauth-protected-resource"
            ]
        );
        assert_eq!(places("https://a.example"), ["https://a.example/.well-known/oauth-protected-resource"]);
        assert_eq!(canonical(&url("https://A.example:443/")), "https://a.example");
        assert_eq!(canonical(&url("https://a.example/mcp#x")), "https://a.example/mcp");
    }

    #[test]
    fn metadata_of_another_resource_are_refused() {
        let read = |resource: &str| {
            let body = format!(r#"{{"resource":"{resource}","authorization_servers":["https://as.example"]}}"#);
            super::read(body.as_bytes(), &url("https://a.example/team/mcp"))
        };
        for good in ["https://a.example/team/mcp", "https://a.example/team", "https://a.example", "https://a.example/"]
        {
            assert_eq!(read(good).unwrap().id, good, "sent exactly as it is published");
        }
        for bad in [
            "https://evil.example/team/mcp",
            "https://a.example/tea",
            "https://a.example/team/mcp/x",
            "http://a.example/team/mcp",
            "https://a.example:8443/team/mcp",
            "https://a.example@evil.example/team/mcp",
            "https://a.example/team/mcp?tenant=2",
            "nonsense",
        ] {
            assert!(matches!(read(bad), Err(OauthError::ResourceMismatch)), "{bad}");
        }
        let none = super::read(br#"{"resource":"https://a.example"}"#, &url("https://a.example/team/mcp"));
        assert!(matches!(none, Err(OauthError::NoServer)));
        for odd in [&b"<html>"[..], b"[]", br#"{"resource":"a","resource":"b"}"#, br#"{"resource":1}"#] {
            assert!(matches!(super::read(odd, &url("https://a.example")), Err(OauthError::Malformed { .. })));
        }
    }
}
