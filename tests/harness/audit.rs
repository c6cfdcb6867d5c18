//! The API server's audit log: who read and wrote what, counted.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// The verbs that change something.
const WRITES: [&str; 6] = ["create", "update", "patch", "delete", "deletecollection", "apply"];

/// The log of one API server.
#[derive(Debug, Clone)]
pub struct AuditLog {
    path: PathBuf,
}

/// A point in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(u64);

/// One answered request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Who asked, such as `system:serviceaccount:aperium-system:aperium-operator`.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// `group/resource/subresource` without empty parts: `secrets`, `apps/deployments`, `aperium.dev/connectors/status`.
    pub resource: String,
    /// The namespace, or nothing.
    pub namespace: String,
    /// The object's name, or nothing.
    pub name: String,
    /// The HTTP status of the answer.
    pub code: u16,
    /// The client program.
    pub user_agent: String,
    /// The whole request path.
    pub uri: String,
}

impl Entry {
    /// Whether it asked to change something.
    #[must_use]
    pub fn is_write(&self) -> bool {
        WRITES.contains(&self.verb.as_str())
    }
}

/// How often each (user, verb, resource) occurs; prints as a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts(pub BTreeMap<(String, String, String), usize>);

impl Counts {
    /// All of them together.
    #[must_use]
    pub fn total(&self) -> usize {
        self.0.values().sum()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((user, verb, resource), count) in &self.0 {
            writeln!(out, "{count:6}  {verb:8} {resource:40} {user}")?;
        }
        Ok(())
    }
}

impl AuditLog {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// All of it, as it is written.
    ///
    /// # Panics
    /// When there is no log.
    #[must_use]
    pub fn text(&self) -> String {
        fs::read_to_string(&self.path).expect("the API server writes an audit log")
    }

    /// The end of the log now. A request that was answered before this call lies before it: the API server writes the line
    /// before it answers.
    ///
    /// # Panics
    /// When there is no log.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(fs::metadata(&self.path).expect("the API server writes an audit log").len())
    }

    /// The beginning of the log.
    #[must_use]
    pub fn beginning(&self) -> Mark {
        Mark(0)
    }

    /// Every request answered after `mark`, watches included once they ended.
    ///
    /// # Panics
    /// When the log cannot be read.
    #[must_use]
    pub fn since(&self, mark: Mark) -> Vec<Entry> {
        let mut file = fs::File::open(&self.path).expect("the API server writes an audit log");
        file.seek(SeekFrom::Start(mark.0)).expect("the log can be read from the mark");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("the log is text");
        // The last line may be half written.
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        whole.lines().filter_map(entry).collect()
    }

    /// What `user` wrote after `mark`, Leases aside: they are renewed for as long as a leader lives. `user` matches by its
    /// end, so that `aperium-operator` finds the ServiceAccount.
    #[must_use]
    pub fn writes_since(&self, mark: Mark, user: &str) -> Vec<Entry> {
        self.since(mark)
            .into_iter()
            .filter(|entry| {
                entry.is_write() && entry.user.ends_with(user) && entry.resource != "coordination.k8s.io/leases"
            })
            .collect()
    }
}

/// Counts entries by user, verb and resource.
#[must_use]
pub fn count<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Counts {
    let mut counts = Counts::default();
    for entry in entries {
        *counts.0.entry((entry.user.clone(), entry.verb.clone(), entry.resource.clone())).or_default() += 1;
    }
    counts
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    verb: String,
    user: User,
    #[serde(default)]
    object_ref: ObjectRef,
    response_status: Option<Status>,
    #[serde(default)]
    user_agent: String,
    #[serde(rename = "requestURI", default)]
    request_uri: String,
    stage: String,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

fn entry(line: &str) -> Option<Entry> {
    let line: Line = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in an audit line: {line}"));
    // A watch is logged twice: when it starts answering and when it ends.
    if line.stage == "ResponseStarted" {
        return None;
    }
    let reference = line.object_ref;
    let parts = [reference.api_group, reference.resource, reference.subresource];
    Some(Entry {
        user: line.user.username,
        verb: line.verb,
        resource: parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/"),
        namespace: reference.namespace,
        name: reference.name,
        code: line.response_status.map_or(0, |status| status.code),
        user_agent: line.user_agent,
        uri: line.request_uri,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATE: &str = r#"{"kind":"Event","level":"Metadata","stage":"ResponseComplete","requestURI":"/apis/apps/v1/namespaces/a/deployments","verb":"create","user":{"username":"system:serviceaccount:aperium-system:aperium-operator"},"userAgent":"x","objectRef":{"resource":"deployments","namespace":"a","name":"n","apiGroup":"apps"},"responseStatus":{"code":201}}"#;
    const LEASE: &str = r#"{"stage":"ResponseComplete","verb":"patch","user":{"username":"system:serviceaccount:aperium-system:aperium-operator"},"objectRef":{"resource":"leases","apiGroup":"coordination.k8s.io"},"responseStatus":{"code":200}}"#;

    #[test]
    fn writes_of_one_user_are_counted_without_lease_renewals_and_half_written_lines() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), format!("{CREATE}\n{LEASE}\n{}", &CREATE[..40])).unwrap();
        let log = AuditLog::new(file.path());
        let writes = log.writes_since(log.beginning(), "aperium-operator");
        let counts = count(&writes);
        assert_eq!(counts.total(), 1, "{counts}");
        assert_eq!(writes[0].resource, "apps/deployments");
        assert_eq!(writes[0].code, 201);
        assert_eq!(log.writes_since(log.beginning(), "somebody-else"), []);
    }

    #[test]
    fn nothing_before_the_mark_is_seen() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), format!("{CREATE}\n")).unwrap();
        let log = AuditLog::new(file.path());
        assert_eq!(log.since(log.mark()), []);
    }
}
