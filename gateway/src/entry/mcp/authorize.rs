//! A call for which its caller has to authorise the gateway first, or for more than before: the user is led to the page
//! where that happens.
//!
//! | client | what it gets |
//! |---|---|
//! | stateless, has declared `elicitation.url` | `input_required` with one URL elicitation; when it comes back, the call waits a little for the user |
//! | with a session, has declared `elicitation.url` | error -32042 with the elicitation (specification 2025-11-25, "URL Mode Elicitation") |
//! | any other | the link as text |
//!
//! Nobody is asked twice for one call: whoever comes back without the consent gets the link as text.

use super::Incoming;
use crate::consent::{ConsentError, People, Standing};
use crate::entry::consent;
use crate::era::{Era, META_CAPABILITIES};
use crate::error::{rpc_error, rpc_result};
use crate::pipeline::action::Action;
use crate::pipeline::credential::CredentialError;
use crate::pipeline::upstream::UpstreamError;
use crate::raw::{RawObject, RawWriter};
use crate::session::capabilities::Capabilities;
use crate::snapshot::Entry;
use crate::state::State as Gateway;
use aperium_core::caller::Caller;
use serde_json::json;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What the question is called between the gateway and the client. No upstream asks under this name.
const KEY: &str = "aperium/authorization";
/// How long a call waits for its user once the client has shown them the page. Clients give up after a minute.
const WAIT: Duration = Duration::from_secs(20);
/// How often it looks meanwhile.
const LOOK: Duration = Duration::from_millis(250);
/// JSON-RPC code of 2025-11-25: the request needs a URL to be opened first.
const URL_ELICITATION_REQUIRED: &str = "-32042";

/// What the user has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Authorise the gateway.
    First,
    /// Authorise it for more.
    More,
}

impl Why {
    /// What a failure says of the user, if anything.
    pub(super) fn of(error: &UpstreamError) -> Option<Self> {
        match error {
            UpstreamError::Credential(CredentialError::Consent(ConsentError::Needed)) => Some(Self::First),
            UpstreamError::Credential(CredentialError::Consent(ConsentError::MoreScope)) => Some(Self::More),
            _ => None,
        }
    }
}

/// How the user of one call is asked, should it come to that.
#[derive(Debug)]
pub(super) struct Prompt {
    people: Arc<People>,
    page: String,
    era: Era,
    asks: bool,
    back: Option<Back>,
}

/// How a client has come back from the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Back {
    /// The user has opened the page.
    Accepted,
    /// The user does not want to.
    Declined,
}

impl Prompt {
    /// `None`: nobody authorises anything at this connector.
    pub(super) fn of(
        gateway: &Gateway,
        caller: &Caller,
        entry: &Entry,
        message: &Incoming<'_>,
        params: &RawObject<'_>,
        (action, era): (Action, Era),
    ) -> Option<Self> {
        let people = Arc::clone(entry.people.as_ref()?);
        let asks = match era {
            Era::Legacy => message.session.is_some_and(|session| session.capabilities.elicits_urls()),
            // Completion has no rounds.
            Era::Stateless => action != Action::Complete && declared(params).elicits_urls(),
        };
        let page = consent::connect_page(gateway, caller, message.headers, people.desk().id());
        let back = Some(params).filter(|_| era == Era::Stateless).and_then(back);
        Some(Self { people, page, era, asks, back })
    }

    /// How the client has come back, if it has.
    pub(super) fn back(&self) -> Option<Back> {
        self.back
    }

    /// Waits until the caller has authorised what was asked for, or time is up.
    pub(super) async fn wait(&self, caller: &Caller) {
        let until = Instant::now() + WAIT;
        loop {
            match self.people.standing(caller).await {
                Ok(Standing::NeedsAuth | Standing::NeedsScope) if Instant::now() < until => {}
                _ => break,
            }
            tokio::time::sleep(LOOK).await;
        }
        self.people.look_again(caller);
    }

    /// What is missing for a caller of a connector that nobody has asked for its lists yet, because nobody could.
    pub(super) async fn missing(&self, caller: &Caller) -> Option<Why> {
        match self.people.standing(caller).await {
            Ok(Standing::NeedsAuth) if self.people.knows(caller) => Some(Why::First),
            _ => None,
        }
    }

    /// What the user reads.
    pub(super) fn text(&self, why: Why, request_id: &str) -> String {
        let (id, page) = (self.people.desk().id(), &self.page);
        let what = match why {
            Why::First => "needs your own authorization first",
            Why::More => "needs you to authorise more of it for this",
        };
        format!("connector {id} {what}: open {page} in a browser, then try again, request id {request_id}")
    }

    /// The question; `None` where the client cannot be asked, or was asked already.
    pub(super) fn question(&self, why: Why) -> Option<Question> {
        if !self.asks || self.back.is_some() {
            return None;
        }
        let id = self.people.desk().id();
        let message = match why {
            Why::First => format!("Authorise this gateway to use {id} for you."),
            Why::More => format!("Authorise this gateway to use more of {id} for you."),
        };
        Some(Question { page: self.page.clone(), message, era: self.era })
    }

    /// The parameters of the call without the answer to the question.
    pub(super) fn without_answer(params: &RawObject<'_>) -> Option<String> {
        let mut own = RawWriter::object(512);
        for (name, value) in params.iter().filter(|(name, _)| *name != "inputResponses") {
            own.raw(name, value.get());
        }
        String::from_utf8(own.finish()).ok()
    }
}

fn declared(params: &RawObject<'_>) -> Capabilities {
    let meta = params.get("_meta").and_then(|meta| RawObject::parse(meta.get()).ok());
    meta.map_or_else(Capabilities::none, |meta| Capabilities::read(meta.get(META_CAPABILITIES)))
}

fn back(params: &RawObject<'_>) -> Option<Back> {
    let responses = RawObject::parse(params.get("inputResponses")?.get()).ok()?;
    let response = RawObject::parse(responses.get(KEY)?.get()).ok()?;
    Some(if response.text("action").as_deref() == Some("accept") { Back::Accepted } else { Back::Declined })
}

/// A question to the user, for a client that has said that it can show it.
#[derive(Debug)]
pub(super) struct Question {
    page: String,
    message: String,
    era: Era,
}

impl Question {
    /// The whole answer to the request. Its URL carries nothing but the connector's id: whoever opens it has to be the
    /// same user.
    pub(super) fn write(&self, id: &RawValue) -> Vec<u8> {
        match self.era {
            Era::Stateless => {
                let params = json!({ "mode": "url", "message": self.message, "url": self.page });
                let requests = json!({ KEY: { "method": "elicitation/create", "params": params } });
                let result = json!({ "resultType": "input_required", "inputRequests": requests });
                rpc_result(id, result.to_string().as_bytes())
            }
            Era::Legacy => {
                let elicitation = json!({ "mode": "url", "message": self.message, "url": self.page,
                    "elicitationId": uuid::Uuid::new_v4().to_string() });
                let mut error = RawWriter::object(512);
                error
                    .raw("code", URL_ELICITATION_REQUIRED)
                    .text("message", &self.message)
                    .raw("data", &json!({ "elicitations": [elicitation] }).to_string());
                rpc_error(Some(id), &error.finish())
            }
        }
    }
}
