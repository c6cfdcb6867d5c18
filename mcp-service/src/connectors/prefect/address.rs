//! Where the API listens: the credential `api_url` and names from anywhere come in, URLs go out.
//!
//! A URL is always the base as the admin wrote it plus segments that are percent-encoded one by one, so no name can
//! leave its place in the path, whatever it holds.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::{Position, Url};

use super::args::Id;
use crate::connector::ToolError;

/// The longest `api_url`, in bytes.
const MAX_URL: usize = 2048;

/// All but the unreserved characters of RFC 3986 §2.3.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The root of one API, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    url: String,
    cloud: bool,
}

/// A path below the [`Base`], each part of it in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint(String);

// === impl Base ===

impl Base {
    /// Reads `api_url`: `http://host:4200/api` of a server, or
    /// `https://api.prefect.cloud/api/accounts/<account>/workspaces/<workspace>` of Prefect Cloud.
    pub(super) fn parse(text: &str) -> Result<Self, ToolError> {
        let wrong = |what: &str| ToolError::invalid(format!("the credential field \"api_url\" {what}"));
        if text.len() > MAX_URL {
            return Err(wrong("is too long"));
        }
        let url = Url::parse(text).map_err(|_| wrong("is no URL"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(wrong("must start with http:// or https:// and name a host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("must not hold a user or password: use \"auth_string\""));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("must end with its path"));
        }
        let path = url.path().trim_end_matches('/');
        let segments: Vec<&str> = path.split('/').collect();
        let cloud = matches!(segments[..], [.., "accounts", _, "workspaces", _]);
        Ok(Self { url: format!("{}{path}", &url[..Position::BeforePath]), cloud })
    }

    /// Whether this is a workspace of Prefect Cloud, whose API has no `/admin` and no CSRF tokens.
    pub(super) fn is_cloud(&self) -> bool {
        self.cloud
    }

    /// The URL of an endpoint.
    pub(super) fn url(&self, endpoint: &Endpoint) -> String {
        format!("{}{}", self.url, endpoint.0)
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// A path of ours, slash first.
    pub(super) fn new(path: &'static str) -> Self {
        Self(path.to_owned())
    }

    /// Adds an id.
    pub(super) fn id(mut self, id: &Id) -> Self {
        self.0.push('/');
        self.0.push_str(&id.to_string());
        self
    }

    /// Adds a name as one segment.
    pub(super) fn name(mut self, name: &str) -> Result<Self, ToolError> {
        // Proxies remove such segments even when they are encoded.
        if matches!(name, "." | "..") {
            return Err(ToolError::invalid("no name consists of dots alone"));
        }
        self.0.push('/');
        self.0.extend(utf8_percent_encode(name, SEGMENT));
        Ok(self)
    }

    /// Adds a path of ours, slash first.
    pub(super) fn then(mut self, path: &'static str) -> Self {
        self.0.push_str(path);
        self
    }

    /// Adds the one query parameter.
    pub(super) fn query(mut self, name: &'static str, value: &str) -> Self {
        self.0.push('?');
        self.0.push_str(name);
        self.0.push('=');
        self.0.extend(utf8_percent_encode(value, SEGMENT));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::ErrorCode;

    fn url(base: &str, endpoint: &Endpoint) -> String {
        Base::parse(base).unwrap().url(endpoint)
    }

    #[test]
    fn the_base_path_is_kept_with_or_without_a_slash_at_its_end() {
        let flows = || Endpoint::new("/flows/filter");
        assert_eq!(url("http://prefect:4200/api", &flows()), "http://prefect:4200/api/flows/filter");
        assert_eq!(url("http://prefect:4200/team/x/api//", &flows()), "http://prefect:4200/team/x/api/flows/filter");
        assert_eq!(url("https://prefect.example.com", &flows()), "https://prefect.example.com/flows/filter");
        assert_eq!(url("http://[::1]:4200/api", &flows()), "http://[::1]:4200/api/flows/filter");
    }

    #[test]
    fn a_name_stays_one_segment_whatever_it_holds() {
        for (name, encoded) in [
            ("a b", "a%20b"),
            ("../../admin", "..%2F..%2Fadmin"),
            ("a?b#c", "a%3Fb%23c"),
            ("50%", "50%25"),
            ("http://evil/", "http%3A%2F%2Fevil%2F"),
            ("Über\r\nx: y", "%C3%9Cber%0D%0Ax%3A%20y"),
            ("\\..\\", "%5C..%5C"),
        ] {
            let endpoint = Endpoint::new("/deployments/name").name(name).unwrap().name("d").unwrap();
            assert_eq!(url("http://p/api", &endpoint), format!("http://p/api/deployments/name/{encoded}/d"));
        }
        for dots in [".", ".."] {
            assert_eq!(Endpoint::new("/x").name(dots).unwrap_err().code, ErrorCode::InvalidArgument);
        }
    }

    #[test]
    fn ids_paths_and_queries_come_in_order() {
        let id = Id::parse("360ED2BB-1fb6-4aad-b32c-c7e92f76443a").unwrap();
        let endpoint = Endpoint::new("/deployments").id(&id).then("/create_flow_run");
        let expected = "http://p/api/deployments/360ed2bb-1fb6-4aad-b32c-c7e92f76443a/create_flow_run";
        assert_eq!(url("http://p/api", &endpoint), expected);
        let endpoint = Endpoint::new("/csrf-token").query("client", "a&b=c");
        assert_eq!(url("http://p/api", &endpoint), "http://p/api/csrf-token?client=a%26b%3Dc");
    }

    #[test]
    fn a_workspace_of_the_cloud_is_recognised_by_its_path() {
        assert!(Base::parse("https://api.prefect.cloud/api/accounts/a/workspaces/w/").unwrap().is_cloud());
        for server in ["http://p:4200/api", "http://p/accounts/a/api", "http://p/api/accounts/a/workspaces/"] {
            assert!(!Base::parse(server).unwrap().is_cloud(), "{server}");
        }
    }

    #[test]
    fn an_api_url_that_is_none_names_the_field_and_not_its_value() {
        for wrong in [
            "",
            "prefect:4200/api",
            "file:///etc/passwd",
            "http://",
            "http://user:geheim@p/api",
            "http://geheim@p/api",
            "http://p/api?geheim=1",
            "http://p/api#geheim",
            &format!("http://p/{}", "geheim".repeat(400)),
        ] {
            let error = Base::parse(wrong).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidArgument, "{wrong}");
            assert!(error.message.contains("api_url") && !error.message.contains("geheim"), "{}", error.message);
        }
    }
}
