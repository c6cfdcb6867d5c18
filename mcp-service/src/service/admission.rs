//! Whether a message may be acted on with what came beside the service token: headers and the tool's name come in, the
//! verified lease goes out, or a refusal.
//!
//! | service | `tools/call` needs |
//! |---|---|
//! | credentials of the platform | a lease for exactly this call |
//! | the same, of one tenant | nothing more; a lease that comes is verified and must be that tenant's |
//! | mounted credentials | nothing more |
//!
//! Lists, discovery and `initialize` need the service token alone.

use aperium_core::id::TenantId;
use aperium_platform::lease::{Claims, LEASE_HEADER, LeaseError};
use axum::http::HeaderMap;

use super::Service;

/// Names the tenant that a caller means.
const TENANT_HEADER: &str = "x-aperium-tenant";

/// A verified lease of one call.
pub(crate) struct Leased {
    /// What it says.
    pub(crate) claims: Claims,
    /// The lease itself, to be redeemed.
    pub(crate) text: String,
}

impl std::fmt::Debug for Leased {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leased").field("claims", &self.claims).finish_non_exhaustive()
    }
}

/// Why a message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// There is no lease where one is needed.
    #[error("the call carries no lease")]
    NoLease,
    /// More than one lease, or one that is no text.
    #[error("the call must carry one lease")]
    Ambiguous,
    /// The lease is not for this call.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The caller names a tenant that is not the one of the service or of the lease.
    #[error("this service does not serve the tenant that the call names")]
    Tenant,
}

impl Refused {
    /// `PascalCase` reason.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::NoLease => "LeaseMissing",
            Self::Ambiguous => "LeaseAmbiguous",
            Self::Lease(error) => error.reason(),
            Self::Tenant => "OtherTenant",
        }
    }
}

/// Judges one message. `tool` is the tool that it calls, if it calls one.
pub(crate) fn admit(service: &Service, headers: &HeaderMap, tool: Option<&str>) -> Result<Option<Leased>, Refused> {
    let named = one(headers, TENANT_HEADER).map_err(|Several| Refused::Tenant)?;
    if let (Some(own), Some(named)) = (&service.tenant, named)
        && own.as_str() != named
    {
        return Err(Refused::Tenant);
    }
    let (Some(tool), Some(_)) = (tool, &service.tenants) else { return Ok(None) };
    match leased(service, headers, tool) {
        Err(Refused::NoLease) if service.tenant.is_some() => Ok(None),
        Ok(leased) if is_for(&leased.claims.tenant, service.tenant.as_ref(), named) => Ok(Some(leased)),
        Ok(_) => Err(Refused::Tenant),
        Err(refused) => Err(refused),
    }
}

/// The lease that comes with a request, verified for this tool.
pub(super) fn leased(service: &Service, headers: &HeaderMap, tool: &str) -> Result<Leased, Refused> {
    let tenants = service.tenants.as_ref().ok_or(Refused::NoLease)?;
    let text = one(headers, LEASE_HEADER).map_err(|Several| Refused::Ambiguous)?.ok_or(Refused::NoLease)?;
    let claims = tenants.platform().leases.verify(text, tool)?;
    Ok(Leased { claims, text: text.to_owned() })
}

fn is_for(leased: &TenantId, own: Option<&TenantId>, named: Option<&str>) -> bool {
    own.is_none_or(|own| own == leased) && named.is_none_or(|named| named == leased.as_str())
}

/// There are two of a header that may come once, or it is no text.
struct Several;

fn one<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Several> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| Several),
        (Some(_), Some(_)) => Err(Several),
    }
}
