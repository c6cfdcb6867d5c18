//! `Mcp-Session-Id`: a sealed text that any replica with the same keys can read, for the caller who got it alone.

use super::capabilities::Capabilities;
use crate::raw::{RawObject, RawWriter};
use aperium_core::caller::Caller;
use aperium_platform::seal::{Purpose, SealError, Sealer};
use std::time::{Duration, SystemTime};

/// The header.
pub(crate) const HEADER: &str = "mcp-session-id";
/// How long a session may be continued. The caller itself is checked with every request, so this bounds only how long
/// keys have to be kept.
const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// A longer header is no token of ours.
const MAX_TOKEN: usize = 1024;
const PURPOSE: Purpose = Purpose::new("mcp session");

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    /// A random id, for logs.
    pub(crate) id: Box<str>,
    /// The version that was agreed on.
    pub(crate) version: Box<str>,
    /// What the client can be asked.
    pub(crate) capabilities: Capabilities,
    /// When it ends, in seconds since 1970.
    pub(crate) expires: u64,
}

/// Why a token is none. The caller reads the same in all cases: there is no such session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    /// Too long for one of ours, or no text.
    #[error("not a session id of this gateway")]
    Form,
    /// It does not open: made up, changed, of another caller, or sealed with a key that is gone.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// It has ended.
    #[error("the session has expired")]
    Expired,
}

/// The caller, as tokens are bound to it: the same person or program in the same tenant. Groups may change meanwhile.
pub(crate) fn bound(caller: &Caller) -> Vec<u8> {
    let mut bound = format!("{}\u{0}{}", caller.principal, caller.tenant.as_ref().map_or("", |tenant| tenant.as_str()));
    if let Some(delegate) = &caller.delegate {
        bound.push('\u{0}');
        bound.push_str(&delegate.principal.to_string());
    }
    bound.into_bytes()
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A token for a new session.
///
/// # Errors
/// [`SealError`].
pub(crate) fn issue(
    sealer: &Sealer,
    caller: &Caller,
    version: &str,
    capabilities: &Capabilities,
) -> Result<String, SealError> {
    let mut content = RawWriter::object(128);
    content
        .text("id", &uuid::Uuid::new_v4().simple().to_string())
        .text("version", version)
        .raw("expires", &(now() + LIFE.as_secs()).to_string())
        .raw("capabilities", capabilities.json());
    sealer.seal_text(PURPOSE, &bound(caller), &content.finish())
}

/// Reads a token that this caller presents.
///
/// # Errors
/// [`TokenError`].
pub(crate) fn open(sealer: &Sealer, bound: &[u8], token: &str) -> Result<Content, TokenError> {
    if token.len() > MAX_TOKEN {
        return Err(TokenError::Form);
    }
    let plain = sealer.open_text(PURPOSE, bound, token)?;
    let content = read(&plain).ok_or(TokenError::Form)?;
    if content.expires <= now() { Err(TokenError::Expired) } else { Ok(content) }
}

fn read(plain: &[u8]) -> Option<Content> {
    let fields = RawObject::parse(std::str::from_utf8(plain).ok()?).ok()?;
    Some(Content {
        id: fields.text("id")?.into(),
        version: fields.text("version")?.into(),
        capabilities: Capabilities::read(fields.get("capabilities")),
        expires: fields.get("expires")?.get().parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aperium_core::caller::Principal;

    fn alice() -> Caller {
        Caller::new(Principal::Client("alice".into()))
    }

    fn capabilities(text: &str) -> Capabilities {
        let raw: Box<serde_json::value::RawValue> = serde_json::from_str(text).unwrap();
        Capabilities::read(Some(&raw))
    }

    #[test]
    fn a_session_is_continued_by_its_caller_alone() {
        let sealer = Sealer::ephemeral().unwrap();
        let declared = capabilities(r#"{"sampling":{},"elicitation":{"form":{},"url":{}}}"#);
        let token = issue(&sealer, &alice(), "2025-11-25", &declared).unwrap();
        let content = open(&sealer, &bound(&alice()), &token).unwrap();
        assert_eq!((&*content.version, &content.capabilities), ("2025-11-25", &declared));
        let mut other = Caller::new(Principal::Client("bob".into()));
        assert!(matches!(open(&sealer, &bound(&other), &token), Err(TokenError::Seal(SealError::Invalid))));
        other = alice();
        other.groups.push("new".into());
        assert!(open(&sealer, &bound(&other), &token).is_ok(), "groups may change meanwhile");
        assert!(open(&sealer, &bound(&alice()), &format!("{token}A")).is_err());
        assert_eq!(open(&sealer, &bound(&alice()), &"A".repeat(2000)), Err(TokenError::Form));
    }

    #[test]
    fn an_expired_token_is_none() {
        let sealer = Sealer::ephemeral().unwrap();
        let plain = br#"{"id":"x","version":"2025-11-25","expires":1000,"capabilities":{}}"#;
        let token = sealer.seal_text(PURPOSE, &bound(&alice()), plain).unwrap();
        assert_eq!(open(&sealer, &bound(&alice()), &token), Err(TokenError::Expired));
    }

    #[test]
    fn a_token_of_the_most_capable_client_fits_a_header() {
        let sealer = Sealer::ephemeral().unwrap();
        let long = format!(r#"{{"sampling":{{"x":"{}"}},"elicitation":{{}},"roots":{{}}}}"#, "y".repeat(330));
        let token = issue(&sealer, &alice(), "2025-11-25", &capabilities(&long)).unwrap();
        assert!(token.len() <= MAX_TOKEN, "{}", token.len());
        assert!(open(&sealer, &bound(&alice()), &token).is_ok());
    }
}
