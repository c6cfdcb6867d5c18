//! How a connector authenticates, and the values of its Secret → what is inserted, or which key is wrong. Pure.

use super::inject::Injection;
use super::mask::Mask;
use super::token::Client;
use crate::catalog::{Auth, Scheme};
use crate::secrets::{Unresolved, Values};
use aperium_core::auth::{self, AuthFault};
use base64::Engine as _;
use http::{HeaderName, header};
use secrecy::{ExposeSecret as _, SecretString};
use std::sync::Arc;

/// What the values make.
#[derive(Debug)]
pub(super) enum Material {
    /// The same for every request.
    Fixed(Injection, Option<Arc<Mask>>),
    /// A client that fetches tokens.
    Client(Client),
}

impl Material {
    /// Checks the values and puts them together.
    ///
    /// # Errors
    /// [`Unresolved`] with the key that is missing or unusable; never with its value.
    pub(super) fn of(auth: &Auth, values: &Values) -> Result<Self, Unresolved> {
        let fields = Fields { secret: &auth.secret, values };
        match &auth.scheme {
            Scheme::Bearer => {
                let token = fields.get("secret", auth::check_key)?;
                fields.header(header::AUTHORIZATION, &format!("Bearer {token}"), &[token])
            }
            Scheme::KeyHeader(name) => {
                let key = fields.get("secret", auth::check_key)?;
                fields.header(name.clone(), key, &[key])
            }
            Scheme::KeyParameter(name) => {
                let key = fields.get("secret", auth::check_key)?;
                Ok(Self::Fixed(Injection::parameter(name, key), Mask::over(&[key])))
            }
            Scheme::Basic => {
                let user = fields.get("username", auth::check_basic_user)?;
                let password = fields.get("password", auth::check_basic_password)?;
                let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
                fields.header(header::AUTHORIZATION, &format!("Basic {encoded}"), &[password, &encoded])
            }
            Scheme::ClientCredentials { token_url, scope } => {
                let id = fields.get("client_id", auth::check_client)?.to_owned();
                let secret = SecretString::from(fields.get("client_secret", auth::check_client)?.to_owned());
                Ok(Self::Client(Client { token_url: token_url.clone(), scope: scope.clone(), id, secret }))
            }
            Scheme::PerUser(_) => Err(fields.invalid("SecretInvalid", "is of users and never shared")),
        }
    }
}

struct Fields<'v> {
    secret: &'v str,
    values: &'v Values,
}

impl<'v> Fields<'v> {
    fn get(&self, key: &str, check: fn(&str) -> Result<(), AuthFault>) -> Result<&'v str, Unresolved> {
        let Some(value) = self.values.get(key) else {
            return Err(self.invalid("SecretKeyMissing", &format!("has no key {key}")));
        };
        let value = auth::without_line_end(value.expose_secret());
        check(value).map_err(|fault| self.invalid("SecretInvalid", &format!("key {key} {fault}")))?;
        Ok(value)
    }

    fn header(&self, name: HeaderName, value: &str, secrets: &[&str]) -> Result<Material, Unresolved> {
        let injection = Injection::header(name, value);
        let injection = injection.ok_or_else(|| self.invalid("SecretInvalid", "fits into no header"))?;
        Ok(Material::Fixed(injection, Mask::over(secrets)))
    }

    fn invalid(&self, reason: &'static str, problem: &str) -> Unresolved {
        Unresolved { reason, message: format!("Secret \"{}\": {problem}", self.secret) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, Uri};

    fn auth(scheme: Scheme) -> Auth {
        Auth { scheme, secret: "s".into() }
    }

    fn values(pairs: &[(&str, &str)]) -> Values {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), SecretString::from((*value).to_owned()))).collect()
    }

    fn inserted(scheme: Scheme, pairs: &[(&str, &str)]) -> (HeaderMap, String) {
        let Material::Fixed(injection, _) = Material::of(&auth(scheme), &values(pairs)).unwrap() else {
            panic!("not a fixed credential")
        };
        let (mut headers, mut uri) = (HeaderMap::new(), Uri::from_static("https://a.example/x"));
        injection.write_into(&mut headers, &mut uri).unwrap();
        (headers, uri.to_string())
    }

    #[test]
    fn each_scheme_goes_where_its_specification_says() {
        let (headers, _) = inserted(Scheme::Bearer, &[("secret", "abc\n"), ("other", "x")]);
        assert_eq!(headers["authorization"], "Bearer abc");
        let (headers, _) =
            inserted(Scheme::KeyHeader(HeaderName::from_static("x-api-key")), &[("secret", "wk example")]);
        assert_eq!(headers["x-api-key"], "wk example");
        let (headers, uri) = inserted(Scheme::KeyParameter("key".into()), &[("secret", "a&b")]);
        assert!(headers.is_empty() && uri.ends_with("/x?key=a%26b"), "{uri}");
        // RFC 7617 §2 and §2.1.
        let basic = [("username", "Aladdin"), ("password", "open sesame")];
        assert_eq!(inserted(Scheme::Basic, &basic).0["authorization"], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        let utf8 = [("username", "test"), ("password", "123\u{a3}")];
        assert_eq!(inserted(Scheme::Basic, &utf8).0["authorization"], "Basic dGVzdDoxMjPCow==");
    }

    #[test]
    fn a_missing_or_unusable_key_is_named_and_its_value_is_not() {
        let url = Uri::from_static("https://a.example/token");
        let client = || Scheme::ClientCredentials { token_url: url.clone(), scope: String::new() };
        type Case<'a> = (Scheme, &'a [(&'a str, &'a str)], &'a str, &'a str);
        let cases: [Case<'_>; 7] = [
            (Scheme::Bearer, &[], "SecretKeyMissing", "secret"),
            (Scheme::Bearer, &[("secret", "hunter2\r\nX-Admin: 1")], "SecretInvalid", "secret"),
            (Scheme::Bearer, &[("secret", "")], "SecretInvalid", "secret"),
            (Scheme::Basic, &[("username", "hunter2:x"), ("password", "p")], "SecretInvalid", "username"),
            (Scheme::Basic, &[("username", "u")], "SecretKeyMissing", "password"),
            (client(), &[("client_id", "id")], "SecretKeyMissing", "client_secret"),
            (client(), &[("client_id", "id"), ("client_secret", "hunter2\0")], "SecretInvalid", "client_secret"),
        ];
        for (scheme, pairs, reason, key) in cases {
            let why = Material::of(&auth(scheme), &values(pairs)).unwrap_err();
            assert_eq!(why.reason, reason, "{why}");
            assert!(why.message.contains(key) && !why.message.contains("hunter2"), "{why}");
        }
    }
}
