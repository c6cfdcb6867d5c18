//! A request that is passed on, as it was read; and what ends it before it is.

use super::along::request_id;
use super::failed::{Failed, failed_answer};
use crate::entry::mcp::Incoming;
use crate::entry::mcp::authorize::Prompt;
use crate::era::Era;
use crate::error::Failure;
use crate::pipeline::action::Action;
use crate::raw::RawObject;
use crate::snapshot::Entry;
use crate::state::State as Gateway;
use aperium_core::caller::Caller;
use axum::response::Response;
use serde_json::value::RawValue;

/// A request that is passed on.
#[derive(Debug, Clone, Copy)]
pub(in crate::entry::mcp) struct Asked<'a> {
    pub(in crate::entry::mcp) message: Incoming<'a>,
    pub(in crate::entry::mcp) params: Option<&'a RawObject<'a>>,
    pub(in crate::entry::mcp) era: Era,
    /// What its method asks for.
    pub(in crate::entry::mcp) action: Action,
}

impl<'a> Asked<'a> {
    /// The id that ties all logs of it together.
    pub(super) fn request_id(&self) -> &'a str {
        request_id(self.message.headers)
    }

    /// The arguments of a tool or prompt.
    pub(super) fn arguments(&self) -> Option<&'a RawValue> {
        self.params?.get("arguments")
    }

    /// How its user is asked to authorise the gateway, should it come to that.
    pub(super) fn prompt(&self, gateway: &Gateway, caller: &Caller, entry: &Entry) -> Option<Prompt> {
        Prompt::of(gateway, caller, entry, &self.message, self.params?, (self.action, self.era))
    }

    /// The answer that there is none of the upstream.
    pub(super) fn failed(&self, failed: &Failed) -> Response {
        failed_answer(self.action, self.message.id, failed, self.request_id())
    }
}

/// Why a request goes no further.
#[derive(Debug)]
pub(in crate::entry::mcp) enum Stopped {
    /// It is refused.
    Refused(Failure),
    /// It has its answer without any upstream.
    Answered(Box<Response>),
}

impl Stopped {
    /// With this answer.
    pub(super) fn with(answer: Response) -> Self {
        Self::Answered(Box::new(answer))
    }

    /// As the answer to the request.
    ///
    /// # Errors
    /// [`Failure`]: there is none, it is refused.
    pub(in crate::entry::mcp) fn answer(self) -> Result<Response, Failure> {
        match self {
            Self::Refused(failure) => Err(failure),
            Self::Answered(answer) => Ok(*answer),
        }
    }
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}
