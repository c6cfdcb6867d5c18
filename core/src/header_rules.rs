//! Which headers of a caller reach an upstream of the HTTP proxy, and which of its headers come back.
//!
//! Names are lower case, as `http::HeaderName` has them. Three groups never pass: what belongs to one connection, what
//! proves who somebody is, and what would change who is asked or where a client goes next.

/// Headers of one connection (RFC 9110 §7.6.1), whether `Connection` names them or not.
#[must_use]
pub fn is_hop_by_hop(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "upgrade" | "http2-settings")
        || name.starts_with("proxy-")
}

/// Whether a request header of the caller goes on to the upstream.
///
/// `Accept-Encoding` and every other header that is not named here passes as it is. `Host`, `Content-Length` and
/// `X-Request-Id` are written anew.
#[must_use]
pub fn passes_up(name: &str) -> bool {
    if is_hop_by_hop(name) || is_forwarding(name) || name.starts_with("x-aperium-") {
        return false;
    }
    !matches!(
        name,
        // Who the caller is, towards us: never anybody else's business.
        "authorization" | "cookie" | "cookie2"
            // Written anew.
            | "host" | "content-length" | "expect" | "x-request-id"
            // From which page a browser came: towards the upstream it is the gateway that asks.
            | "origin" | "referer"
            // Some servers take the path from these instead of the request line, which would leave the base path.
            | "x-original-url" | "x-rewrite-url" | "x-original-host" | "x-host" | "x-http-host-override"
            // Some servers believe these about who asks, because a proxy of their own sets them.
            | "remote-user" | "x-remote-user" | "x-real-ip" | "true-client-ip" | "x-client-ip" | "client-ip"
            | "cf-connecting-ip" | "fastly-client-ip" | "x-cluster-client-ip" | "x-originating-ip"
    ) && !["sec-fetch-", "x-auth-request-", "x-webauth-", "x-ssl-client-", "ssl-client-"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// `Forwarded`, `X-Forwarded-*`, `Via`: a caller could say anything in them.
fn is_forwarding(name: &str) -> bool {
    name == "forwarded" || name == "via" || name.starts_with("x-forwarded") || name.starts_with("x-envoy-")
}

/// Whether a header overrides the method of the request for servers that heed it.
#[must_use]
pub fn overrides_method(name: &str) -> bool {
    matches!(name, "x-http-method-override" | "x-http-method" | "x-method-override")
}

/// Whether a response header of the upstream goes on to the caller. `Location` is a case of its own.
#[must_use]
pub fn passes_down(name: &str) -> bool {
    if is_hop_by_hop(name) || name.starts_with("x-aperium-") {
        return false;
    }
    !matches!(
        name,
        "set-cookie" | "set-cookie2"
            // Where a client would go next.
            | "location" | "content-location" | "refresh" | "alt-svc" | "alt-used"
            // What it would be asked to present there: an MCP client would take its token to the upstream's own issuer.
            | "www-authenticate" | "authentication-info"
            // Rules for the gateway's own origin, on which the upstream has no say.
            | "strict-transport-security" | "public-key-pins" | "clear-site-data" | "service-worker-allowed"
            | "content-security-policy" | "content-security-policy-report-only" | "x-frame-options"
            | "x-content-type-options" | "report-to" | "reporting-endpoints" | "nel" | "sourcemap" | "x-sourcemap"
            // Orders to a web server in front of the gateway.
            | "x-sendfile" | "x-lighttpd-send-file" | "x-litespeed-location"
            // Written anew.
            | "x-request-id"
    ) && !["access-control-", "x-accel-", "x-reproxy-"].iter().any(|prefix| name.starts_with(prefix))
}

/// The header names that `Connection` fields nominate, lower case: they belong to the connection, too.
pub fn nominated<'v>(values: impl IntoIterator<Item = &'v str>) -> impl Iterator<Item = String> {
    values
        .into_iter()
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty() && !matches!(name.as_str(), "close" | "keep-alive"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proves_who_the_caller_is_stays_here() {
        for name in [
            "authorization",
            "cookie",
            "proxy-authorization",
            "proxy-anything",
            "forwarded",
            "via",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-client-cert",
            "x-forwarded",
            "x-real-ip",
            "x-aperium-tenant",
            "x-aperium-user",
            "x-remote-user",
            "x-webauth-user",
            "x-auth-request-email",
            "origin",
            "sec-fetch-site",
        ] {
            assert!(!passes_up(name), "{name}");
        }
    }

    #[test]
    fn what_belongs_to_the_connection_stays_on_it() {
        for name in ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-connection"] {
            assert!(!passes_up(name) && !passes_down(name), "{name}");
        }
    }

    #[test]
    fn what_would_leave_the_base_path_or_host_stays_here() {
        for name in ["host", "x-original-url", "x-rewrite-url", "x-forwarded-prefix", "x-host"] {
            assert!(!passes_up(name), "{name}");
        }
    }

    #[test]
    fn the_rest_passes_in_both_directions() {
        for name in [
            "accept",
            "accept-encoding",
            "content-type",
            "content-encoding",
            "range",
            "if-none-match",
            "etag",
            "link",
            "x-ratelimit-remaining",
            "x-github-api-version",
            "idempotency-key",
            "traceparent",
            "retry-after",
            "mcp-session-id",
        ] {
            assert!(passes_up(name) && passes_down(name), "{name}");
        }
    }

    #[test]
    fn an_upstream_sets_no_cookies_sends_nobody_elsewhere_and_rules_no_origin() {
        for name in [
            "set-cookie",
            "location",
            "refresh",
            "alt-svc",
            "content-location",
            "www-authenticate",
            "clear-site-data",
            "strict-transport-security",
            "content-security-policy",
            "access-control-allow-origin",
            "x-accel-redirect",
            "x-sendfile",
            "x-aperium-truncated",
            "x-request-id",
        ] {
            assert!(!passes_down(name), "{name}");
        }
    }

    #[test]
    fn nominated_names_are_found_in_every_field() {
        let names: Vec<String> = nominated(["Keep-Alive, X-Secret", "close", " x-Other ,,"]).collect();
        assert_eq!(names, ["x-secret", "x-other"]);
    }
}
