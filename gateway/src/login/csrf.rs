//! Whether a request that a browser adds its cookie to was meant by the person before it. Two checks that do not depend on
//! each other: where the request comes from, and a token that only a page of this gateway knows. Pure.

use crate::error::Failure;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, Method, header};
use subtle::ConstantTimeEq as _;

/// Where scripts of our pages put the token.
pub(crate) const HEADER: &str = "x-csrf-token";

/// What a session is found by.
pub(crate) fn id(secret: &str) -> String {
    hex::encode(hashed("session", secret))
}

/// What a page with a form must know.
pub(crate) fn token(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(hashed("form", secret))
}

fn hashed(purpose: &str, secret: &str) -> digest::Digest {
    digest::digest(&digest::SHA256, format!("aperium {purpose}\u{0}{secret}").as_bytes())
}

/// Whether a token is the one.
pub(crate) fn is(expected: &str, presented: &str) -> bool {
    expected.as_bytes().ct_eq(presented.as_bytes()).into()
}

/// What changes nothing.
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// Where a request with a cookie may come from: a page of this gateway. A browser as a whole may also be led to a page
/// (`page`) by a link elsewhere. What changes something must say where it comes from.
///
/// # Errors
/// [`Failure::Origin`]
pub(crate) fn from_here(method: &Method, headers: &HeaderMap, secure: bool, page: bool) -> Result<(), Failure> {
    let mut sites = headers.get_all("sec-fetch-site").iter();
    let site = sites.next().map(|site| site.as_bytes());
    if sites.next().is_some() {
        return Err(Failure::Origin);
    }
    let safe = is_safe(method);
    let led = safe && page && is_navigation(headers);
    let fetched = match site {
        Some(b"same-origin") => true,
        // Typed in, or a bookmark: nobody else has made this request.
        Some(b"none") => safe,
        Some(_) => led,
        None => safe || headers.contains_key(header::ORIGIN),
    };
    // Of the same host was checked at the edge; other origins that may call with a token may not with a cookie.
    let origin = headers.get(header::ORIGIN).is_none_or(|origin| is_own(origin.as_bytes(), headers, secure));
    if fetched && origin { Ok(()) } else { Err(Failure::Origin) }
}

fn is_navigation(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate")
        && headers.get("sec-fetch-dest").is_none_or(|to| to == "document")
}

fn is_own(origin: &[u8], headers: &HeaderMap, secure: bool) -> bool {
    let scheme: &[u8] = if secure { b"https://" } else { b"http://" };
    let host = headers.get(header::HOST).map(|host| host.as_bytes()).unwrap_or_default();
    origin.strip_prefix(scheme).is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn ask(method: &Method, page: bool, pairs: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("mcp.example.com"))]);
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        from_here(method, &headers, true, page).is_ok()
    }

    #[test]
    fn a_change_comes_from_a_page_of_this_gateway_alone() {
        let own = ("origin", "https://mcp.example.com");
        for good in [&[own][..], &[("sec-fetch-site", "same-origin")], &[("sec-fetch-site", "same-origin"), own]] {
            assert!(ask(&Method::POST, false, good), "{good:?}");
        }
        for bad in [
            &[][..],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("sec-fetch-site", "")],
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")],
            &[("sec-fetch-site", "cross-site"), own],
            &[("origin", "null")],
            &[("origin", "http://mcp.example.com")],
            &[("origin", "https://app.example.com")],
            &[("origin", "https://mcp.example.com.evil.com")],
            &[("sec-fetch-site", "same-origin"), ("origin", "https://evil.com")],
        ] {
            assert!(!ask(&Method::POST, true, bad), "{bad:?}");
            assert!(!ask(&Method::DELETE, false, bad), "{bad:?}");
        }
    }

    #[test]
    fn a_link_elsewhere_leads_to_a_page_and_to_nothing_else() {
        let led = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
        assert!(ask(&Method::GET, true, &led));
        assert!(!ask(&Method::GET, false, &led), "the API is no page");
        let framed = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
        let script = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "script")];
        assert!(!ask(&Method::GET, true, &framed) && !ask(&Method::GET, true, &script));
        assert!(ask(&Method::GET, false, &[]) && ask(&Method::GET, false, &[("sec-fetch-site", "none")]));
        assert!(!ask(&Method::GET, false, &[("origin", "https://app.example.com")]));
    }

    #[test]
    fn what_follows_from_a_secret_does_not_tell_it() {
        let (id, token) = (id("secret"), token("secret"));
        assert!(id.len() == 64 && token.len() == 43 && !id.contains("secret"));
        assert!(is(&token, &token) && !is(&token, "") && !is(&token, &super::token("other")));
    }
}
