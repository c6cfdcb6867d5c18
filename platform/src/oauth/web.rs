//! Which URLs of a flow are used at all. Pure.

use super::OauthError;
use std::net::IpAddr;
use url::{Host, Url};

/// Characters of a URL in metadata or in a spec.
const MAX_URL: usize = 2048;

/// Whether a URL's host is this machine itself, spelled as such.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        None => false,
    }
}

/// Reads a URL of an authorization server: https, or plain http on this machine; neither user nor fragment.
pub(super) fn endpoint(text: &str, what: &'static str) -> Result<Url, OauthError> {
    let url = Url::parse(text).ok().filter(|_| text.len() <= MAX_URL).ok_or(OauthError::Url(what))?;
    let secure = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none() && url.has_host();
    if secure && plain { Ok(url) } else { Err(OauthError::Url(what)) }
}

/// The origin and a path of its own.
pub(super) fn at(origin: &Url, path: &str) -> Url {
    let mut url = origin.clone();
    url.set_path(path);
    url.set_query(None);
    url.set_fragment(None);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_https_or_on_this_machine() {
        for good in
            ["https://as.example.com/token?x=1", "http://localhost:9/t", "http://127.0.0.1:9/t", "http://[::1]/"]
        {
            assert!(endpoint(good, "it").is_ok(), "{good}");
        }
        for bad in [
            "http://as.example.com/token",
            "http://localhost.evil.example/t",
            "http://127.0.0.1.evil.example/t",
            "https://user@as.example.com/",
            "https://as.example.com/#x",
            "javascript:alert(1)",
            "data:text/html,x",
            "/token",
            "",
            &format!("https://as.example.com/{}", "x".repeat(MAX_URL)),
        ] {
            assert!(endpoint(bad, "it").is_err(), "{bad}");
        }
    }
}
