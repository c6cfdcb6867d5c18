//! Delegates: a program that is listed in the settings names the tenant, person and groups that it acts for.

use crate::error::Failure;
use crate::snapshot::Identity;
use aperium_core::caller::{Caller, Principal};
use aperium_core::grant::Subject;
use aperium_core::id::TenantId;
use aperium_crds::settings::Delegate;
use http::HeaderMap;
use std::sync::Arc;

/// The headers that a delegate may send, each once.
pub(crate) const TENANT: &str = "x-aperium-tenant";
/// The person's e-mail, as Grants name it with `user:`.
pub(crate) const USER: &str = "x-aperium-user";
/// The person's groups, separated by commas.
pub(crate) const GROUPS: &str = "x-aperium-groups";

/// The longest name of a person or group.
const MAX_NAME: usize = 255;
/// The most groups.
const MAX_GROUPS: usize = 256;

/// What the settings say of delegates.
#[derive(Debug, Default)]
pub(crate) struct Delegates(Vec<(Subject, Delegate)>);

impl Delegates {
    /// Compiles them; the settings were checked when they were read.
    pub(crate) fn new(delegates: &[Delegate]) -> Self {
        Self(delegates.iter().filter_map(|delegate| Some((delegate.parsed()?, delegate.clone()))).collect())
    }

    /// Who calls: whoever was authenticated, or the person that it acts for.
    ///
    /// # Errors
    /// [`Failure::InternalHeader`] where it is no delegate or says nothing that can be understood,
    /// [`Failure::Forbidden`] for a tenant or group that is not the delegate's.
    pub(crate) fn acting(&self, identity: Arc<Identity>, headers: &HeaderMap) -> Result<Arc<Identity>, Failure> {
        let Some(first) = headers.keys().find(|name| name.as_str().starts_with("x-aperium-")) else {
            return Ok(identity);
        };
        let found = self.0.iter().find(|(subject, _)| subject.is(&identity.caller));
        let Some((_, settings)) = found else { return Err(Failure::InternalHeader(first.to_string())) };
        let (tenant, user, groups) = (one(headers, TENANT)?, one(headers, USER)?, one(headers, GROUPS)?);
        let mut delegate = identity.caller.clone();
        if let Some(tenant) = tenant {
            let tenant = TenantId::parse(tenant).map_err(|_| Failure::InternalHeader(TENANT.to_owned()))?;
            if !settings.tenants.contains(&tenant) {
                return Err(Failure::Forbidden("access denied: the delegate may not act in this tenant".to_owned()));
            }
            delegate.tenant = Some(tenant);
        }
        let mut person = match user {
            Some(name) => Caller::new(Principal::Named(name.to_owned())),
            None if groups.is_some() => return Err(Failure::InternalHeader(GROUPS.to_owned())),
            // In the tenant's name, but for nobody in it.
            None => delegate.clone(),
        };
        person.tenant.clone_from(&delegate.tenant);
        for group in groups.into_iter().flat_map(|groups| groups.split(',')).map(str::trim) {
            if person.groups.len() >= MAX_GROUPS || group.is_empty() || group.len() > MAX_NAME {
                return Err(Failure::InternalHeader(GROUPS.to_owned()));
            }
            if !settings.groups.iter().any(|own| own == group) {
                return Err(Failure::Forbidden("access denied: the delegate may not name this group".to_owned()));
            }
            person.groups.push(group.to_owned());
        }
        person.delegate = Some(Box::new(delegate));
        Ok(Identity::new(person))
    }
}

/// The only value of a header: visible ASCII and inner spaces, as long as a name may be.
fn one<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, Failure> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|text| !text.is_empty() && !text.contains('\t'));
    let longest = if name == GROUPS { MAX_NAME * MAX_GROUPS } else { MAX_NAME };
    match text.filter(|text| text.len() <= longest && values.next().is_none()) {
        Some(text) => Ok(Some(text)),
        None => Err(Failure::InternalHeader(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn delegates() -> Delegates {
        let tenants = ["acme", "beta"].map(|tenant| TenantId::parse(tenant).unwrap()).to_vec();
        Delegates::new(&[Delegate { subject: "client:backend".into(), tenants, groups: vec!["ops".into()] }])
    }

    fn act(client: &str, pairs: &[(&'static str, &str)]) -> Result<Caller, Failure> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let identity = Identity::new(Caller::new(Principal::Client(client.into())));
        delegates().acting(identity, &headers).map(|identity| identity.caller.clone())
    }

    #[test]
    fn a_delegate_acts_for_a_person_in_one_of_its_tenants() {
        let caller = act("backend", &[(TENANT, "acme"), (USER, "alice@example.com"), (GROUPS, "ops")]).unwrap();
        assert_eq!(caller.principal, Principal::Named("alice@example.com".into()));
        assert_eq!((caller.groups.as_slice(), caller.tenant.as_ref().unwrap().as_str()), (&["ops".into()][..], "acme"));
        let delegate = caller.delegate.unwrap();
        assert_eq!((delegate.principal.to_string().as_str(), delegate.tenant), ("client:backend", caller.tenant));
        assert!(act("backend", &[]).unwrap().delegate.is_none());
        let in_tenant = act("backend", &[(TENANT, "beta")]).unwrap();
        assert_eq!(in_tenant.principal, in_tenant.delegate.unwrap().principal);
    }

    #[test]
    fn nobody_else_and_nothing_else_is_accepted() {
        let refused = |client, pairs: &[(&'static str, &str)]| act(client, pairs).unwrap_err();
        assert_eq!(refused("other", &[(TENANT, "acme")]), Failure::InternalHeader(TENANT.into()));
        for bad in [
            [(TENANT, "acme"), (TENANT, "beta")],
            [(TENANT, ""), (USER, "a")],
            [(TENANT, "a b"), (USER, "a")],
            [(TENANT, "acme"), (GROUPS, "ops")],
            [(USER, "a"), (GROUPS, "ops,,ops")],
        ] {
            assert!(matches!(refused("backend", &bad), Failure::InternalHeader(_)), "{bad:?}");
        }
        assert!(matches!(refused("backend", &[(TENANT, "gamma")]), Failure::Forbidden(_)));
        assert!(matches!(refused("backend", &[(USER, "a"), (GROUPS, "ops,root")]), Failure::Forbidden(_)));
    }
}
