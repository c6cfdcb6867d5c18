//! What a browser brings back from an authorization server, judged before anything is sent anywhere. Pure.

use super::Pending;
use secrecy::SecretString;
use subtle::ConstantTimeEq as _;
use url::form_urlencoded;

/// Bytes of a query that are looked at.
const MAX_QUERY: usize = 8 * 1024;
/// What a server may answer with instead of a code (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6).
const CODES: [&str; 11] = [
    "access_denied",
    "invalid_request",
    "unauthorized_client",
    "unsupported_response_type",
    "invalid_scope",
    "server_error",
    "temporarily_unavailable",
    "interaction_required",
    "login_required",
    "consent_required",
    "invalid_target",
];

/// The parameters of an answer.
#[derive(Debug, Default)]
pub struct Answer {
    /// Which flow it belongs to.
    pub state: Option<String>,
    code: Option<SecretString>,
    iss: Option<String>,
    error: Option<String>,
}

/// Why an answer does not count. Nothing of it is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No answer of an authorization server: a parameter is missing, comes twice, or contradicts another.
    #[error("this is no answer of an authorization server")]
    Malformed,
    /// Not the flow that was begun.
    #[error("this answer belongs to no flow that was begun here")]
    State,
    /// `iss` is not the server that the user was sent to, or is missing although it was promised (RFC 9207 §2.4).
    #[error("this answer comes from another authorization server")]
    Issuer,
    /// The server or the user refused.
    #[error("the authorization server refused ({0})")]
    Refused(&'static str),
}

impl Answer {
    /// Reads a query.
    ///
    /// # Errors
    /// [`Denied::Malformed`] where a parameter comes twice or the query is too long.
    pub fn read(query: &str) -> Result<Self, Denied> {
        if query.len() > MAX_QUERY {
            return Err(Denied::Malformed);
        }
        let mut answer = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let twice = match &*name {
                "state" => answer.state.replace(value.into_owned()).is_some(),
                "iss" => answer.iss.replace(value.into_owned()).is_some(),
                "error" => answer.error.replace(value.into_owned()).is_some(),
                "code" => answer.code.replace(SecretString::from(value.into_owned())).is_some(),
                _ => false,
            };
            if twice {
                return Err(Denied::Malformed);
            }
        }
        Ok(answer)
    }

    /// The code, if the answer is one to this flow. Whoever asks must have taken the flow away, so that none counts twice.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn code(self, pending: &Pending) -> Result<SecretString, Denied> {
        let server = &pending.server;
        let issuer = server.told_issuer().then_some(server.issuer.as_str());
        self.judged(pending.state(), issuer, server.iss)
    }

    /// The code, if the answer is one to the flow with this state. `issuer`: who the user was sent to, where it is known;
    /// `promised`: it has said that its answers name it.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn judged(self, wanted: &str, issuer: Option<&str>, promised: bool) -> Result<SecretString, Denied> {
        let state = self.state.as_deref().unwrap_or_default();
        if state.is_empty() || !bool::from(state.as_bytes().ct_eq(wanted.as_bytes())) {
            return Err(Denied::State);
        }
        match (&self.iss, issuer) {
            // Character by character: no issuer is like another one.
            (Some(iss), Some(issuer)) if iss != issuer => return Err(Denied::Issuer),
            (None, _) if promised => return Err(Denied::Issuer),
            _ => {}
        }
        match (self.code, self.error) {
            (Some(code), None) => Ok(code),
            (None, Some(error)) => {
                let known = CODES.into_iter().find(|code| *code == error);
                Err(Denied::Refused(known.unwrap_or("no known error code")))
            }
            _ => Err(Denied::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Client, Server, Trust, Wish, begin};
    use super::*;
    use secrecy::ExposeSecret as _;
    use std::collections::BTreeMap;

    const ISSUER: &str = "https://as.example";

    fn pending(iss: bool) -> Pending {
        let mut server = Server::given("https://as.example/a", "https://as.example/t").unwrap();
        (server.issuer, server.iss, server.trust) = (ISSUER.to_owned(), iss, Trust::Told);
        let client = Client::given("id", None, &server);
        let parameters = BTreeMap::new();
        let wish = Wish {
            lead: "",
            redirect: "https://g.example/cb",
            resource: "https://m.example",
            scopes: &[],
            parameters: &parameters,
        };
        begin(server, client, &wish).unwrap().1
    }

    fn code(pending: &Pending, query: &str) -> Result<String, Denied> {
        let query = query.replace("STATE", pending.state());
        Answer::read(&query)?.code(pending).map(|code| code.expose_secret().to_owned())
    }

    #[test]
    fn only_the_answer_to_the_flow_gives_a_code() {
        let flow = pending(false);
        assert_eq!(code(&flow, "code=a%20b&state=STATE"), Ok("a b".to_owned()));
        assert_eq!(code(&flow, "code=a&state=STATE&iss=https%3A%2F%2Fas.example"), Ok("a".to_owned()));
        for other in ["code=a", "code=a&state=", "code=a&state=x", "code=a&state=STATEx"] {
            assert_eq!(code(&flow, other), Err(Denied::State), "{other}");
        }
        for odd in ["state=STATE", "code=a&error=access_denied&state=STATE", "code=a&code=b&state=STATE"] {
            assert_eq!(code(&flow, odd), Err(Denied::Malformed), "{odd}");
        }
        assert_eq!(code(&flow, "state=STATE&state=STATE&code=a"), Err(Denied::Malformed));
        assert_eq!(code(&flow, "error=access_denied&state=STATE"), Err(Denied::Refused("access_denied")));
        let script = code(&flow, "error=%3Cscript%3E&error_description=%3Cscript%3E&state=STATE").unwrap_err();
        assert!(!script.to_string().contains("script"));
        assert!(Answer::read(&"a".repeat(MAX_QUERY + 1)).is_err());
    }

    #[test]
    fn an_issuer_is_compared_whenever_there_is_one_and_missed_where_it_was_promised() {
        for promised in [true, false] {
            let flow = pending(promised);
            for wrong in
                ["https://evil.example", "https://as.example/", "https://AS.example", "https://as.example:443", ""]
            {
                assert_eq!(code(&flow, &format!("code=a&state=STATE&iss={wrong}")), Err(Denied::Issuer), "{wrong}");
            }
        }
        assert_eq!(code(&pending(true), "code=a&state=STATE"), Err(Denied::Issuer));
        assert_eq!(code(&pending(true), "error=access_denied&state=STATE"), Err(Denied::Issuer));
    }
}
