//! The loop behind readiness: credentials come in and are bound, the upstream is probed, the outcome is recorded.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use aperium_platform::probes::Check;

use super::{from_probe, probe};
use crate::connector::Fields;
use crate::credentials::CredentialsSource;
use crate::service::{Service, needs_credentials};

const PROBE_WHILE_FAILING: Duration = Duration::from_secs(10);
const PROBE_WHILE_GOOD: Duration = Duration::from_secs(30);
/// How often the state is looked at where probes are pushed: their outcomes age.
const LOOK_AT_OUTCOMES: Duration = Duration::from_secs(5);

/// Runs until `stop`: nothing that goes wrong in here ends it.
pub(crate) async fn watch(service: Arc<Service>, mut source: CredentialsSource, stop: CancellationToken) {
    if let Some(tenants) = &service.tenants {
        tokio::select! {
            () = stop.cancelled() => {}
            () = tenants.keep_clean() => {}
            () = of_platform(&service) => {}
        }
        return;
    }
    let mut current: Option<Fields> = None;
    loop {
        let check = look(&service, &source, &mut current).await;
        let pause = if check.ok { PROBE_WHILE_GOOD } else { PROBE_WHILE_FAILING };
        service.readiness.record(check);
        service.refresh_state();
        let next = tokio::time::Instant::now() + pause;
        tokio::select! {
            () = stop.cancelled() => return,
            () = until_changed(&service, &mut source, current.as_ref(), next) => {}
        }
    }
}

/// A service of one tenant probes by itself; one of many waits for the probes of the gateway.
async fn of_platform(service: &Service) {
    loop {
        let pause = if service.tenant.is_some() || !needs_credentials(&*service.connector) {
            let check = probe::own(service).await;
            let pause = if check.ok { PROBE_WHILE_GOOD } else { PROBE_WHILE_FAILING };
            service.readiness.record(check);
            pause
        } else {
            LOOK_AT_OUTCOMES
        };
        service.refresh_state();
        tokio::time::sleep(pause).await;
    }
}

/// Waits for changed credentials, at most until the next probe is due.
async fn until_changed(
    service: &Service,
    source: &mut CredentialsSource,
    current: Option<&Fields>,
    next: tokio::time::Instant,
) {
    let wanted = service.connector.info().credentials;
    loop {
        if tokio::time::timeout_at(next, source.maybe_changed()).await.is_err() {
            return;
        }
        let unchanged = source.load(wanted).is_ok_and(|now| current.is_some_and(|before| before.same_as(&now)));
        if !unchanged && current.is_some() {
            return;
        }
        service.refresh_state();
    }
}

/// Loads, binds when there is something new, and probes.
async fn look(service: &Service, source: &CredentialsSource, current: &mut Option<Fields>) -> Check {
    let info = service.connector.info();
    let fields = match source.load(info.credentials) {
        Ok(fields) => fields,
        Err(error) => {
            // What cannot be read must not go on being used.
            *current = Some(Fields::default());
            service.rebind(Fields::default());
            return Check::failed("CredentialsMissing", error.to_string());
        }
    };
    if !current.as_ref().is_some_and(|before| before.same_as(&fields)) {
        service.rebind(fields.clone());
        *current = Some(fields.clone());
    }
    let missing: Vec<_> =
        info.credentials.iter().filter(|f| f.required && fields.get(f.name).is_none()).map(|f| f.name).collect();
    if !missing.is_empty() {
        return Check::failed("CredentialsMissing", format!("missing: {}", missing.join(", ")));
    }
    match probe::ask(service, Ok(service.binding().upstream.clone())).await {
        Ok(()) => Check::ok("the upstream accepts the credentials"),
        Err(error) => from_probe(&error),
    }
}
