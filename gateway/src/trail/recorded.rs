//! A request → its record in the audit log.

use super::{Facts, Trail};
use crate::audit::{Arguments, Draft};
use crate::snapshot::name_of;
use aperium_core::caller::Caller;
use aperium_core::id::TenantId;
use aperium_core::name::id_of_exposed;
use aperium_store::audit::{Access, Decision, Phase, Record, bounded};
use aperium_store::now_ms;
use std::borrow::Cow;

impl Trail {
    /// Whether it is put on record: calls, changes, what was denied to somebody who is known, and who signs in or out or
    /// fails to. Lists and what nobody is known to have sent are not: anyone could fill the log with them.
    pub(super) fn is_recorded(&self, facts: &Facts) -> bool {
        if facts.sign.is_some() {
            return true;
        }
        if facts.caller.is_none() {
            return false;
        }
        let refused = facts.decision == Some("denied") || facts.outcome == Some("unauthenticated");
        refused
            || match self.endpoint {
                "mcp" | "proxy" | "broker" => facts.decision.is_some(),
                "register" | "oauth" => true,
                "api" => !self.http_method.is_safe() || self.path.as_deref() == Some("/api/audit"),
                _ => false,
            }
    }

    /// The record, as far as things are known. The arguments go with the first one.
    pub(crate) fn recorded<T>(&self, phase: Phase, read: impl FnOnce(Draft<'_>) -> T) -> T {
        self.with(|facts| {
            let arguments = facts.arguments.take();
            read(self.drafted(phase, facts, arguments))
        })
    }

    fn drafted<'d>(&'d self, phase: Phase, facts: &'d Facts, arguments: Option<Arguments>) -> Draft<'d> {
        let sign = facts.sign.as_ref();
        let known = facts.caller.as_deref();
        let named = sign.and_then(|sign| sign.who.as_ref());
        let caller = known.map(|identity| &identity.caller).or(named);
        let denied = facts.decision == Some("denied");
        let path = self.path.as_deref();
        let text = |text: &'d Option<Box<str>>| text.as_deref().map(bounded);
        // What is denied says in its own name which connector it would have been.
        let asked = || facts.asked.as_deref().filter(|_| self.endpoint == "mcp").and_then(id_of_exposed);
        let placed = || path.and_then(|path| after(path, "connectors").or_else(|| after(path, "auth")));
        let connector = text(&facts.connector).or_else(|| asked().or_else(placed).map(bounded));
        // An admin's change belongs to the tenant that it is about.
        let changed = path.filter(|_| !denied).and_then(|path| TenantId::parse(after(path, "tenants")?).ok());
        let tenant = changed.or_else(|| caller?.tenant.clone());
        // Nobody knows what a tool would have done that is not there, or not for the caller.
        let unknown = denied && facts.rpc_method.is_none_or(|method| method == "tools/call");
        let writes = facts.writes || ((path.is_some() || unknown) && !self.http_method.is_safe());
        let done = phase == Phase::Done;
        let record = Record {
            time_ms: now_ms(),
            phase,
            request_id: bounded(&*self.request_id),
            principal: known.map(|identity| bounded(identity.name())).or_else(|| named.map(principal)),
            delegate: caller.and_then(|caller| caller.delegate.as_deref()).map(principal),
            agent: self.agent.as_ref().map(|agent| bounded(String::from_utf8_lossy(agent.as_bytes()))),
            endpoint: self.endpoint.into(),
            method: sign.map_or(facts.rpc_method.unwrap_or(self.http_method.as_str()), |sign| sign.what).into(),
            connector,
            tool: sign
                .map(|sign| bounded(&*sign.way))
                .or_else(|| text(&facts.name))
                .or_else(|| text(&facts.asked))
                .or_else(|| path.map(bounded)),
            access: if writes { Access::Write } else { Access::Read },
            decision: match facts.outcome {
                _ if denied => Decision::Denied,
                Some("unauthenticated") => Decision::Unauthenticated,
                _ if sign.is_some_and(|sign| sign.failed) => Decision::Unauthenticated,
                _ => Decision::Allowed,
            },
            grant: text(&facts.grant),
            outcome: facts.outcome.filter(|_| done).unwrap_or("pending").into(),
            status: facts.status.filter(|_| done).map(|status| status.as_u16()),
            took_ms: facts.took.filter(|_| done).map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            lost: None,
            arguments: None,
        };
        Draft { tenant, record, arguments }
    }
}

/// Whoever it is.
fn principal(caller: &Caller) -> Cow<'static, str> {
    bounded(name_of(caller))
}

/// The segment after this one.
fn after<'p>(path: &'p str, word: &str) -> Option<&'p str> {
    let mut segments = path.split('/').skip_while(|segment| *segment != word);
    segments.nth(1).filter(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_api_say_what_they_are_about() {
        let path = "/api/tenants/acme/connectors/odoo/credentials";
        assert_eq!((after(path, "tenants"), after(path, "connectors")), (Some("acme"), Some("odoo")));
        assert_eq!(after("/aperture/auth/mail/callback", "auth"), Some("mail"));
        assert_eq!((after("/api/connectors", "connectors"), after("/api/grants/all", "tenants")), (None, None));
    }
}
