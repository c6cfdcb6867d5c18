//! Between the two eras: what a caller sent → what this upstream understands, and back. Pure.

use crate::era::{Era, META_CAPABILITIES, META_CLIENT, META_VERSION, STATELESS};
use crate::pipeline::action::Action;
use crate::raw::{Edits, RawObject, RawWriter};
use serde_json::value::RawValue;

/// Who we are, for upstreams and clients.
pub(crate) fn identity() -> String {
    format!("{{\"name\":\"aperium-gateway\",\"version\":\"{}\"}}", env!("CARGO_PKG_VERSION"))
}

/// The `_meta` of requests that the gateway makes on its own under the stateless protocol.
pub(crate) fn own_meta() -> String {
    format!("{{\"{META_VERSION}\":\"{STATELESS}\",\"{META_CAPABILITIES}\":{{}},\"{META_CLIENT}\":{}}}", identity())
}

/// The prefix of `_meta` keys that only the stateless protocol knows.
const STATELESS_PREFIX: &str = "io.modelcontextprotocol/";

/// A request as it goes upstream: what the caller's parameters say, about what the upstream calls by its own name.
pub(crate) struct Outgoing<'a> {
    /// Our JSON-RPC id.
    pub(crate) id: u64,
    /// What is to be done.
    pub(crate) action: Action,
    /// The upstream's own name, URI or template of what it is to be done with.
    pub(crate) name: &'a str,
    /// The caller's parameters.
    pub(crate) params: &'a RawObject<'a>,
    /// The caller's era.
    pub(crate) from: Era,
    /// The upstream's era.
    pub(crate) to: Era,
}

/// A call written down, and the progress token that it replaced.
pub(crate) struct Written {
    /// The body.
    pub(crate) body: Vec<u8>,
    /// The caller's own progress token.
    pub(crate) token: Option<Box<RawValue>>,
}

impl Outgoing<'_> {
    /// Writes the request. Everything but the name, `_meta` where the eras differ, and the progress token stays as it was.
    pub(crate) fn write(&self) -> Written {
        let mut token = None;
        let mut params = RawWriter::object(512);
        let mut meta_seen = false;
        for (name, value) in self.params.iter() {
            match name {
                field if field == self.action.field() => {
                    self.subject(&mut params, value);
                }
                "_meta" => {
                    meta_seen = true;
                    if let Some(meta) = self.meta(value, &mut token) {
                        params.bytes("_meta", &meta);
                    }
                }
                _ => {
                    params.raw(name, value.get());
                }
            }
        }
        if !meta_seen && self.from == Era::Legacy && self.to == Era::Stateless {
            params.raw("_meta", &own_meta());
        }
        let params = params.finish();
        let mut message = RawWriter::object(params.len() + 80);
        message.raw("jsonrpc", "\"2.0\"").raw("id", &self.id.to_string());
        message.text("method", self.action.method()).bytes("params", &params);
        Written { body: message.finish(), token }
    }

    /// What the request is about: a name or a URI, or the reference of a completion, which holds one of them.
    fn subject(&self, params: &mut RawWriter, value: &RawValue) {
        let field = self.action.field();
        let Some(reference) = RawObject::parse(value.get()).ok().filter(|_| self.action == Action::Complete) else {
            params.text(field, self.name);
            return;
        };
        let mut edits = Edits::of(value.get());
        let key = if reference.text("type").as_deref() == Some("ref/prompt") { "name" } else { "uri" };
        if let Some(name) = reference.get(key) {
            edits.text(name, self.name);
        }
        params.raw(field, edits.finish().as_deref().unwrap_or(value.get()));
    }

    /// `None`: nothing is left of it.
    fn meta(&self, value: &RawValue, token: &mut Option<Box<RawValue>>) -> Option<Vec<u8>> {
        let Ok(fields) = RawObject::parse(value.get()) else { return Some(value.get().into()) };
        let mut meta = RawWriter::object(value.get().len() + 160);
        let mut empty = true;
        if self.from == Era::Legacy && self.to == Era::Stateless {
            meta.text(META_VERSION, STATELESS).raw(META_CAPABILITIES, "{}").raw(META_CLIENT, &identity());
            empty = false;
        }
        for (name, value) in fields.iter() {
            if name.starts_with(STATELESS_PREFIX) && (self.to == Era::Legacy || self.from == Era::Legacy) {
                continue;
            }
            if name == "progressToken" {
                *token = Some(value.to_owned());
                meta.raw(name, &self.id.to_string());
            } else {
                meta.raw(name, value.get());
            }
            empty = false;
        }
        (!empty).then(|| meta.finish())
    }
}

/// A result as the caller's era wants it: the stateless protocol names the kind of every result.
pub(crate) fn result(raw: &str, from_upstream: Era, to_caller: Era) -> std::borrow::Cow<'_, [u8]> {
    if to_caller == Era::Legacy || from_upstream == Era::Stateless {
        return raw.as_bytes().into();
    }
    match RawObject::parse(raw) {
        Ok(object) if object.get("resultType").is_none() => {
            let mut edits = Edits::of(raw);
            edits.prepend(raw, "\"resultType\":\"complete\"");
            edits.finish().map_or(raw.as_bytes().into(), |edited| edited.into_bytes().into())
        }
        _ => raw.as_bytes().into(),
    }
}

/// A notification of an upstream as the caller sees it; `None` where it is not the caller's.
///
/// Progress and log messages belong to the request whose stream they arrive on. Anything else on that stream concerns
/// the gateway, not one caller.
pub(crate) fn notification(
    message: &RawObject<'_>,
    our_id: u64,
    token: Option<&RawValue>,
    wants_logs: bool,
) -> Option<Vec<u8>> {
    match message.text("method")?.as_ref() {
        "notifications/message" if wants_logs => {
            let mut out = RawWriter::object(256);
            for (name, value) in message.iter() {
                out.raw(name, value.get());
            }
            Some(out.finish())
        }
        "notifications/progress" => {
            let token = token?;
            let params = RawObject::parse(message.get("params")?.get()).ok()?;
            if params.get("progressToken")?.get() != our_id.to_string() {
                return None;
            }
            let mut own = RawWriter::object(128);
            for (name, value) in params.iter() {
                own.raw(name, if name == "progressToken" { token.get() } else { value.get() });
            }
            let mut out = RawWriter::object(192);
            out.raw("jsonrpc", "\"2.0\"").raw("method", "\"notifications/progress\"").bytes("params", &own.finish());
            Some(out.finish())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
