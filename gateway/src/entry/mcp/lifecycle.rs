//! What the gateway answers about itself: its own versions and capabilities, never those of an upstream.

use super::Context;
use crate::era::{self, META_SERVER, is_legacy};
use crate::error::{Failure, SUPPORTED_VERSIONS, json, rpc_result};
use crate::pipeline::upstream::translate::identity;
use crate::raw::RawObject;
use crate::session::capabilities::Capabilities;
use crate::session::token::HEADER;
use crate::state::State as Gateway;
use axum::response::Response;
use http::{HeaderValue, StatusCode};
use serde_json::value::RawValue;

/// What is served, whether or not there is any of it. Changes are announced on a `subscriptions/listen`, or on the
/// stream of a session.
const CAPABILITIES: &str = r#"{"tools":{"listChanged":true},"prompts":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"completions":{},"logging":{}}"#;

/// `server/discover` (2026-07-28).
pub(super) fn discover(context: &Context, id: &RawValue) -> Response {
    let instructions = context.instructions();
    let versions = serde_json::Value::from(SUPPORTED_VERSIONS.to_vec());
    let result = format!(
        r#"{{"resultType":"complete","supportedVersions":{versions},"capabilities":{CAPABILITIES},"instructions":{instructions},"ttlMs":60000,"cacheScope":"private","_meta":{{"{META_SERVER}":{}}}}}"#,
        identity()
    );
    json(StatusCode::OK, rpc_result(id, result.as_bytes()))
}

/// `initialize`: the version that was asked for where it is known, else the newest that has `initialize`, and a session.
///
/// The session is the client's to carry; here nothing is kept of it. Requests without it stand for themselves.
pub(super) fn initialize(
    gateway: &Gateway,
    context: &Context,
    id: &RawValue,
    params: Option<&RawObject<'_>>,
) -> Result<Response, Failure> {
    let instructions = context.instructions();
    let asked = params.and_then(|params| params.text("protocolVersion"));
    let asked = asked.ok_or_else(|| Failure::InvalidParams("protocolVersion must be a string".to_owned()))?;
    let version = if is_legacy(&asked) { &*asked } else { era::NEWEST_LEGACY };
    let result = format!(
        r#"{{"protocolVersion":"{version}","capabilities":{CAPABILITIES},"serverInfo":{},"instructions":{instructions}}}"#,
        identity()
    );
    let mut response = json(StatusCode::OK, rpc_result(id, result.as_bytes()));
    let declared = Capabilities::read(params.and_then(|params| params.get("capabilities")));
    match gateway.sessions.issue(&context.view.identity().caller, version, &declared) {
        Ok(token) => {
            // base64url, which a header always takes.
            if let Ok(token) = HeaderValue::from_str(&token) {
                response.headers_mut().insert(HEADER, token);
            }
        }
        Err(error) => tracing::error!(reason = error.reason(), %error, "a client gets no session"),
    }
    Ok(response)
}

/// `ping`.
pub(super) fn pong(id: &RawValue) -> Response {
    json(StatusCode::OK, rpc_result(id, b"{}"))
}
