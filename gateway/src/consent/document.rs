//! The client id metadata document of the gateway: a URL that is the gateway's client id at authorization servers which
//! take one, and what they find there (draft-ietf-oauth-client-id-metadata-document). Pure.
//!
//! Each connector has a document of its own, beside the page that browsers come back to: a document names that page and
//! no other, and nobody can list the connectors.

use crate::entry::consent::PAGES;
use aperium_core::id::ConnectorId;
use aperium_platform::oauth::{is_loopback, metadata_document};
use serde_json::Value;
use url::Url;

const CALLBACK: &str = "/callback";
const DOCUMENT: &str = "/client.json";

/// The document's URL, beside the page that browsers come back to. Nothing where no authorization server could fetch it:
/// without TLS, or on this machine.
pub(crate) fn url_beside(redirect: &str) -> Option<String> {
    let base = redirect.strip_suffix(CALLBACK).filter(|base| is_public(base))?;
    Some(format!("{base}{DOCUMENT}"))
}

/// What is found at a path of the gateway that is known as `public_url`; nothing where there is no such document. It says
/// nothing of whether there is such a connector.
pub(crate) fn at(public_url: &str, path: &str) -> Option<Value> {
    let id = path.strip_prefix(PAGES)?.strip_suffix(DOCUMENT)?;
    ConnectorId::any(id).ok().filter(|_| is_public(public_url))?;
    let redirect = format!("{public_url}{PAGES}{id}{CALLBACK}");
    Some(metadata_document(&url_beside(&redirect)?, &[redirect]))
}

fn is_public(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| url.scheme() == "https" && !is_loopback(&url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_document_where_others_can_fetch_it() {
        let beside = url_beside("https://mcp.example.com/aperture/auth/github/callback");
        assert_eq!(beside.as_deref(), Some("https://mcp.example.com/aperture/auth/github/client.json"));
        for redirect in [
            "http://127.0.0.1:8080/aperture/auth/github/callback",
            "http://mcp.example.com/aperture/auth/github/callback",
            "https://localhost/aperture/auth/github/callback",
            "https://[::1]:8443/aperture/auth/github/callback",
            "https://mcp.example.com/aperture/auth/github/other",
        ] {
            assert_eq!(url_beside(redirect), None, "{redirect}");
        }
        let document = at("https://mcp.example.com/base", "/aperture/auth/github/client.json").unwrap();
        assert_eq!(document["client_id"], "https://mcp.example.com/base/aperture/auth/github/client.json");
        assert_eq!(document["redirect_uris"][0], "https://mcp.example.com/base/aperture/auth/github/callback");
        for (public, path) in [
            ("", "/aperture/auth/github/client.json"),
            ("http://localhost:8080", "/aperture/auth/github/client.json"),
            ("https://mcp.example.com", "/aperture/auth/github/callback"),
            ("https://mcp.example.com", "/aperture/auth//client.json"),
            ("https://mcp.example.com", "/aperture/auth/a/b/client.json"),
            ("https://mcp.example.com", "/aperture/auth/a%2fb/client.json"),
            ("https://mcp.example.com", "/aperture/auth/client.json"),
        ] {
            assert!(at(public, path).is_none(), "{public}{path}");
        }
    }
}
