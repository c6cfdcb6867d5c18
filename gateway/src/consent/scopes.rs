//! What a token may, what its person was asked for, and what the next consent asks for. Pure.
//!
//! A server decides what it grants: less than it was asked for, or more, at once or when a token is renewed. What it adds
//! is never asked for in the gateway's name; what it takes back may be asked for again.

use aperium_platform::oauth;
use serde::{Deserialize, Serialize};

/// How often one consent after the other may ask for more, until the person disconnects. An upstream that wants yet
/// another scope every time asks for nothing any more.
const MAX_STEPS: u32 = 3;

/// The scopes of a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scopes {
    /// What it is good for, as far as the server has said it; else what was asked for.
    #[serde(rename = "scopes")]
    granted: Vec<String>,
    /// What the person was asked for.
    #[serde(default)]
    asked: Vec<String>,
    /// What the upstream wants besides: the next consent asks for it.
    #[serde(default)]
    wanted: Vec<String>,
    /// What the server has taken back since the consent.
    #[serde(default)]
    lost: Vec<String>,
    /// How often the person has consented to more.
    #[serde(default)]
    steps: u32,
}

/// How many scopes an answer of the server lacks and adds, beside what was expected of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) less: usize,
    pub(super) more: usize,
}

/// What is to be done for an upstream that wants more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It is of no use to ask: the person was asked for all of it already, or too often.
    Useless,
    /// The person is asked for it already.
    Known,
    /// The person has to be asked, for the so manieth time.
    Ask(u32),
}

impl Scopes {
    /// What a consent has brought. `before`: the scopes of the token in whose place the new one comes.
    pub(super) fn consented(
        before: Option<&Self>,
        asked: Vec<String>,
        granted: Option<Vec<String>>,
    ) -> (Self, Option<Change>) {
        let steps = before.map_or(0, |before| before.steps + u32::from(before.wants_more()));
        // Nothing was asked for: what comes is the server's own choice.
        let change = granted.as_ref().filter(|_| !asked.is_empty()).and_then(|granted| Change::of(&asked, granted));
        let granted = granted.unwrap_or_else(|| asked.clone());
        (Self { granted, asked, wanted: Vec::new(), lost: Vec::new(), steps }, change)
    }

    /// What a renewal has brought; a server that says nothing of scopes has changed none (RFC 6749 §6).
    pub(super) fn renewed(mut self, granted: Option<Vec<String>>) -> (Self, Option<Change>) {
        let Some(granted) = granted else { return (self, None) };
        let change = Change::of(&self.granted, &granted);
        let gone = without(&self.granted, &granted);
        self.lost = without(&oauth::union(&self.lost, &gone), &granted);
        self.wanted = without(&self.wanted, &granted);
        self.granted = granted;
        (self, change)
    }

    /// The upstream has refused the token because it wants these.
    pub(super) fn want(&mut self, scopes: &[String]) -> Step {
        let asked = |scope: &String| self.asked.contains(scope) && !self.lost.contains(scope);
        if self.steps >= MAX_STEPS || scopes.iter().all(|scope| self.granted.contains(scope) || asked(scope)) {
            return Step::Useless;
        }
        let wanted = oauth::union(&self.wanted, scopes);
        if wanted == self.wanted {
            return Step::Known;
        }
        self.wanted = wanted;
        Step::Ask(self.steps + 1)
    }

    /// Whether the upstream has wanted more than there is.
    pub(super) fn wants_more(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// What the next flow asks for: what it would ask for anyhow, what the person was asked for before, and what the
    /// upstream wants. Where the server has chosen by itself, nobody loses what it chose.
    pub(super) fn next(&self, first: &[String]) -> Vec<String> {
        let before = if self.asked.is_empty() { &self.granted } else { &self.asked };
        oauth::union(&oauth::union(first, before), &self.wanted)
    }
}

impl Change {
    fn of(expected: &[String], granted: &[String]) -> Option<Self> {
        let change = Self { less: without(expected, granted).len(), more: without(granted, expected).len() };
        (change.less + change.more > 0).then_some(change)
    }
}

fn without(all: &[String], these: &[String]) -> Vec<String> {
    all.iter().filter(|scope| !these.contains(scope)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn consented(asked: &str, granted: Option<&str>) -> (Scopes, Option<Change>) {
        Scopes::consented(None, of(asked), granted.map(of))
    }

    #[test]
    fn what_a_server_does_not_grant_is_told_and_not_asked_for_at_every_call() {
        let (mut scopes, change) = consented("read write", Some("read"));
        assert_eq!(change, Some(Change { less: 1, more: 0 }));
        assert_eq!(scopes.want(&of("write")), Step::Useless);
        assert_eq!(scopes.next(&[]), of("read write"), "the next consent asks for all of it again");
        assert_eq!(consented("read", None).1, None, "as it was asked");
        assert_eq!(consented("", Some("read")).1, None, "the server has chosen");
    }

    #[test]
    fn what_a_server_adds_is_told_and_never_asked_for() {
        let (scopes, change) = consented("read", Some("read admin"));
        assert_eq!(change, Some(Change { less: 0, more: 1 }));
        assert_eq!(scopes.next(&of("read")), of("read"));
        let (scopes, change) = scopes.renewed(Some(of("read admin root")));
        assert_eq!(change, Some(Change { less: 0, more: 1 }));
        assert_eq!(scopes.next(&[]), of("read"));
        // What it has chosen by itself is what the person has consented to there.
        assert_eq!(consented("", Some("read")).0.next(&of("x")), of("x read"));
    }

    #[test]
    fn what_was_taken_back_may_be_asked_for_again_three_times_at_most() {
        let (mut scopes, _) = consented("read write", None);
        for step in 1..=3 {
            let (mut poorer, change) = scopes.renewed(Some(of("read")));
            assert_eq!(change, Some(Change { less: 1, more: 0 }));
            assert_eq!(poorer.clone().renewed(Some(of("read"))).1, None, "told once");
            assert_eq!((poorer.want(&of("write")), poorer.want(&of("write"))), (Step::Ask(step), Step::Known));
            scopes = Scopes::consented(Some(&poorer), of("read write"), None).0;
        }
        let (mut scopes, _) = scopes.renewed(Some(of("read")));
        assert_eq!(scopes.want(&of("write")), Step::Useless);
    }

    #[test]
    fn what_a_renewal_brings_is_wanted_no_more() {
        let (mut scopes, _) = consented("read", None);
        assert_eq!(scopes.want(&of("read write")), Step::Ask(1));
        let (scopes, _) = scopes.renewed(Some(of("read write")));
        assert!(!scopes.wants_more());
        let (silent, change) = scopes.clone().renewed(None);
        assert!(silent == scopes && change.is_none());
    }
}
