//! The cookies of a browser. `__Host-`: set by this very host over TLS, for all its paths and no other host. Where the
//! public URL is `http://` on loopback there is no TLS, so the cookies are named otherwise and go without `Secure`.

use http::{HeaderMap, HeaderValue, header};

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cookie {
    /// The session.
    Session,
    /// A sign-in that is under way at an issuer.
    Flow,
    /// What the forms of somebody who is not signed in are bound to.
    Form,
}

/// The longest value: a sealed flow.
const MAX: usize = 3072;

impl Cookie {
    fn name(self, secure: bool) -> &'static str {
        match (self, secure) {
            (Self::Session, true) => "__Host-aperium-session",
            (Self::Flow, true) => "__Host-aperium-flow",
            (Self::Form, true) => "__Host-aperium-form",
            (Self::Session, false) => "aperium-session",
            (Self::Flow, false) => "aperium-flow",
            (Self::Form, false) => "aperium-form",
        }
    }

    /// What the browser brings. A name that comes twice was also set by somebody else: then it brings nothing.
    pub(crate) fn read(self, headers: &HeaderMap, secure: bool) -> Option<&str> {
        let name = self.name(secure);
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let mut values = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (Some(value), None) if is_value(value) => Some(value),
            _ => None,
        }
    }

    /// Sets it. `seconds`: how long the browser keeps it; nothing: until it is closed.
    pub(crate) fn set(self, value: &str, secure: bool, seconds: Option<i64>) -> Option<HeaderValue> {
        let name = self.name(secure);
        let (tls, age) = (if secure { "; Secure" } else { "" }, seconds.map(|s| format!("; Max-Age={s}")));
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{tls}{}", age.unwrap_or_default());
        let mut header = HeaderValue::from_str(&text).ok().filter(|_| value.is_empty() || is_value(value))?;
        header.set_sensitive(true);
        Some(header)
    }

    /// Takes it away.
    pub(crate) fn gone(self, secure: bool) -> Option<HeaderValue> {
        self.set("", secure, Some(0))
    }
}

fn is_value(text: &str) -> bool {
    (1..=MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o19_a_cookie_is_for_this_host_over_tls_and_no_script_reads_it() {
        let set = Cookie::Session.set("abc", true, None).unwrap();
        assert_eq!(set, "__Host-aperium-session=abc; Path=/; HttpOnly; SameSite=Lax; Secure");
        assert!(set.is_sensitive() && !format!("{set:?}").contains("abc"));
        let gone = Cookie::Session.gone(true).unwrap();
        assert_eq!(gone, "__Host-aperium-session=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0");
        let local = Cookie::Flow.set("abc", false, Some(9)).unwrap();
        assert_eq!(local, "aperium-flow=abc; Path=/; HttpOnly; SameSite=Lax; Max-Age=9");
        for bad in ["a;b", "a b", "a\"", "ü", &"a".repeat(MAX + 1)] {
            assert!(Cookie::Session.set(bad, true, None).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_cookie_that_comes_twice_or_under_another_name_is_none() {
        let read = |lines: &[&'static str]| {
            let lines = lines.iter().map(|line| (header::COOKIE, HeaderValue::from_static(line)));
            Cookie::Session.read(&lines.collect(), true).map(str::to_owned)
        };
        assert_eq!(read(&["a=b; __Host-aperium-session=abc;c=d"]).as_deref(), Some("abc"));
        assert_eq!(read(&["a=b", "__Host-aperium-session=abc"]).as_deref(), Some("abc"), "HTTP/2 may split them");
        for none in [
            &["__Host-aperium-session=abc; __Host-aperium-session=def"][..],
            &["__Host-aperium-session=abc", "__Host-aperium-session=abc"],
            &["aperium-session=abc"],
            &["__host-aperium-session=abc"],
            &["__Host-aperium-session="],
            &["__Host-aperium-session=a/b"],
            &["x__Host-aperium-session=abc"],
        ] {
            assert_eq!(read(none), None, "{none:?}");
        }
    }
}
