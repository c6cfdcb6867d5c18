//! Sign-in at an issuer (OpenID Connect Core §3.1): where it leads, and from the code that comes back to a caller. The keys
//! and the claims are those of bearer tokens.

use super::keys::KeysError;
use super::{Issuer, Oidc, claims, token, validation};
use aperium_core::caller::Caller;
use aperium_platform::json::check_strict;
use aperium_platform::oauth::{self, Client, ClientAuth};
use http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

/// What the gateway is at the issuer.
#[derive(Debug)]
pub(crate) struct As<'a> {
    /// Its issuer.
    pub(crate) issuer: &'a str,
    /// Its client id.
    pub(crate) client: &'a str,
    /// Its secret, where it has one.
    pub(crate) secret: Option<SecretString>,
}

/// Where a browser is sent.
#[derive(Debug)]
pub(crate) struct Leads {
    /// The authorization endpoint.
    pub(crate) to: Url,
    /// Whether the answer must name the issuer (RFC 9207).
    pub(crate) names_itself: bool,
}

/// Why nobody signs in at the issuer. Holds nothing that it wrote.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum NoSignIn {
    /// It is none of the settings any more.
    #[error("issuer: the settings do not know it")]
    Unknown,
    /// It cannot be asked, or its documents cannot be used.
    #[error(transparent)]
    Issuer(#[from] KeysError),
    /// It has no endpoint for it.
    #[error("issuer: its discovery document names no usable endpoint for sign-in")]
    NoEndpoint,
    /// It says that it does not know PKCE with S256.
    #[error("issuer: it does not know PKCE with S256")]
    NoPkce,
    /// It knows no way of authentication that is spoken here.
    #[error("issuer: its token endpoint wants another way of authentication")]
    NoMethod,
    /// It takes the code for none.
    #[error("issuer: the code was refused ({0})")]
    Refused(&'static str),
    /// Its answer is none.
    #[error("issuer: the answer of the token endpoint cannot be used")]
    Answer,
    /// The ID token is not good, or not for this sign-in.
    #[error("issuer: the ID token is not good for this sign-in")]
    Token,
}

impl Oidc {
    /// Where a browser goes.
    ///
    /// # Errors
    /// [`NoSignIn`].
    pub(crate) async fn leads(&self, issuer: &str) -> Result<Leads, NoSignIn> {
        let issuer = self.of(issuer)?;
        let places = issuer.keys.places().await?;
        // Discovery need not say it; whoever says it must know S256.
        if places.code_challenge_methods_supported.as_ref().is_some_and(|all| !all.iter().any(|one| one == "S256")) {
            return Err(NoSignIn::NoPkce);
        }
        let to = places.authorization_endpoint.as_deref().ok_or(NoSignIn::NoEndpoint)?;
        let usable = to.parse().is_ok_and(|uri| issuer.keys.is_place(&uri));
        let to = Url::parse(to).ok().filter(|url| usable && url.fragment().is_none() && url.username().is_empty());
        let names_itself = places.authorization_response_iss_parameter_supported;
        Ok(Leads { to: to.ok_or(NoSignIn::NoEndpoint)?, names_itself })
    }

    /// Who brought the code.
    ///
    /// # Errors
    /// [`NoSignIn`].
    pub(crate) async fn signed_in(
        &self,
        at: As<'_>,
        code: &SecretString,
        redirect: &str,
        verifier: &SecretString,
        nonce: &str,
    ) -> Result<Caller, NoSignIn> {
        let issuer = self.of(at.issuer)?;
        let places = issuer.keys.places().await?;
        let auth = method(places.token_endpoint_auth_methods_supported.as_deref(), at.secret.is_some())?;
        let client = Client { id: at.client.to_owned(), secret: at.secret, auth };
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code.expose_secret()),
            ("redirect_uri", redirect),
            ("code_verifier", verifier.expose_secret()),
        ];
        let endpoint = places.token_endpoint.as_deref().ok_or(NoSignIn::NoEndpoint)?;
        let (status, body) = issuer.keys.post(endpoint, oauth::form(&client, auth, &fields)).await?;
        if status != StatusCode::OK {
            return Err(NoSignIn::Refused(oauth::error_code(&body)));
        }
        issuer.whose(&id_token(&body)?, at.client, nonce).await
    }

    fn of(&self, issuer: &str) -> Result<&Issuer, NoSignIn> {
        self.issuers.iter().find(|one| one.settings.issuer == issuer).ok_or(NoSignIn::Unknown)
    }
}

impl Issuer {
    /// Whose ID token it is, if it was made for this client and this sign-in.
    async fn whose(&self, text: &SecretString, client: &str, nonce: &str) -> Result<Caller, NoSignIn> {
        let text = text.expose_secret();
        let presented = token::Presented::read(text).ok_or(NoSignIn::Token)?;
        if presented.issuer != self.settings.issuer {
            return Err(NoSignIn::Token);
        }
        let algorithm = presented.algorithm().filter(|algorithm| self.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or(NoSignIn::Token)?;
        let key = self.keys.find(presented.kid.as_deref(), algorithm).await?.ok_or(NoSignIn::Token)?;
        let validation = validation(&self.settings, &[client.to_owned()], algorithm);
        let verified = jsonwebtoken::decode::<claims::Verified>(text, &key, &validation);
        let claims = verified.map_err(|_| NoSignIn::Token)?.claims;
        claims.is_for(client, nonce).then(|| claims.caller(&self.settings)).flatten().ok_or(NoSignIn::Token)
    }
}

/// How the client says who it is. An issuer that does not say what it takes means `client_secret_basic`.
fn method(offered: Option<&[String]>, secret: bool) -> Result<ClientAuth, NoSignIn> {
    let offers = |name: &str| offered.is_some_and(|all| all.iter().any(|one| one == name));
    match secret {
        // That no secret is needed is a matter of the client, which not every issuer lists.
        false => Ok(ClientAuth::Public),
        true if offered.is_none() || offers("client_secret_basic") => Ok(ClientAuth::Basic),
        true if offers("client_secret_post") => Ok(ClientAuth::Post),
        true => Err(NoSignIn::NoMethod),
    }
}

fn id_token(body: &[u8]) -> Result<SecretString, NoSignIn> {
    #[derive(Deserialize)]
    struct Answer {
        id_token: SecretString,
    }
    check_strict(body).map_err(|_| NoSignIn::Answer)?;
    serde_json::from_slice::<Answer>(body).map(|answer| answer.id_token).map_err(|_| NoSignIn::Answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_authenticates_as_its_issuer_says() {
        let of = |offered: Option<&[&str]>, secret| {
            let offered: Option<Vec<String>> = offered.map(|all| all.iter().map(|one| (*one).to_owned()).collect());
            method(offered.as_deref(), secret).ok()
        };
        assert_eq!(of(None, true), Some(ClientAuth::Basic));
        assert_eq!(of(Some(&["client_secret_post"]), true), Some(ClientAuth::Post));
        assert_eq!(of(Some(&["client_secret_post", "client_secret_basic"]), true), Some(ClientAuth::Basic));
        assert_eq!(of(Some(&["private_key_jwt"]), true), None);
        assert_eq!(of(Some(&["client_secret_basic"]), false), Some(ClientAuth::Public));
    }

    #[test]
    fn an_answer_without_an_id_token_is_none_and_is_not_quoted() {
        assert_eq!(id_token(br#"{"access_token":"a","id_token":"x.y.z"}"#).unwrap().expose_secret(), "x.y.z");
        for bad in [&b""[..], b"<html>hunter2", br#"{"access_token":"hunter2"}"#, br#"{"id_token":"a","id_token":"b"}"#]
        {
            let error = id_token(bad).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}
