//! The bytes of a `/readyz` answer → what counts of it. A pod is not trusted: sizes, names and texts are bounded.

use crate::stores::slices::Pod;
use aperium_platform::probes::Check;
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The most bytes of an answer.
const MAX_BYTES: usize = 64 * 1024;
/// The most checks that are kept.
const MAX_CHECKS: usize = 16;
/// The most characters of a message.
const MAX_MESSAGE: usize = 256;

/// What one pod says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whether it is ready.
    pub ready: bool,
    /// Its checks by name.
    pub checks: BTreeMap<String, Check>,
    /// How many tools it has.
    pub tools: Option<i32>,
    /// The digest of their definitions.
    pub tools_digest: Option<String>,
    /// The digest of their names, see [`names_digest`].
    pub names_digest: Option<String>,
}

/// What the pods of one Connector say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// How many pods there are.
    pub pods: usize,
    /// The answer that counts: of a ready pod if there is one.
    pub answer: Option<Answer>,
    /// Why no pod answered.
    pub error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    ready: bool,
    #[serde(default)]
    checks: BTreeMap<String, Check>,
    #[serde(default)]
    tools: Option<u32>,
    #[serde(default)]
    tools_digest: Option<String>,
    #[serde(default)]
    names_digest: Option<String>,
}

/// `sha256:` over the sorted names, each followed by a line feed.
#[must_use]
pub fn names_digest(names: &[String]) -> String {
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    let mut digest = Sha256::new();
    for name in names {
        digest.update(name);
        digest.update("\n");
    }
    format!("sha256:{}", hex::encode(digest.finalize()))
}

/// Reads a response to the end.
pub(super) async fn read<B>(response: http::Response<B>) -> Result<Answer, String>
where
    B: http_body::Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let status = response.status().as_u16();
    if !matches!(status, 200 | 503) {
        return Err(format!("HTTP {status}"));
    }
    let broken = |_| "the answer breaks off or is too long".to_owned();
    let body = Limited::new(response.into_body(), MAX_BYTES).collect().await.map_err(broken)?;
    parse(&body.to_bytes(), status == 200)
}

/// The answer of a service: ready only if both the status code and the body say so.
pub(super) fn parse(body: &[u8], ok: bool) -> Result<Answer, String> {
    let wire: Wire =
        serde_json::from_slice(body).map_err(|_| "the answer is not that of an Aperium service".to_owned())?;
    let checks =
        wire.checks.into_iter().take(MAX_CHECKS).map(|(name, check)| (plain(&name, 64), cleaned(check))).collect();
    Ok(Answer {
        ready: ok && wire.ready,
        checks,
        tools: wire.tools.map(|tools| i32::try_from(tools).unwrap_or(i32::MAX)),
        tools_digest: wire.tools_digest.filter(|digest| aperium_crds::settings::is_hash(digest)),
        names_digest: wire.names_digest.filter(|digest| aperium_crds::settings::is_hash(digest)),
    })
}

/// A reason must be one for the API server (its pattern for conditions), a message must be short and plain.
fn cleaned(check: Check) -> Check {
    let named = check.reason.len() <= 64
        && check.reason.starts_with(|c: char| c.is_ascii_alphabetic())
        && check.reason.bytes().all(|b| b.is_ascii_alphanumeric());
    let reason = if named { check.reason } else { "Unnamed".to_owned() };
    Check { ok: check.ok, reason, message: plain(&check.message, MAX_MESSAGE) }
}

fn plain(text: &str, max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(max).collect()
}

impl Answer {
    /// The first failing check in the order in which they depend on each other.
    #[must_use]
    pub fn failing(&self) -> Option<(&str, &Check)> {
        let known = ["authToken", "credentials", "toolDiscovery"];
        let all = known.into_iter().chain(self.checks.keys().map(String::as_str));
        all.filter_map(|name| self.checks.get(name).map(|check| (name, check))).find(|(_, check)| !check.ok)
    }
}

impl Seen {
    /// Sums up what the asked pods answered.
    #[must_use]
    pub fn of(pods: &[Pod], answers: Vec<Result<Answer, String>>) -> Self {
        let mut best: Option<Answer> = None;
        let mut error = None;
        for answer in answers {
            match answer {
                Ok(answer) if answer.ready || best.is_none() => {
                    if best.as_ref().is_none_or(|best| !best.ready) {
                        best = Some(answer);
                    }
                }
                Ok(_) => {}
                Err(reason) => error = error.or(Some(reason)),
            }
        }
        let error = error.filter(|_| best.is_none());
        Self { pods: pods.len(), answer: best, error }
    }

    /// Whether a pod is ready.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer.ready)
    }

    /// Equal but for the words of messages: these may differ each time and are no news.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let verdicts = |answer: &Answer| {
            answer.checks.iter().map(|(name, check)| (name.clone(), check.ok, check.reason.clone())).collect::<Vec<_>>()
        };
        let facts =
            |answer: &Answer| (answer.ready, answer.tools, answer.tools_digest.clone(), answer.names_digest.clone());
        match (&self.answer, &other.answer) {
            (Some(a), Some(b)) => verdicts(a) == verdicts(b) && facts(a) == facts(b),
            (None, None) => self.error.is_some() == other.error.is_some(),
            _ => false,
        }
    }
}
