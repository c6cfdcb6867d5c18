//! Where a browser goes after it has signed in: a path of this gateway from a short list, written anew. Pure.

use crate::entry::consent::PAGES;
use aperium_core::id::ConnectorId;

/// The longest wish that is looked at.
const MAX: usize = 256;

/// A path that is ours. Whatever else was wished for is the start page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReturnTo(Option<String>);

impl ReturnTo {
    /// The start page.
    pub(crate) const START: Self = Self(None);

    /// Reads a wish. Nothing of it is kept but the id of a connector.
    pub(crate) fn of(wish: &str) -> Self {
        if wish.len() > MAX {
            return Self::START;
        }
        let id = wish.strip_prefix(PAGES).and_then(|rest| rest.strip_suffix("/connect"));
        // An id has no character that means something in a URL.
        Self(id.and_then(|id| ConnectorId::any(id).ok()).map(|id| id.to_string()))
    }

    /// The path.
    pub(crate) fn path(&self) -> String {
        self.0.as_ref().map_or_else(|| "/".to_owned(), |id| format!("{PAGES}{id}/connect"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_page_of_a_connector_is_where_one_comes_back_to() {
        assert_eq!(ReturnTo::of("/aperture/auth/github/connect").path(), "/aperture/auth/github/connect");
        for start in ["", "/"] {
            assert_eq!(ReturnTo::of(start), ReturnTo::START);
        }
    }

    /// Prefixes that browsers, proxies and parsers of URLs have taken for "elsewhere", before hosts in many spellings.
    fn hostile() -> BTreeSet<String> {
        let before = [
            "",
            "/",
            "//",
            "///",
            "////",
            "/\\",
            "\\/",
            "\\",
            "\\\\",
            "/\\/",
            "\\/\\/",
            "/%5c",
            "/%2f",
            "%2f%2f",
            "/%09/",
            "/\t/",
            "/\n/",
            "/\r/",
            "/\r\n/",
            "\t//",
            " //",
            "/ /",
            "/./",
            "/../",
            "/.//",
            "/..//",
            "/%2e%2e//",
            "/;//",
            "/;@",
            "/.",
            "/..",
            "http:",
            "http:/",
            "http://",
            "https:",
            "https:/",
            "https://",
            "https:///",
            "https:\\\\",
            "HTTPS://",
            "hTTp://",
            "http:%2f%2f",
            "https%3a//",
            "https:/\\",
            "https://mcp.example.com@",
            "https://mcp.example.com:pass@",
            "//mcp.example.com@",
            "//mcp.example.com%40",
            "https://mcp.example.com.",
            "ftp://",
            "file:///",
            "data:text/html,",
            "javascript:alert(1)//",
            "javascript://",
            "jAvAsCrIpT:",
            "java\tscript:",
            "java%0ascript:",
            "vbscript:",
            "\u{0}//",
            "%00//",
            "\u{feff}//",
            "\u{200b}//",
            "\u{3002}//",
            "\u{ff0f}\u{ff0f}",
            "\u{2215}/",
            "\u{ff3c}",
            "/login?return_to=//",
            "/aperture/auth//",
            "/aperture/auth/../..//",
            "/aperture/auth/%2e%2e/%2e%2e//",
            "/aperture/auth/\\",
            "/aperture/auth/@",
            "/aperture/auth/github/connect?next=//",
            "/aperture/auth/github/connect#//",
            "/aperture/auth/github/connect/..//",
            "/aperture/auth/github/connect@",
            "/aperture/auth/github/connect.",
            "/aperture/auth/github/connect\r\nLocation: //",
        ];
        let hosts = [
            "evil.com",
            "evil.com/",
            "evil.com/connect",
            "evil.com/aperture/auth/github/connect",
            "evil%E3%80%82com",
            "evil。com",
            "evil.com:80",
            "evil.com%2f..",
            "evil.com?mcp.example.com",
            "evil.com#mcp.example.com",
            "2130706433",
            "[::1]/connect",
            "127.1",
            "xn--evl-ela.com",
        ];
        before.iter().flat_map(|before| hosts.iter().map(move |host| format!("{before}{host}"))).collect()
    }

    #[test]
    fn o18_nothing_leads_elsewhere_however_it_is_spelled() {
        let wishes = hostile();
        assert!(wishes.len() > 558, "{}", wishes.len());
        for wish in &wishes {
            assert_eq!(ReturnTo::of(wish).path(), "/", "{wish:?}");
        }
        println!("{} wishes for another place, none heard", wishes.len());
    }

    #[test]
    fn what_is_like_a_page_of_ours_and_is_none_is_the_start_page() {
        for wish in [
            "/aperture/auth/github/callback",
            "/aperture/auth/github/connect/",
            "/aperture/auth/github/Connect",
            "/aperture/auth/git%68ub/connect",
            "/aperture/auth/git hub/connect",
            "/aperture/auth//connect",
            "/aperture/auth/a/b/connect",
            "/aperture/auth/./connect",
            "/aperture/auth/../connect",
            "/aperture/auth/connect",
            "/Aperture/auth/github/connect",
            "//aperture/auth/github/connect",
            "aperture/auth/github/connect",
            "/api/connectors",
            "/logout",
            "/v1/mcp",
            "/aperture/auth/git\u{301}hub/connect",
            "/aperture/auth/github\u{0}/connect",
        ] {
            assert_eq!(ReturnTo::of(wish), ReturnTo::START, "{wish:?}");
        }
        let long = format!("/aperture/auth/{}/connect", "a".repeat(MAX));
        assert_eq!(ReturnTo::of(&long), ReturnTo::START);
    }
}
