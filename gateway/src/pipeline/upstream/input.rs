//! Rounds of questions of an upstream of the stateless era, for a client of the older one: `input_required` becomes
//! requests to the client, and its answers another request to the upstream (specification 2026-07-28, "Multi Round-Trip
//! Requests"). The upstream has asked for that request: it is no second attempt of the call.

use super::UpstreamError;
use crate::raw::{RawObject, RawWriter};
use crate::session::live::Answer;
use serde_json::value::RawValue;

/// More rounds than these are no conversation.
pub(super) const MAX_ROUNDS: u32 = 16;

/// One question.
#[derive(Debug)]
pub(super) struct Question {
    /// What the upstream calls it.
    pub(super) key: Box<str>,
    /// The method.
    pub(super) method: Box<str>,
    /// Its parameters.
    pub(super) params: Option<Box<RawValue>>,
}

/// What an upstream needs before it goes on.
#[derive(Debug)]
pub(super) struct Needed {
    /// What the client is to be asked.
    pub(super) questions: Vec<Question>,
    /// What it wants back, as it was sent.
    state: Option<Box<RawValue>>,
    /// Answers: key, result.
    answers: Vec<(Box<str>, Box<str>)>,
    left: usize,
}

impl Needed {
    /// Reads a result; `None` where nothing is needed.
    ///
    /// # Errors
    /// [`UpstreamError::Protocol`].
    pub(super) fn read(result: &RawValue) -> Result<Option<Self>, UpstreamError> {
        // A cheap look first: nearly every result is complete.
        if !result.get().contains("\"input_required\"") {
            return Ok(None);
        }
        let Ok(result) = RawObject::parse(result.get()) else { return Ok(None) };
        if result.text("resultType").as_deref() != Some("input_required") {
            return Ok(None);
        }
        let malformed = UpstreamError::Protocol("its questions cannot be read");
        let mut questions = Vec::new();
        if let Some(requests) = result.get("inputRequests") {
            let requests = RawObject::parse(requests.get()).map_err(|_| malformed.clone())?;
            for (key, request) in requests.iter() {
                let request = RawObject::parse(request.get()).map_err(|_| malformed.clone())?;
                let method = request.text("method").ok_or_else(|| malformed.clone())?;
                let params = request.get("params").map(ToOwned::to_owned);
                questions.push(Question { key: key.into(), method: method.as_ref().into(), params });
            }
        }
        let left = questions.len();
        Ok(Some(Self {
            questions,
            state: result.get("requestState").map(ToOwned::to_owned),
            answers: Vec::new(),
            left,
        }))
    }

    /// Takes an answer of the client.
    ///
    /// # Errors
    /// [`UpstreamError::Declined`] where the client has refused what cannot be answered with a refusal.
    pub(super) fn answered(&mut self, key: Box<str>, method: &str, answer: Answer) -> Result<(), UpstreamError> {
        let result: Box<str> = match answer {
            Answer::Result(result) => result.get().into(),
            Answer::Error(_) if method == "elicitation/create" => r#"{"action":"cancel"}"#.into(),
            Answer::Error(_) => return Err(UpstreamError::Declined),
        };
        self.answers.push((key, result));
        self.left = self.left.saturating_sub(1);
        Ok(())
    }

    /// Whether all is answered.
    pub(super) fn is_complete(&self) -> bool {
        self.left == 0
    }

    /// The parameters of the request that goes on: those of the call, the answers, and what the upstream wants back.
    pub(super) fn params(&self, call: &str) -> Result<String, UpstreamError> {
        let call = RawObject::parse(call).map_err(|_| UpstreamError::Protocol("its questions cannot be answered"))?;
        let mut params = RawWriter::object(512);
        for (name, value) in call.iter().filter(|(name, _)| !matches!(*name, "inputResponses" | "requestState")) {
            params.raw(name, value.get());
        }
        let mut responses = RawWriter::object(256);
        for (key, result) in &self.answers {
            responses.raw(key, result);
        }
        params.bytes("inputResponses", &responses.finish());
        if let Some(state) = &self.state {
            params.raw("requestState", state.get());
        }
        String::from_utf8(params.finish()).map_err(|_| UpstreamError::Protocol("its questions cannot be answered"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn answers_and_state_join_the_parameters_of_the_call() {
        let result = raw(
            r#"{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{"x":1}},"b":{"method":"roots/list"}},"requestState":"s"}"#,
        );
        let mut needed = Needed::read(&result).unwrap().unwrap();
        assert_eq!(needed.questions.len(), 2);
        assert!(!needed.is_complete());
        needed.answered("b".into(), "roots/list", Answer::Result(raw(r#"{"roots":[]}"#))).unwrap();
        needed.answered("a".into(), "elicitation/create", Answer::Error(raw("{}"))).unwrap();
        assert!(needed.is_complete());
        assert_eq!(
            needed.params(r#"{"name":"t","requestState":"old"}"#).unwrap(),
            r#"{"name":"t","inputResponses":{"b":{"roots":[]},"a":{"action":"cancel"}},"requestState":"s"}"#
        );
    }

    #[test]
    fn a_complete_result_needs_nothing_and_a_malformed_one_is_an_error() {
        for text in [
            r#"{"content":[]}"#,
            r#"{"content":["\"input_required\""]}"#,
            r#"{"resultType":"complete","x":"input_required"}"#,
        ] {
            assert!(Needed::read(&raw(text)).unwrap().is_none(), "{text}");
        }
        for text in [
            r#"{"resultType":"input_required","inputRequests":[]}"#,
            r#"{"resultType":"input_required","inputRequests":{"a":1}}"#,
            r#"{"resultType":"input_required","inputRequests":{"a":{}}}"#,
        ] {
            assert!(Needed::read(&raw(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_refused_ends_the_call() {
        let result =
            raw(r#"{"resultType":"input_required","inputRequests":{"a":{"method":"sampling/createMessage"}}}"#);
        let mut needed = Needed::read(&result).unwrap().unwrap();
        let refused = needed.answered("a".into(), "sampling/createMessage", Answer::Error(raw("{}")));
        assert!(matches!(refused, Err(UpstreamError::Declined)));
    }
}
