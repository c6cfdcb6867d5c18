//! Secrets of a document: a text in, the same text with `"***"` in their place out; and a text with `"***"` in, the same
//! text with the values of before out.
//!
//! Whatever might be a secret counts as one: fields of `auth` that nobody knows, everything in sections that are not
//! served here, and everything below keys that nobody knows.

use super::edit::splice;
use super::finding::{Findings, Path, Severity};
use super::hujson::{Node, Value};
use super::read::auth::is_secret;
use super::read::grants::CAPABILITY;
use std::collections::BTreeMap;
use url::Url;

/// What stands in a text instead of a secret.
pub(crate) const MASK: &str = "***";

/// Keys of a server that hold no secret, beside `auth` and `url`.
const PLAIN: [&str; 9] =
    ["protocol", "provider", "description", "context", "labels", "name", "displayName", "timeoutSeconds", "suspend"];

/// The text without secrets.
pub(crate) fn mask(text: &str, tree: &Node) -> String {
    let places = places(tree, false).into_values().map(|node| (node.span.clone(), format!("\"{MASK}\""))).collect();
    splice(text, places)
}

/// The text with the secrets of `old` wherever `"***"` stands for one. A secret never moves to another server: where
/// its connector points elsewhere now, it must be given again.
pub(crate) fn restore(
    text: &str,
    tree: &Node,
    old_text: &str,
    old: Option<&Node>,
    findings: &mut Findings<'_>,
) -> String {
    // A user name is no secret, and may be left as it was all the same.
    let stored = old.map(|old| places(old, true)).unwrap_or_default();
    let mut changes = Vec::new();
    for (place, node) in places(tree, true).into_iter().filter(|(_, node)| node.text() == Some(MASK)) {
        let refuse = |findings: &mut Findings<'_>, message: String| {
            findings.add(Severity::Error, node.span.start, &place.path, message);
        };
        match stored.get(&place) {
            None => {
                let message = format!("\"{MASK}\" stands for a stored value, and none is stored here: give the value");
                refuse(findings, message);
            }
            Some(_) if place.server.as_ref().is_some_and(|id| points_elsewhere(tree, old, id)) => {
                let message = "must be given again: the connector's url or token_url points to another host now";
                refuse(findings, message.to_owned());
            }
            Some(known) => {
                let raw = old_text.get(known.span.clone()).unwrap_or_default().to_owned();
                changes.push((node.span.clone(), raw));
            }
        }
    }
    splice(text, changes)
}

/// Where a secret stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    path: Path,
    /// A key that comes twice has two places.
    occurrence: usize,
    /// The connector that it belongs to.
    server: Option<String>,
}

/// All secrets of a document, or everything that a `"***"` may stand for.
fn places(tree: &Node, all: bool) -> BTreeMap<Place, &Node> {
    let mut found = Found { places: BTreeMap::new(), seen: BTreeMap::new(), all };
    let root = Path::default();
    for member in tree.members().unwrap_or_default() {
        let path = root.key(&member.key);
        match member.key.as_str() {
            "connectors" | "mcp" => found.servers(&member.value, &path),
            "grants" => found.grants(&member.value, &path),
            "flags" => {}
            // Not served, or unknown.
            _ => found.texts(&member.value, &path, None),
        }
    }
    found.places
}

struct Found<'n> {
    places: BTreeMap<Place, &'n Node>,
    /// How many places have the same path.
    seen: BTreeMap<Path, usize>,
    all: bool,
}

impl<'n> Found<'n> {
    fn add(&mut self, node: &'n Node, path: &Path, server: Option<&str>) {
        let seen = self.seen.entry(path.clone()).or_default();
        let place = Place { path: path.clone(), occurrence: *seen, server: server.map(str::to_owned) };
        *seen += 1;
        self.places.insert(place, node);
    }

    /// Every string below.
    fn texts(&mut self, node: &'n Node, path: &Path, server: Option<&str>) {
        match &node.value {
            Value::Text(text) if !text.is_empty() => self.add(node, path, server),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.texts(item, &path.item(index), server);
                }
            }
            Value::Object(members) => {
                for member in members {
                    self.texts(&member.value, &path.key(&member.key), server);
                }
            }
            _ => {}
        }
    }

    /// `connectors` or `mcp`.
    fn servers(&mut self, section: &'n Node, path: &Path) {
        for member in section.members().unwrap_or_default() {
            let path = path.key(&member.key);
            match member.key.as_str() {
                "servers" => {
                    for server in member.value.members().unwrap_or_default() {
                        self.server(&server.value, &path.key(&server.key), &server.key);
                    }
                }
                "accept_registrations" => {}
                _ => self.texts(&member.value, &path, None),
            }
        }
    }

    fn server(&mut self, server: &'n Node, path: &Path, id: &str) {
        for member in server.members().unwrap_or_default() {
            let path = path.key(&member.key);
            match member.key.as_str() {
                "auth" => self.auth(&member.value, &path, id),
                "url" if member.value.text().is_some_and(|url| url == MASK || has_user(url)) => {
                    self.add(&member.value, &path, Some(id));
                }
                "url" => {}
                key if PLAIN.contains(&key) => {}
                _ => self.texts(&member.value, &path, Some(id)),
            }
        }
    }

    fn auth(&mut self, auth: &'n Node, path: &Path, id: &str) {
        let Some(members) = auth.members() else { return self.texts(auth, path, Some(id)) };
        let all = self.all;
        for member in members.iter().filter(|member| all || is_secret(&member.key)) {
            match &member.value.value {
                Value::Null => {}
                Value::Text(text) if text.is_empty() => {}
                _ => self.add(&member.value, &path.key(&member.key), Some(id)),
            }
        }
    }

    fn grants(&mut self, grants: &'n Node, path: &Path) {
        for (index, entry) in grants.items().iter().enumerate() {
            let path = path.item(index).key("app").key(CAPABILITY);
            let Some(list) = entry.get("app").and_then(|app| app.get(CAPABILITY)) else { continue };
            for (index, capability) in list.items().iter().enumerate() {
                if let Some(headers) = capability.get("add_headers") {
                    self.texts(headers, &path.item(index).key("add_headers"), None);
                }
            }
        }
    }
}

/// Whether a URL names a user: what stands there may be a password.
fn has_user(url: &str) -> bool {
    match Url::parse(url) {
        Ok(url) => !url.username().is_empty() || url.password().is_some(),
        Err(_) => url.contains('@'),
    }
}

/// Whether a connector's credentials would go somewhere else than before.
fn points_elsewhere(new: &Node, old: Option<&Node>, id: &str) -> bool {
    let server = |tree: &'_ Node| Some(tree.get("connectors")?.get("servers")?.get(id)?.to_json());
    let (Some(new), Some(old)) = (server(new), old.and_then(server)) else { return true };
    ["/url", "/auth/token_url"].iter().any(|field| {
        let of = |server: &serde_json::Value| server.pointer(field).and_then(|url| url.as_str().map(str::to_owned));
        match of(&new) {
            // Without a URL nothing is sent anywhere.
            None => false,
            // It will be the one of before.
            Some(masked) if masked == MASK => false,
            Some(new) => Some(origin(&new)) != of(&old).as_deref().map(origin),
        }
    })
}

/// Scheme, host and port; of what is no URL the text itself.
fn origin(url: &str) -> String {
    Url::parse(url).map_or_else(|_| url.to_owned(), |url| url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::super::hujson::parse;
    use super::*;

    const TEXT: &str = r#"{
  // kept
  "connectors": {"servers": {
    "a": {"protocol": "http", "url": "https://a.example/x", "auth": {"type": "bearer_token", "secret": "hunter2"}, "headers": {"x": "hunter3"}},
    "b": {"url": "https://u:hunter4@b.example", "auth": {"type": "basic", "username": "bob", "password": "hunter5", "secert": "hunter6", "password": "hunter7"}},
  }},
  "providers": {"p": {"apikey": "hunter8", "n": 1}},
  "grants": [{"src": ["*"], "app": {"tailscale.com/cap/aperture": [{"add_headers": ["X: hunter9"]}]}}],
  "typo": ["hunter10"],
}"#;

    fn restored(new: &str, old: &str) -> Result<String, Vec<String>> {
        let mut findings = Findings::of(new);
        let text = restore(new, &parse(new).unwrap(), old, parse(old).ok().as_ref(), &mut findings);
        let findings: Vec<String> = findings.into_vec().iter().map(ToString::to_string).collect();
        if findings.is_empty() { Ok(text) } else { Err(findings) }
    }

    #[test]
    fn nothing_that_may_be_a_secret_is_shown_and_all_of_it_comes_back() {
        let masked = mask(TEXT, &parse(TEXT).unwrap());
        assert!(!masked.contains("hunter"), "{masked}");
        assert!(masked.contains("// kept") && masked.contains("\"bob\"") && masked.contains("\"n\": 1"), "{masked}");
        assert_eq!(restored(&masked, TEXT).unwrap(), TEXT);
    }

    #[test]
    fn a_key_that_comes_again_and_again_takes_no_time() {
        let text = format!("{{\"typo\": {{{}}}}}", "\"k\": \"v\",\n".repeat(50_000));
        let started = std::time::Instant::now();
        let masked = mask(&text, &parse(&text).unwrap());
        assert_eq!(restored(&masked, &text).unwrap(), text);
        let found = crate::document::read_file(&text, &crate::document::Macros::default(), None).findings;
        assert!(found.iter().any(|finding| finding.line == 50_000), "{}", found.len());
        assert!(started.elapsed() < std::time::Duration::from_secs(10), "{:?}", started.elapsed());
    }

    #[test]
    fn a_new_secret_is_taken_and_the_others_stay() {
        let masked = mask(TEXT, &parse(TEXT).unwrap());
        let changed = masked.replacen("\"secret\": \"***\"", "\"secret\": \"new\"", 1);
        assert_eq!(restored(&changed, TEXT).unwrap(), TEXT.replace("hunter2", "new"));
    }

    #[test]
    fn stars_that_stand_for_nothing_are_refused() {
        let new = r#"{"connectors": {"servers": {"c": {"auth": {"type": "bearer_token", "secret": "***"}}}}}"#;
        let findings = restored(new, TEXT).unwrap_err();
        assert!(findings[0].contains("connectors.servers.c.auth.secret") && findings[0].contains("none is stored"));
    }

    #[test]
    fn a_secret_does_not_follow_its_connector_to_another_host() {
        let masked = mask(TEXT, &parse(TEXT).unwrap());
        let moved = masked.replace("https://a.example/x", "https://evil.example/x");
        let findings = restored(&moved, TEXT).unwrap_err();
        assert!(findings.iter().any(|f| f.contains("connectors.servers.a.auth.secret: must be given again")));
        assert!(restored(&masked.replace("a.example/x", "a.example/y"), TEXT).is_ok(), "another path of the same host");
    }
}
