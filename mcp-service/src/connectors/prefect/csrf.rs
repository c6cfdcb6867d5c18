//! CSRF tokens, which a server may demand for every request but GET (`PREFECT_SERVER_CSRF_PROTECTION_ENABLED`): one is
//! fetched before the first such request, renewed before it expires, and forgotten when the server refuses it.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::auth::sensitive;
use crate::connector::{Reply, ToolError};

const TOKEN: HeaderName = HeaderName::from_static("prefect-csrf-token");
const CLIENT: HeaderName = HeaderName::from_static("prefect-csrf-client");

/// How long before its end a token is renewed.
const MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// What is known about the server's demand. One per set of credentials.
#[derive(Debug)]
pub(super) struct Csrf {
    client: Uuid,
    known: Mutex<Known>,
}

#[derive(Debug, Clone)]
enum Known {
    /// Nobody has asked yet.
    Nothing,
    /// The server wants none.
    Off,
    /// The server wants this one.
    Token { value: HeaderValue, renew_at: Timestamp },
}

#[derive(Deserialize)]
struct Token {
    token: SecretString,
    expiration: Timestamp,
}

// === impl Csrf ===

impl Csrf {
    pub(super) fn new() -> Self {
        Self { client: Uuid::new_v4(), known: Mutex::new(Known::Nothing) }
    }

    /// As whom tokens are asked for.
    pub(super) fn client(&self) -> Uuid {
        self.client
    }

    /// Adds the headers that the server wants; `fetch` asks it for a token. Others wait meanwhile: one question is enough.
    pub(super) async fn apply(
        &self,
        headers: &mut HeaderMap,
        fetch: impl Future<Output = Result<Reply, ToolError>> + Send,
    ) -> Result<(), ToolError> {
        let mut known = self.known.lock().await;
        let stale = match &*known {
            Known::Nothing => true,
            Known::Off => false,
            Known::Token { renew_at, .. } => Timestamp::now() >= *renew_at,
        };
        if stale {
            *known = read(fetch.await?)?;
        }
        if let Known::Token { value, .. } = &*known {
            headers.insert(TOKEN, value.clone());
            headers.insert(CLIENT, HeaderValue::from_str(&self.client.to_string()).map_err(|_| odd())?);
        }
        Ok(())
    }

    /// Forgets what is known when a refusal says that it was wrong, so that the next call asks again. The refused call
    /// is not repeated.
    pub(super) async fn refused(&self, reason: &str) {
        if reason.contains("CSRF") {
            *self.known.lock().await = Known::Nothing;
        }
    }
}

/// What the answer to `GET /csrf-token` says.
fn read(reply: Reply) -> Result<Known, ToolError> {
    match reply.status.as_u16() {
        // 422 is "CSRF protection is disabled."; the others come from servers and proxies that know no such thing.
        403..=405 | 422 => Ok(Known::Off),
        _ => {
            let answer: Token = reply.json()?;
            let value = sensitive(answer.token.expose_secret()).ok_or_else(odd)?;
            let renew_at = answer.expiration.checked_sub(MARGIN).map_err(|_| odd())?;
            Ok(Known::Token { value, renew_at })
        }
    }
}

fn odd() -> ToolError {
    ToolError::upstream("the upstream answered with a CSRF token that is none")
}
