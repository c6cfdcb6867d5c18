//! People with a browser: how they sign in, and what their later requests show.
//!
//! ```text
//! /login ──password──────────────────────────────► caller ──session──► cookie
//!    └────flow──► issuer ──► /login/<name>/callback ──┘
//! request with the cookie ──session──► identity and Visit ──csrf──► counts, or 403
//! ```
//! The cookie holds 256 random bits. The database knows a hash of them; a page that changes something must also bring a
//! token that follows from them.

use aperium_platform::oauth::Denied;
use aperium_store::StoreError;
use std::path::{Path, PathBuf};

pub(crate) mod cookie;
pub(crate) mod csrf;
pub(crate) mod flow;
pub mod password;
mod return_to;
pub(crate) mod session;

pub(crate) use return_to::ReturnTo;
pub(crate) use session::Visit;

use crate::pipeline::authn::oidc::NoSignIn;

/// The longest file with a secret or a hash.
const MAX_FILE: u64 = 4096;

/// What all sign-ins of this replica share.
#[derive(Debug)]
pub(crate) struct Login {
    folder: Option<PathBuf>,
    attempts: password::Attempts,
}

impl Login {
    /// Secrets of clients and hashes of passwords are files of this folder; they are read whenever they are needed.
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, attempts: password::Attempts::default() }
    }

    /// What a file of the folder holds, without the end of its line.
    fn file(&self, name: &str) -> Option<String> {
        read(&self.folder.as_deref()?.join(name))
    }
}

fn read(path: &Path) -> Option<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path).ok()?.take(MAX_FILE).read_to_string(&mut text).ok()?;
    let text = text.trim_end_matches(['\r', '\n']);
    (!text.is_empty()).then(|| text.to_owned())
}

/// Why somebody is not signed in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignInError {
    /// There is no such way.
    #[error("there is no such way to sign in")]
    Unknown,
    /// There is no database for sessions.
    #[error("there is no platform database")]
    NoStore,
    /// The database.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// Not this name with this password.
    #[error("name or password is wrong")]
    Wrong,
    /// Too often of late.
    #[error("too many attempts")]
    TooMany,
    /// The form is none of a page that this browser was given.
    #[error("the form is not one that this browser was given")]
    Form,
    /// The issuer does not do its part.
    #[error("{0}")]
    Issuer(#[from] NoSignIn),
    /// What came back does not count.
    #[error("{0}")]
    Denied(#[from] Denied),
    /// Nothing could be sealed, or nothing random could be had.
    #[error("the key ring is not available")]
    Sealed,
}

impl SignInError {
    /// For logs and metrics.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Unknown => "UnknownLogin",
            Self::NoStore => "DatabaseMissing",
            Self::Store(error) => error.reason(),
            Self::Wrong => "WrongPassword",
            Self::TooMany => "TooManyAttempts",
            Self::Form => "ForeignForm",
            Self::Issuer(_) => "IssuerFailed",
            Self::Denied(_) => "SignInDenied",
            Self::Sealed => "KeyRingMissing",
        }
    }

    /// For the audit log.
    pub(crate) const fn outcome(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown_login",
            Self::NoStore | Self::Store(_) | Self::Sealed => "no_sessions",
            Self::Wrong => "wrong_password",
            Self::TooMany => "too_many_attempts",
            Self::Form => "foreign_form",
            Self::Issuer(_) => "issuer_failed",
            Self::Denied(_) => "denied",
        }
    }

    /// What the page says.
    pub(crate) fn outside(&self) -> String {
        match self {
            Self::Unknown => "There is no such way to sign in.".to_owned(),
            Self::NoStore | Self::Store(_) | Self::Sealed => {
                "Sessions cannot be kept at the moment: try again later, or ask an admin.".to_owned()
            }
            Self::Wrong => "Name or password is wrong.".to_owned(),
            Self::TooMany => "Too many attempts: try again in a minute.".to_owned(),
            Self::Form => "This page is too old, or another page sent the form: try again.".to_owned(),
            Self::Issuer(_) => "The issuer did not sign you in: try again later, or ask an admin.".to_owned(),
            Self::Denied(denied) => format!("You are not signed in: {denied}."),
        }
    }
}
