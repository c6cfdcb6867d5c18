//! Requests of an upstream on their way to the client, and its answers on their way back: the ids that the client sees
//! are the gateway's own, known to this call of this session alone.

use crate::raw::{RawObject, RawWriter};
use crate::session::Live;
use crate::session::live::{Answered, Asked};
use serde_json::value::RawValue;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Answers that may wait to be fetched; no more requests than that wait for one call.
const MAX_OPEN: usize = 32;

/// What the client is asked during one call. `T` is what the asker calls the question.
#[derive(Debug)]
pub(super) struct Asking<T> {
    live: Arc<Live>,
    sender: mpsc::Sender<Answered>,
    receiver: mpsc::Receiver<Answered>,
    open: Vec<(Asked, T)>,
}

impl<T> Asking<T> {
    /// Nothing is asked yet.
    pub(super) fn new(live: &Arc<Live>) -> Self {
        let (sender, receiver) = mpsc::channel(MAX_OPEN);
        Self { live: Arc::clone(live), sender, receiver, open: Vec::new() }
    }

    /// Whether nothing waits for the client.
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// The message that asks the client; `None` where it has not declared that it can be asked this, or is asked too
    /// much already.
    pub(super) fn ask(&mut self, method: &str, params: Option<&RawValue>, asker: T) -> Option<Vec<u8>> {
        if !self.live.capabilities.allow(method, params) || self.open.len() >= MAX_OPEN {
            return None;
        }
        let asked = self.live.ask(self.sender.clone())?;
        let mut message = RawWriter::object(params.map_or(0, |params| params.get().len()) + 128);
        message.raw("jsonrpc", "\"2.0\"").text("id", asked.id()).text("method", method);
        if let Some(params) = params {
            message.raw("params", params.get());
        }
        self.open.push((asked, asker));
        Some(message.finish())
    }

    /// The next answer. May be dropped and asked again.
    pub(super) async fn answered(&mut self) -> (T, crate::session::live::Answer) {
        loop {
            if let Some(Answered { id, answer }) = self.receiver.recv().await
                && let Some(at) = self.open.iter().position(|(asked, _)| *asked.id() == *id)
            {
                return (self.open.swap_remove(at).1, answer);
            }
        }
    }

    /// The asker has given a question up: the message that tells the client.
    pub(super) fn give_up(&mut self, is_it: impl Fn(&T) -> bool) -> Option<Vec<u8>> {
        let at = self.open.iter().position(|(_, asker)| is_it(asker))?;
        let (asked, _) = self.open.swap_remove(at);
        let mut params = RawWriter::object(64);
        params.text("requestId", asked.id());
        let mut message = RawWriter::object(128);
        message.raw("jsonrpc", "\"2.0\"").text("method", "notifications/cancelled").bytes("params", &params.finish());
        Some(message.finish())
    }
}

/// The id, method and parameters of a request.
pub(super) fn request<'a>(
    message: &RawObject<'a>,
) -> Option<(&'a RawValue, std::borrow::Cow<'a, str>, Option<&'a RawValue>)> {
    Some((message.get("id")?, message.text("method")?, message.get("params")))
}
