//! `requestState`: what a client of the stateless era carries for an upstream, or for this replica, between two rounds
//! of one request (specification 2026-07-28, "Multi Round-Trip Requests").
//!
//! It comes back from a client, so it is sealed: bound to the caller, the connector, what is asked for and with which
//! arguments, and good for ten minutes.

use crate::pipeline::action::Action;
use crate::raw::{RawObject, RawWriter, as_text};
use crate::session::token::{bound, now};
use crate::snapshot::Identity;
use aperium_platform::seal::{Purpose, SealError, Sealer};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

const PURPOSE: Purpose = Purpose::new("mcp request state");
/// How long a client may take for one round, in seconds.
pub(crate) const LIFE: u64 = 600;

/// What is carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Carried {
    /// The state of the upstream.
    Upstream(Box<str>),
    /// The call that this replica keeps open, by its id.
    Parked(Box<str>),
}

/// Seals and opens what is carried for one request.
#[derive(Debug, Clone)]
pub(crate) struct Carrier {
    sealer: Sealer,
    identity: Arc<Identity>,
    connector: Box<str>,
    action: Action,
    name: Box<str>,
    arguments: Option<Box<str>>,
}

impl Carrier {
    /// Of a request: who asks whom for what.
    pub(crate) fn new(
        sealer: &Sealer,
        identity: &Arc<Identity>,
        connector: &str,
        (action, name): (Action, &str),
        arguments: Option<&RawValue>,
    ) -> Self {
        Self {
            sealer: sealer.clone(),
            identity: Arc::clone(identity),
            connector: connector.into(),
            action,
            name: name.into(),
            arguments: arguments.map(|arguments| arguments.get().into()),
        }
    }

    /// A text that only the same request brings back.
    ///
    /// # Errors
    /// [`SealError`].
    pub(crate) fn seal(&self, carried: &Carried) -> Result<String, SealError> {
        let mut content = RawWriter::object(128);
        content.raw("expires", &(now() + LIFE).to_string());
        match carried {
            Carried::Upstream(state) => content.text("upstream", state),
            Carried::Parked(id) => content.text("parked", id),
        };
        self.sealer.seal_text(PURPOSE, &self.bound(), &content.finish())
    }

    /// What a client has brought back; `None` where it is no state of this request, or too old.
    pub(crate) fn open(&self, state: &RawValue) -> Option<Carried> {
        let plain = self.sealer.open_text(PURPOSE, &self.bound(), &as_text(state)?).ok()?;
        let content = RawObject::parse(std::str::from_utf8(&plain).ok()?).ok()?;
        let expires: u64 = content.get("expires")?.get().parse().ok()?;
        if expires <= now() {
            return None;
        }
        match (content.text("upstream"), content.text("parked")) {
            (Some(state), None) => Some(Carried::Upstream(state.into())),
            (None, Some(id)) => Some(Carried::Parked(id.into())),
            _ => None,
        }
    }

    fn bound(&self) -> Vec<u8> {
        let mut hash = Sha256::new();
        let caller = bound(&self.identity.caller);
        for part in [&caller, self.connector.as_bytes(), self.action.method().as_bytes(), self.name.as_bytes()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        digest(&mut hash, self.arguments.as_deref().unwrap_or("{}"));
        hash.finalize().to_vec()
    }
}

/// The digest of JSON, whatever the order of keys and the white space. How deep it nests was checked on the way in.
fn digest(hash: &mut Sha256, text: &str) {
    let text = text.trim();
    if let Ok(object) = RawObject::parse(text) {
        let mut fields: Vec<(&str, &RawValue)> = object.iter().collect();
        fields.sort_unstable_by_key(|(name, _)| *name);
        hash.update([b'{']);
        hash.update((fields.len() as u64).to_be_bytes());
        for (name, value) in fields {
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
            digest(hash, value.get());
        }
    } else if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) {
        hash.update([b'[']);
        hash.update((items.len() as u64).to_be_bytes());
        for item in items {
            digest(hash, item.get());
        }
    } else {
        let string = serde_json::from_str::<String>(text).ok();
        let (kind, value) = string.as_deref().map_or((b'v', text), |string| (b's', string));
        hash.update([kind]);
        hash.update((value.len() as u64).to_be_bytes());
        hash.update(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aperium_core::caller::{Caller, Principal};

    fn raw(text: &str) -> Box<RawValue> {
        serde_json::from_str(text).unwrap()
    }

    fn carrier(sealer: &Sealer, caller: &str, connector: &str, name: &str, arguments: &str) -> Carrier {
        let identity = Identity::new(Caller::new(Principal::Client(caller.into())));
        Carrier::new(sealer, &identity, connector, (Action::Call, name), Some(&raw(arguments)))
    }

    #[test]
    fn only_the_same_request_of_the_same_caller_brings_it_back() {
        let sealer = Sealer::ephemeral().unwrap();
        let arguments = r#"{"a":1,"b":["x",{"c":12345678901234567890123}]}"#;
        let carried = Carried::Upstream("state \" of the upstream".into());
        let sealed = carrier(&sealer, "alice", "odoo", "t", arguments).seal(&carried).unwrap();
        let open = |carrier: Carrier, text: &str| carrier.open(&raw(&format!("\"{text}\"")));
        let reordered = r#"{ "b" : ["\u0078",{"c":12345678901234567890123}], "a":1 }"#;
        for arguments in [arguments, reordered] {
            assert_eq!(open(carrier(&sealer, "alice", "odoo", "t", arguments), &sealed), Some(carried.clone()));
        }
        for other in [
            carrier(&sealer, "bob", "odoo", "t", arguments),
            carrier(&sealer, "alice", "slack", "t", arguments),
            carrier(&sealer, "alice", "odoo", "u", arguments),
            carrier(&sealer, "alice", "odoo", "t", &arguments.replace("890123", "890124")),
            carrier(&sealer, "alice", "odoo", "t", &arguments.replace(":1,", ":\"1\",")),
        ] {
            assert_eq!(open(other, &sealed), None);
        }
        assert_eq!(open(carrier(&sealer, "alice", "odoo", "t", arguments), &format!("{sealed}-TAMPERED")), None);
        assert_eq!(carrier(&sealer, "alice", "odoo", "t", arguments).open(&raw("1")), None);
    }
}
