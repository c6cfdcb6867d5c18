//! The first look at a request, before anyone asks who sent it: under which name it came, from which web page, and
//! with which headers that only the inside may use.

use crate::access::Access;
use crate::entry::consent::PAGES;
use crate::error::Failure;
use crate::pipeline::authn::delegate;
use axum::extract::Request;
use http::{HeaderMap, Method, Uri, header};
use std::net::IpAddr;

/// Where a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listener {
    /// Whatever an Ingress lets through.
    Public,
    /// Only what is in the cluster: here a delegate may say whom it acts for.
    InCluster,
}

/// All of it.
///
/// # Errors
/// What [`check`] and [`bodiless`] say.
pub(crate) fn edge(access: &Access, listener: Listener, request: &Request) -> Result<(), Failure> {
    check(access, listener, request.uri(), request.headers())?;
    bodiless(request.method(), request.uri().path(), request.headers())
}

/// Checks what a web page or a wrongly routed request would give away.
///
/// # Errors
/// [`Failure::Host`], [`Failure::Origin`], [`Failure::InternalHeader`].
pub(crate) fn check(access: &Access, listener: Listener, uri: &Uri, headers: &HeaderMap) -> Result<(), Failure> {
    let host = host(headers).filter(|_| uri.authority().is_none()).ok_or(Failure::Host)?;
    if !access.allows_host(name_of(host).ok_or(Failure::Host)?) {
        return Err(Failure::Host);
    }
    let mut origins = headers.get_all(header::ORIGIN).iter();
    if let Some(origin) = origins.next() {
        let origin = origin.to_str().map_err(|_| Failure::Origin)?;
        if origins.next().is_some() || !(access.allows_origin(origin) || is_same_origin(origin, host)) {
            return Err(Failure::Origin);
        }
    }
    if access.loopback()
        && !led_here(uri, headers)
        && headers.get_all("sec-fetch-site").iter().any(|site| site == "cross-site" || site == "same-site")
    {
        return Err(Failure::Origin);
    }
    // Whether whoever sends these may do so is not known before authentication, and on the public listener nobody may.
    let allowed = |name: &str| {
        listener == Listener::InCluster && [delegate::TENANT, delegate::USER, delegate::GROUPS].contains(&name)
    };
    match headers.keys().map(http::HeaderName::as_str).find(|name| name.starts_with("x-aperium-") && !allowed(name)) {
        Some(name) => Err(Failure::InternalHeader(name.to_string())),
        None => Ok(()),
    }
}

/// Whether a browser as a whole was led to a page of per-user OAuth: by the authorization server, or by a link. What it
/// brings counts only with the state of a flow, and the page shows nothing of anybody's.
fn led_here(uri: &Uri, headers: &HeaderMap) -> bool {
    uri.path().starts_with(PAGES)
        && !headers.contains_key(header::ORIGIN)
        && headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate")
        && headers.get("sec-fetch-dest").is_none_or(|to| to == "document")
}

/// A GET of the MCP endpoint with a body is a message that some would read and others not.
fn bodiless(method: &Method, path: &str, headers: &HeaderMap) -> Result<(), Failure> {
    let announces = headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    if announces && path.starts_with("/v1/mcp") && matches!(*method, Method::GET | Method::HEAD) {
        return Err(Failure::Rejected(format!("a {method} request must not have a body here")));
    }
    Ok(())
}

/// The only `Host` header (RFC 9112 §3.2 wants exactly one).
fn host(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::HOST).iter();
    match (values.next(), values.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    }
}

/// The name or address of `host[:port]`, as it is spelled; `None` for any other form.
fn name_of(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']')?;
            name.parse::<std::net::Ipv6Addr>().ok()?;
            (name, port)
        }
        None => host.find(':').map_or((host, ""), |at| host.split_at(at)),
    };
    let port_is_good = port.is_empty()
        || port
            .strip_prefix(':')
            .is_some_and(|port| port.len() <= 5 && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    let name_is_good = host.starts_with('[')
        || (!name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')));
    (port_is_good && name_is_good).then_some(name)
}

/// A page that this gateway itself served: the origin is the `Host`, which was checked.
fn is_same_origin(origin: &str, host: &str) -> bool {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

/// Whether a `Host` name means this machine itself.
pub(crate) fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn ask(access: &Access, pairs: &[(&'static str, &str)]) -> Result<(), Failure> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        check(access, Listener::Public, &Uri::from_static("/v1/mcp"), &headers)
    }

    #[test]
    fn only_the_own_names_are_hosts() {
        let access = Access::test(&["mcp.example.com"], &[], false);
        for good in [
            "mcp.example.com",
            "MCP.example.com:443",
            "aperium-gateway",
            "aperium-gateway.aperium-system:8080",
            "aperium-gateway.aperium-system.svc",
            "aperium-gateway.aperium-system.svc.cluster.local:8080",
            "10.1.2.3:8080",
            "localhost:8080",
            "127.0.0.1",
            "[::1]:8080",
        ] {
            assert_eq!(ask(&access, &[("host", good)]), Ok(()), "{good}");
        }
        for bad in [
            "evil.com",
            "mcp.example.com.evil.com",
            "mcp.example.com@evil.com",
            "mcp.example.com/evil",
            "aperium-gateway.other",
            "10.1.2.4",
            "localhost:8080:9090",
            "localhost:",
            "localhost:x",
            "[::1",
            "[mcp.example.com]",
            "",
            "2130706433",
        ] {
            assert_eq!(ask(&access, &[("host", bad)]), Err(Failure::Host), "{bad:?}");
        }
        assert_eq!(ask(&access, &[]), Err(Failure::Host));
        assert_eq!(ask(&access, &[("host", "localhost"), ("host", "localhost")]), Err(Failure::Host));
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("localhost"));
        assert_eq!(
            check(&access, Listener::Public, &Uri::from_static("http://evil.com/v1/mcp"), &headers),
            Err(Failure::Host)
        );
    }

    #[test]
    fn a_foreign_or_opaque_origin_is_refused_and_none_is_fine() {
        let access = Access::test(&["mcp.example.com"], &["https://app.example.com"], false);
        let with = |origin| ask(&access, &[("host", "mcp.example.com"), ("origin", origin)]);
        assert_eq!(with("https://app.example.com"), Ok(()));
        assert_eq!(with("https://mcp.example.com"), Ok(()), "the gateway's own page");
        for bad in ["null", "https://evil.com", "https://app.example.com.evil.com", "http://app.example.com", ""] {
            assert_eq!(with(bad), Err(Failure::Origin), "{bad}");
        }
    }

    #[test]
    fn on_loopback_no_other_page_gets_through_not_even_of_the_same_machine() {
        let access = Access::test(&[], &[], true);
        let with = |site| ask(&access, &[("host", "localhost:8080"), ("sec-fetch-site", site)]);
        assert_eq!(with("none"), Ok(()));
        assert_eq!(with("same-origin"), Ok(()));
        assert_eq!(with("cross-site"), Err(Failure::Origin));
        assert_eq!(with("same-site"), Err(Failure::Origin));
        assert_eq!(
            ask(&access, &[("host", "localhost:8080"), ("origin", "http://localhost:3000")]),
            Err(Failure::Origin)
        );
        assert_eq!(ask(&access, &[("host", "localhost:8080"), ("origin", "http://localhost:8080")]), Ok(()));
        assert_eq!(ask(&access, &[("host", "aperium-gateway")]), Err(Failure::Host), "no cluster, no cluster names");
    }

    #[test]
    fn a_get_of_the_mcp_endpoint_has_no_body() {
        let with = |name: &'static str, value| {
            HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
        };
        for (name, value) in [("content-length", "2"), ("transfer-encoding", "chunked")] {
            assert!(bodiless(&Method::GET, "/v1/mcp", &with(name, value)).is_err());
            assert!(bodiless(&Method::HEAD, "/v1/mcp/odoo", &with(name, value)).is_err());
            assert!(bodiless(&Method::POST, "/v1/mcp", &with(name, value)).is_ok());
            assert!(bodiless(&Method::GET, "/v1/connectors/a", &with(name, value)).is_ok(), "the API there decides");
        }
        assert!(bodiless(&Method::GET, "/v1/mcp", &with("content-length", "0")).is_ok());
    }

    #[test]
    fn headers_of_delegates_are_refused_never_ignored() {
        let access = Access::test(&[], &[], false);
        let outcome = ask(&access, &[("host", "localhost"), ("x-aperium-tenant", "acme")]);
        assert_eq!(outcome, Err(Failure::InternalHeader("x-aperium-tenant".into())));
        let inside = |name: &'static str| {
            let headers = [("host", "localhost"), (name, "acme")];
            let headers = headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            check(&access, Listener::InCluster, &Uri::from_static("/v1/mcp"), &HeaderMap::from_iter(headers))
        };
        assert_eq!(inside("x-aperium-tenant"), Ok(()), "authentication decides");
        assert!(inside("x-aperium-admin").is_err());
    }
}
