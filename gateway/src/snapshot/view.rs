//! What one caller may see and use: decisions of the grants, each taken once and remembered for as long as the
//! Snapshot lives.

use super::{Entry, Kind, PerKind, Snapshot, instructions};
use aperium_core::caller::{Caller, Principal};
use aperium_core::capability::Category;
use aperium_core::grant::{GrantRule, NoGrant, Role};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// An authenticated caller with the key of everything that grants can ask about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Who calls.
    pub(crate) caller: Caller,
    key: Box<str>,
    name: Box<str>,
}

impl Identity {
    /// Works out the key and the name.
    pub(crate) fn new(caller: Caller) -> Arc<Self> {
        let mut key = String::new();
        add(&mut key, &caller);
        let name = name_of(&caller).into();
        Arc::new(Self { caller, key: key.into(), name })
    }

    /// What the audit log calls the caller.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// All that grants can ask about the caller, as one text.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }
}

/// The principal, with the e-mail that the issuer vouches for.
pub(crate) fn name_of(caller: &Caller) -> String {
    match &caller.email {
        Some(email) => format!("{} <{email}>", caller.principal),
        None => caller.principal.to_string(),
    }
}

fn add(key: &mut String, caller: &Caller) {
    key.push_str(&caller.principal.to_string());
    key.push('\u{0}');
    key.push_str(caller.tenant.as_ref().map_or("", |tenant| tenant.as_str()));
    let named = [('e', caller.email.as_slice()), ('g', caller.groups.as_slice()), ('t', caller.tags.as_slice())];
    for (kind, values) in named {
        for value in values {
            key.push('\u{0}');
            key.push(kind);
            key.push_str(value);
        }
    }
    if let Some(delegate) = &caller.delegate {
        key.push_str("\u{0}d");
        add(key, delegate);
    }
}

/// The views of one Snapshot. Callers with the same grants share all that follows from them.
#[derive(Debug, Default)]
pub(super) struct Views(RwLock<Known>);

/// The positions of the grants that name a caller, and of those that name the delegate that acts for it.
type Matching = (Box<[u32]>, Option<Box<[u32]>>);

#[derive(Debug, Default)]
struct Known {
    by_caller: HashMap<Box<str>, Option<Arc<View>>>,
    by_grants: HashMap<Matching, Arc<Decisions>>,
    /// Bytes of all lists that are kept.
    kept: Arc<AtomicUsize>,
}

/// More than these, and they are worked out anew: bounds on memory, not tuning knobs.
const MAX_CALLERS: usize = 16_384;
const MAX_DECISIONS: usize = 1024;
/// Lists beyond these bytes are joined anew for each request: callers who all differ must not fill the memory.
const MAX_KEPT: usize = 64 * 1024 * 1024;

impl Views {
    pub(super) fn of(
        &self,
        identity: &Arc<Identity>,
        grants: &Arc<[GrantRule]>,
        connectors: usize,
    ) -> Result<Arc<View>, NoGrant> {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).by_caller.get(&identity.key) {
            return known.clone().ok_or(NoGrant);
        }
        let matching = matching_of(&identity.caller, grants);
        let delegates = identity.caller.delegate.as_ref().map(|delegate| matching_of(delegate, grants));
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if known.by_caller.len() >= MAX_CALLERS || known.by_grants.len() >= MAX_DECISIONS {
            *known = Known::default();
        }
        // Whoever is at the machine administers the gateway, even while no Grant names it.
        let known_to_us = (!matching.is_empty() && delegates.as_ref().is_none_or(|matching| !matching.is_empty()))
            || identity.caller.principal == Principal::Loopback;
        let view = known_to_us.then(|| {
            let Known { by_grants, kept, .. } = &mut *known;
            let fresh = || Arc::new(Decisions::new(&matching, delegates.clone(), grants, connectors, kept));
            let decisions = Arc::clone(by_grants.entry((matching.clone(), delegates.clone())).or_insert_with(fresh));
            Arc::new(View { identity: Arc::clone(identity), decisions })
        });
        known.by_caller.insert(identity.key.clone(), view.clone());
        view.ok_or(NoGrant)
    }
}

/// The positions of the grants that name the caller.
fn matching_of(caller: &Caller, grants: &[GrantRule]) -> Box<[u32]> {
    let names = |rule: &GrantRule| rule.subjects.iter().any(|subject| subject.is(caller));
    (0u32..).zip(grants.iter()).filter(|(_, rule)| names(rule)).map(|(position, _)| position).collect()
}

/// What one caller may see and use.
#[derive(Debug)]
pub(crate) struct View {
    identity: Arc<Identity>,
    decisions: Arc<Decisions>,
}

/// What follows from a set of grants, each decision taken when it is first asked for.
#[derive(Debug)]
struct Decisions {
    grants: Arc<[GrantRule]>,
    /// The grants whose subjects match the caller.
    matching: Box<[u32]>,
    /// Where a delegate acts for the caller: the grants that name the delegate. Both must allow what is asked for.
    delegates: Option<Box<[u32]>>,
    /// Per connector.
    connectors: Box<[ConnectorView]>,
    /// Per kind: what the aggregate lists.
    aggregate: PerKind<OnceLock<Bytes>>,
    instructions: OnceLock<Arc<str>>,
    digests: OnceLock<Box<Digests>>,
    kept: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct ConnectorView {
    /// The caller's grants that are about the connector: few of many, as a rule.
    rules: OnceLock<Box<[u32]>>,
    decided: PerKind<OnceLock<Box<[AtomicU32]>>>,
    /// The grant that opens the proxy path.
    proxy: OnceLock<Option<u32>>,
    list: PerKind<OnceLock<Bytes>>,
    instructions: OnceLock<Arc<str>>,
    digests: OnceLock<Box<Digests>>,
}

/// SHA-256 of each list that a caller sees.
pub(crate) type Digests = PerKind<[u8; 32]>;

const UNDECIDED: u32 = 0;
const DENIED: u32 = 1;
/// Plus the position of the grant.
const ALLOWED: u32 = 2;

impl Decisions {
    fn new(
        matching: &[u32],
        delegates: Option<Box<[u32]>>,
        grants: &Arc<[GrantRule]>,
        connectors: usize,
        kept: &Arc<AtomicUsize>,
    ) -> Self {
        Self {
            grants: Arc::clone(grants),
            matching: matching.into(),
            delegates,
            connectors: std::iter::repeat_with(ConnectorView::default).take(connectors).collect(),
            aggregate: PerKind::default(),
            instructions: OnceLock::new(),
            digests: OnceLock::new(),
            kept: Arc::clone(kept),
        }
    }

    /// Whether the delegate, where there is one, has a grant for which this is so.
    fn delegate_has(&self, is_so: impl Fn(&GrantRule) -> bool) -> bool {
        let has = |delegates: &[u32]| delegates.iter().any(|at| self.grants.get(*at as usize).is_some_and(&is_so));
        self.delegates.as_deref().is_none_or(has)
    }

    /// The list of a cell, joined where it is not kept, and kept where there is room.
    fn list(&self, cell: &OnceLock<Bytes>, join: impl FnOnce() -> Bytes) -> Bytes {
        if let Some(list) = cell.get() {
            return list.clone();
        }
        let list = join();
        let before = self.kept.fetch_add(list.len(), Ordering::Relaxed);
        if before + list.len() > MAX_KEPT || cell.set(list.clone()).is_err() {
            self.kept.fetch_sub(list.len(), Ordering::Relaxed);
        }
        list
    }
}

impl View {
    /// The caller.
    pub(crate) fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// The highest role that the caller's grants give. Whoever is at the machine of `aperium up` is its admin.
    pub(crate) fn role(&self) -> Role {
        if self.identity.caller.principal == Principal::Loopback {
            return Role::Admin;
        }
        // Whatever a delegate says of a person, it makes nobody an admin or auditor.
        if self.identity.caller.delegate.is_some() {
            return Role::User;
        }
        self.rules().map(|rule| rule.role).max().unwrap_or_default()
    }

    /// Whether the caller administers the gateway.
    pub(crate) fn is_admin(&self) -> bool {
        self.role() == Role::Admin
    }

    /// Whether the caller may use dynamic registration: admins, and whom a Grant names with `register: true`.
    pub(crate) fn may_register(&self) -> bool {
        self.is_admin() || (self.rules().any(|rule| rule.register) && self.decisions.delegate_has(|rule| rule.register))
    }

    /// Whether the caller may read `/metrics` on the public listener.
    pub(crate) fn reads_metrics(&self) -> bool {
        self.is_admin()
            || (self.rules().any(|rule| rule.read_metrics) && self.decisions.delegate_has(|rule| rule.read_metrics))
    }

    /// The grants whose subjects match the caller, in the order of their names.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &GrantRule> {
        self.decisions.matching.iter().filter_map(|at| self.decisions.grants.get(*at as usize))
    }

    /// Whether any grant of the caller is about the connector.
    pub(crate) fn concerns(&self, position: usize, entry: &Entry) -> bool {
        !self.rules_about(position, entry).is_empty()
    }

    fn rules_about(&self, position: usize, entry: &Entry) -> &[u32] {
        let about = || {
            let concerns =
                |at: &u32| self.decisions.grants.get(*at as usize).is_some_and(|r| r.concerns(entry.granted()));
            if !self.decisions.delegate_has(|rule| rule.concerns(entry.granted())) {
                return Box::default();
            }
            self.decisions.matching.iter().copied().filter(concerns).collect()
        };
        self.decisions.connectors.get(position).map_or(&[], |view| view.rules.get_or_init(about))
    }

    /// The position of the grant that allows an item of a kind, if one does.
    pub(crate) fn allowing(&self, position: usize, entry: &Entry, kind: Kind, item: usize) -> Option<u32> {
        let set = entry.offers.of(kind);
        let decided = self
            .decisions
            .connectors
            .get(position)?
            .decided
            .of(kind)
            .get_or_init(|| std::iter::repeat_with(|| AtomicU32::new(UNDECIDED)).take(set.len()).collect());
        let slot = decided.get(item)?;
        let decision = match slot.load(Ordering::Relaxed) {
            UNDECIDED => {
                let allowing = self.decide(position, entry, kind.category(), &set.at(item)?.name);
                let decision = allowing.map_or(DENIED, |grant| grant + ALLOWED);
                slot.store(decision, Ordering::Relaxed);
                decision
            }
            decision => decision,
        };
        decision.checked_sub(ALLOWED)
    }

    /// The position of the grant that opens the connector's proxy path, if one does.
    pub(crate) fn allowing_proxy(&self, position: usize, entry: &Entry) -> Option<u32> {
        let decide = || self.decide(position, entry, Category::Proxy, "");
        *self.decisions.connectors.get(position)?.proxy.get_or_init(decide)
    }

    /// The name of a grant, for logs and audit.
    pub(crate) fn grant_name(&self, grant: u32) -> &str {
        self.decisions.grants.get(grant as usize).map_or("", |rule| &rule.name)
    }

    /// The position of the grant that allows a capability, whether discovery has seen the thing or not: not
    /// remembered, so for names that come from callers. The resource is the upstream's own name.
    pub(crate) fn decide(&self, position: usize, entry: &Entry, category: Category, resource: &str) -> Option<u32> {
        let opens = |at: &u32| {
            self.decisions.grants.get(*at as usize).is_some_and(|rule| rule.opens(entry.granted(), category, resource))
        };
        let found = self.rules_about(position, entry).iter().copied().find(opens)?;
        self.decisions.delegate_has(|rule| rule.opens(entry.granted(), category, resource)).then_some(found)
    }

    /// The definitions of everything of a kind that the caller sees, joined by commas: of one connector under its own
    /// names, or of all under exposed names. In the order of connector ids, then of the upstream's own names.
    pub(crate) fn list(&self, snapshot: &Snapshot, kind: Kind, only: Option<usize>) -> Bytes {
        match only {
            Some(position) => {
                let Some(view) = self.decisions.connectors.get(position) else { return Bytes::new() };
                self.decisions.list(view.list.of(kind), || self.join(snapshot, kind, &[position], false))
            }
            None => {
                let join = || self.join(snapshot, kind, &snapshot.positions().collect::<Vec<_>>(), true);
                self.decisions.list(self.decisions.aggregate.of(kind), join)
            }
        }
    }

    /// What tells the caller's lists from others: of one connector, or of all. Worked out for those who are told of
    /// changes only, and once for all with the same grants.
    pub(crate) fn digests(&self, snapshot: &Snapshot, only: Option<usize>) -> Digests {
        let digest = |kind| Sha256::digest(self.list(snapshot, kind, only)).into();
        let all = || Box::new(PerKind::from_fn(digest));
        match only.map(|position| self.decisions.connectors.get(position)) {
            Some(None) => Digests::default(),
            Some(Some(view)) => view.digests.get_or_init(all).as_ref().clone(),
            None => self.decisions.digests.get_or_init(all).as_ref().clone(),
        }
    }

    /// What the caller should know before it starts, as a JSON string: of one connector, or of all that it sees.
    pub(crate) fn instructions(&self, snapshot: &Snapshot, only: Option<usize>) -> Arc<str> {
        let compose = || serde_json::Value::from(instructions::compose(snapshot, self, only)).to_string().into();
        let of_one = only.map(|position| self.decisions.connectors.get(position).map(|view| &view.instructions));
        match of_one {
            Some(None) => "\"\"".into(),
            Some(Some(cell)) => cell.get_or_init(compose).clone(),
            None => self.decisions.instructions.get_or_init(compose).clone(),
        }
    }

    fn join(&self, snapshot: &Snapshot, kind: Kind, positions: &[usize], exposed: bool) -> Bytes {
        let mut out: Vec<u8> = Vec::new();
        for position in positions {
            let Some(entry) = snapshot.at(*position).filter(|entry| entry.registered()) else { continue };
            if !self.concerns(*position, entry) {
                continue;
            }
            for (at, item) in entry.offers.of(kind).iter().enumerate() {
                if self.allowing(*position, entry, kind, at).is_some() {
                    if !out.is_empty() {
                        out.push(b',');
                    }
                    out.extend_from_slice(if exposed { &item.exposed_definition } else { &item.definition }.as_bytes());
                }
            }
        }
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_kept_only_while_there_is_room() {
        let kept = Arc::new(AtomicUsize::new(0));
        let decisions = Decisions::new(&[], None, &Arc::from([]), 0, &kept);
        let (small, large) = (OnceLock::new(), OnceLock::new());
        assert_eq!(decisions.list(&small, || Bytes::from_static(b"list")), "list");
        assert_eq!(decisions.list(&small, || unreachable!("it is kept")), "list");
        let joined = || Bytes::from(vec![b'x'; MAX_KEPT]);
        for _ in 0..2 {
            assert_eq!(decisions.list(&large, joined).len(), MAX_KEPT);
        }
        assert!(large.get().is_none());
        assert_eq!(kept.load(Ordering::Relaxed), 4);
    }
}
