//! What a token says of itself before anyone believes it: which issuer to ask, which key, which algorithm.

use aperium_platform::json::check_strict;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;

/// The longest name of a key, algorithm or type.
const MAX_NAME: usize = 256;

/// A token in the form of a JWT.
#[derive(Debug)]
pub(super) struct Presented {
    /// Who it says has issued it.
    pub(super) issuer: String,
    /// Which key it says it was signed with: compared with the issuer's, and used for nothing else.
    pub(super) kid: Option<String>,
    algorithm: String,
}

/// `jku`, `jwk`, `x5u` and `x5c` would let a token bring its own key: they are not read.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Payload {
    iss: String,
}

impl Presented {
    /// Reads it; `None` for what is no access or ID token. Names that come twice are refused: two readers could
    /// understand such a token in two ways.
    pub(super) fn read(token: &str) -> Option<Self> {
        let mut parts = token.split('.');
        let (header, payload, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
            return None;
        };
        let header: Header = part(header)?;
        let payload: Payload = part(payload)?;
        let short = |text: &Option<String>| text.as_ref().is_none_or(|text| text.len() <= MAX_NAME);
        let usable = header.crit.is_none() && short(&header.kid) && is_access(header.typ.as_deref());
        usable.then_some(Self { issuer: payload.iss, kid: header.kid, algorithm: header.alg })
    }

    /// The algorithm, where it is one with a public key. `none` is no algorithm, and a shared secret is no key here.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        let algorithm: Algorithm = self.algorithm.parse().ok()?;
        let secret = matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
        (!secret).then_some(algorithm)
    }
}

fn part<T: for<'de> Deserialize<'de>>(encoded: &str) -> Option<T> {
    let text = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    check_strict(&text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Tokens for other purposes (logout, DPoP proofs) have a type of their own (RFC 8725 §3.11).
fn is_access(typ: Option<&str>) -> bool {
    typ.is_none_or(|typ| ["JWT", "at+jwt", "application/at+jwt"].iter().any(|known| known.eq_ignore_ascii_case(typ)))
}
