//! Signing in and out → what the audit log says of it. Of a name that nobody has nothing is kept: it may be a password.

use super::{note, on_current};
use aperium_core::caller::Caller;

/// Somebody signs in or out.
#[derive(Debug)]
pub(super) struct Sign {
    /// `sign-in` or `sign-out`.
    pub(super) what: &'static str,
    /// `local`, or `oidc:<name of the settings>`.
    pub(super) way: Box<str>,
    /// Whose name it is, proven or not.
    pub(super) who: Option<Caller>,
    /// Nobody was signed in or out.
    pub(super) failed: bool,
}

/// Somebody tries to sign in: this way, as this caller as far as that is known.
pub(crate) fn signs_in(way: &str, who: Option<Caller>) {
    let sign = Sign { what: "sign-in", way: way.into(), who, failed: false };
    note(|facts| facts.sign = Some(sign));
}

/// The caller of the request wants to sign out; this is how they came in.
pub(crate) fn signs_out(way: &str) {
    let sign = Sign { what: "sign-out", way: way.into(), who: None, failed: false };
    note(|facts| facts.sign = Some(sign));
}

/// It came to nothing.
pub(crate) fn not_signed(outcome: &'static str) {
    on_current(|trail| {
        trail.with(|facts| {
            if let Some(sign) = &mut facts.sign {
                sign.failed = true;
                facts.outcome = Some(outcome);
            }
        });
    });
}
