//! A trial of credentials that an admin has not saved yet: a lease and the sealed values come in, pushed by the gateway;
//! what became of each step on the way to the upstream goes out. Nothing of it is kept, and readiness hears nothing.

use aperium_platform::lease::TRIAL;
use aperium_platform::trial::{Outcome, Step, Trial, Tried};
use axum::http::HeaderMap;

use super::probe;
use crate::connector::{ErrorCode, ToolError, Way};
use crate::service::Service;
use crate::service::admission::{self, Refused};

/// Tries the values that the lease is for.
///
/// # Errors
/// [`Refused`]: there is no lease for a trial of this service.
pub(crate) async fn pushed(service: &Service, headers: &HeaderMap, sealed: &str) -> Result<Trial, Refused> {
    let leased = admission::leased(service, headers, TRIAL)?;
    if service.tenant.as_ref().is_some_and(|own| *own != leased.claims.tenant) {
        return Err(Refused::Tenant);
    }
    let tools = service.binding().catalog.len();
    let (way, asked) = match service.trial(&leased, sealed).await {
        Ok(up) => (service.connector.way(&up), probe::ask(service, Ok(up)).await),
        // The values could not be had; nothing was asked.
        Err(error) => (Way::Encrypted, Err(error.at(Step::Fields))),
    };
    Ok(steps(asked.as_ref().err(), way, tools))
}

/// What each step says.
fn steps(error: Option<&ToolError>, way: Way, tools: usize) -> Trial {
    let failed = error.map(failed_step).or_else(|| (tools == 0).then_some(Step::Tools));
    let tried = |step: Step| {
        let (outcome, message) = match failed {
            Some(failed) if failed == step => {
                (Outcome::Failed, error.map_or("no tool is listed: all are hidden or switched off", |e| &e.message))
            }
            Some(failed) if failed < step => (Outcome::Skipped, "not reached"),
            _ => passed(step, way),
        };
        let message =
            if step == Step::Tools && outcome == Outcome::Ok { format!("{tools} tools") } else { message.into() };
        Tried { step, outcome, message }
    };
    Trial { steps: Step::ALL.into_iter().map(tried).collect() }
}

fn passed(step: Step, way: Way) -> (Outcome, &'static str) {
    match (step, way) {
        (Step::Dns | Step::Policy | Step::Tcp | Step::Tls, Way::Local) => (Outcome::Skipped, "nothing is dialled"),
        (Step::Tls, Way::Plain) => (Outcome::Skipped, "the connection is not encrypted"),
        (Step::Fields, _) => (Outcome::Ok, "the values can be read"),
        (Step::Dns, _) => (Outcome::Ok, "the host has an address"),
        (Step::Policy, _) => (Outcome::Ok, "the egress policy lets the service go there"),
        (Step::Tcp, _) => (Outcome::Ok, "the host answers"),
        (Step::Tls, _) => (Outcome::Ok, "the connection is encrypted as asked for"),
        (Step::Auth, _) => (Outcome::Ok, "the upstream accepts the credentials"),
        (Step::Tools, _) => (Outcome::Ok, ""),
    }
}

/// The step that an error is of. What has no step was said by the upstream, or is about the values themselves.
fn failed_step(error: &ToolError) -> Step {
    let of_values =
        error.code == ErrorCode::InvalidArgument && error.upstream_status.is_none() && error.upstream_code.is_none();
    error.failed_at.unwrap_or(if of_values { Step::Fields } else { Step::Auth })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(error: Option<&ToolError>, way: Way, tools: usize) -> String {
        let letter = |outcome| match outcome {
            Outcome::Ok => 'o',
            Outcome::Failed => 'F',
            Outcome::Skipped => '-',
        };
        steps(error, way, tools).steps.iter().map(|tried| letter(tried.outcome)).collect()
    }

    #[test]
    fn every_step_before_the_failed_one_has_passed_and_none_behind_it_was_reached() {
        let unavailable = || ToolError::unavailable("away");
        for (error, way, said) in [
            (None, Way::Encrypted, "ooooooo"),
            (None, Way::Plain, "oooo-oo"),
            (None, Way::Local, "o----oo"),
            (Some(ToolError::invalid("the port is no port number")), Way::Encrypted, "F------"),
            (Some(ToolError::invalid("no API").with_status(404)), Way::Encrypted, "oooooF-"),
            (Some(unavailable().at(Step::Dns)), Way::Encrypted, "oF-----"),
            (Some(ToolError::forbidden("closed").at(Step::Policy)), Way::Encrypted, "ooF----"),
            (Some(unavailable().at(Step::Tcp)), Way::Plain, "oooF---"),
            (Some(unavailable().at(Step::Tls)), Way::Encrypted, "ooooF--"),
            (Some(ToolError::auth_failed("no")), Way::Plain, "oooo-F-"),
            (Some(unavailable()), Way::Encrypted, "oooooF-"),
        ] {
            assert_eq!(outcomes(error.as_ref(), way, 3), said, "{error:?}");
            assert_eq!(steps(error.as_ref(), way, 3).works(), error.is_none());
        }
        assert_eq!(outcomes(None, Way::Encrypted, 0), "ooooooF");
        assert_eq!(steps(None, Way::Plain, 15).steps[6].message, "15 tools");
    }
}
