//! Which of the two eras a request belongs to, and whether its headers say what its body says.
//!
//! 2026-07-28 and later are stateless: `_meta` carries the version and the client's capabilities, and headers repeat
//! what a proxy needs, so they must equal the body (specification 2026-07-28, "Transports", "Streamable HTTP").
//! Earlier versions are negotiated by `initialize`; a request without either is taken as one of those.

use crate::error::{Failure, SUPPORTED_VERSIONS};
use crate::raw::RawObject;
use base64::Engine as _;
use http::HeaderMap;
use std::borrow::Cow;

pub(crate) mod mirrored;

/// The version of the stateless protocol.
pub(crate) const STATELESS: &str = "2026-07-28";
/// The newest version with `initialize`.
pub(crate) const NEWEST_LEGACY: &str = "2025-11-25";

pub(crate) const VERSION_HEADER: &str = "mcp-protocol-version";
pub(crate) const METHOD_HEADER: &str = "mcp-method";
pub(crate) const NAME_HEADER: &str = "mcp-name";

pub(crate) const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub(crate) const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
pub(crate) const META_LEVEL: &str = "io.modelcontextprotocol/logLevel";
pub(crate) const META_CLIENT: &str = "io.modelcontextprotocol/clientInfo";
pub(crate) const META_SERVER: &str = "io.modelcontextprotocol/serverInfo";

/// The era of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// 2026-07-28.
    Stateless,
    /// 2024-11-05 to 2025-11-25.
    Legacy,
}

/// Decides the era of a request and holds its headers against its body.
///
/// # Errors
/// [`Failure::MissingMeta`], [`Failure::HeaderMismatch`], [`Failure::UnsupportedVersion`].
pub(crate) fn decide(headers: &HeaderMap, method: &str, params: Option<&RawObject<'_>>) -> Result<Era, Failure> {
    let header = single(headers, VERSION_HEADER)?;
    let meta = params.and_then(|params| params.get("_meta")).and_then(|meta| RawObject::parse(meta.get()).ok());
    let version = meta.as_ref().and_then(|meta| meta.text(META_VERSION));
    let capabilities = meta.as_ref().and_then(|meta| meta.get(META_CAPABILITIES));
    let stateless_header = header == Some(STATELESS);
    // server/discover exists only there, so a request for it is one, whatever else it lacks.
    if version.is_none() && !stateless_header && method != "server/discover" {
        return legacy(header);
    }
    let Some(version) = version else {
        return Err(Failure::MissingMeta(META_VERSION));
    };
    match header {
        None => return Err(mismatch(format_args!("MCP-Protocol-Version is missing"))),
        Some(header) if header != version => {
            return Err(mismatch(format_args!("MCP-Protocol-Version does not match _meta")));
        }
        Some(_) => {}
    }
    if version != STATELESS {
        return if is_legacy(&version) { Ok(Era::Legacy) } else { Err(Failure::UnsupportedVersion(cut(&version))) };
    }
    if !capabilities.is_some_and(|capabilities| capabilities.get().starts_with('{')) {
        return Err(Failure::MissingMeta(META_CAPABILITIES));
    }
    check_method(headers, method)?;
    check_name(headers, method, params)?;
    Ok(Era::Stateless)
}

/// The era of a notification: its headers alone tell.
pub(crate) fn of_notification(headers: &HeaderMap) -> Result<Era, Failure> {
    match single(headers, VERSION_HEADER)? {
        Some(version) if version == STATELESS => Ok(Era::Stateless),
        other => legacy(other),
    }
}

fn legacy(header: Option<&str>) -> Result<Era, Failure> {
    match header {
        Some(version) if !is_legacy(version) => Err(Failure::UnsupportedVersion(cut(version))),
        _ => Ok(Era::Legacy),
    }
}

/// Whether the version is one of those with `initialize`.
pub(crate) fn is_legacy(version: &str) -> bool {
    version != STATELESS && SUPPORTED_VERSIONS.contains(&version)
}

fn check_method(headers: &HeaderMap, method: &str) -> Result<(), Failure> {
    match single(headers, METHOD_HEADER)? {
        Some(header) if header == method => Ok(()),
        Some(_) => Err(mismatch(format_args!("Mcp-Method does not match the body"))),
        None => Err(mismatch(format_args!("Mcp-Method is missing"))),
    }
}

fn check_name(headers: &HeaderMap, method: &str, params: Option<&RawObject<'_>>) -> Result<(), Failure> {
    let field = match method {
        "tools/call" | "prompts/get" => "name",
        "resources/read" => "uri",
        _ => return Ok(()),
    };
    let Some(named) = params.and_then(|params| params.text(field)) else { return Ok(()) };
    match single(headers, NAME_HEADER)? {
        None => Err(mismatch(format_args!("Mcp-Name is missing"))),
        Some(header) => match decode(header) {
            Some(decoded) if decoded == named => Ok(()),
            _ => Err(mismatch(format_args!("Mcp-Name does not match the body"))),
        },
    }
}

/// The only value of a header. Two values, or one that is no text, could be read differently by two parties.
fn single<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Failure> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(mismatch(format_args!("{name} is given twice")));
    }
    value
        .to_str()
        .map(|text| Some(text.trim()))
        .map_err(|_| mismatch(format_args!("{name} holds other than visible ASCII")))
}

fn mismatch(what: std::fmt::Arguments<'_>) -> Failure {
    Failure::HeaderMismatch(what.to_string())
}

/// A version is quoted back, so it is cut: it may come from anyone.
fn cut(version: &str) -> String {
    version.chars().filter(|c| !c.is_control()).take(64).collect()
}

const SENTINEL: (&str, &str) = ("=?base64?", "?=");

/// Reads a header value that may be wrapped as `=?base64?…?=`.
fn decode(value: &str) -> Option<Cow<'_, str>> {
    let Some(inner) = value.strip_prefix(SENTINEL.0).and_then(|rest| rest.strip_suffix(SENTINEL.1)) else {
        return Some(Cow::Borrowed(value));
    };
    let bytes = base64::engine::general_purpose::STANDARD.decode(inner).ok()?;
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// Writes a value so that it survives as a header: plain where it can be, else wrapped.
pub(crate) fn encode(value: &str) -> Cow<'_, str> {
    let plain = value.bytes().all(|b| (0x21..=0x7e).contains(&b) || b == b' ')
        && !value.starts_with(' ')
        && !value.ends_with(' ')
        && !value.starts_with(SENTINEL.0);
    if plain {
        Cow::Borrowed(value)
    } else {
        Cow::Owned(format!("{}{}{}", SENTINEL.0, base64::engine::general_purpose::STANDARD.encode(value), SENTINEL.1))
    }
}

#[cfg(test)]
mod tests;
