//! `subscriptions/listen` (specification 2026-07-28, "Subscriptions"): a stream that says first what it will tell, and
//! then each change that concerns the caller.

use super::session::{KEEP_ALIVE, KEEP_ALIVE_COMMENT, event_stream};
use super::subscribe::MAX_URI;
use super::{Context, Incoming, accepts};
use crate::changes::notice::{List, UPDATED};
use crate::changes::watch::{Change, Place, Watch};
use crate::error::{Failure, rpc_result};
use crate::pipeline::authz::Scope;
use crate::pipeline::upstream::sse;
use crate::raw::{RawObject, RawWriter, push_text};
use crate::state::State as Gateway;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use serde_json::value::RawValue;
use std::convert::Infallible;

/// Resources that one stream may follow.
const MAX_RESOURCES: usize = 1000;
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// Opens the stream.
pub(super) fn listen(
    gateway: &Gateway,
    context: &Context,
    message: Incoming<'_>,
    params: Option<&RawObject<'_>>,
) -> Result<Response, Failure> {
    if !accepts(message.headers).events {
        return Err(Failure::NotAcceptable);
    }
    let filter = Filter::read(params)?;
    let place: Place = match context.scope {
        Scope::Aggregate => None,
        Scope::One(position) => context.snapshot.at(position).map(|entry| entry.config.key.clone()),
    };
    let mut watch = gateway.changes.watch(context.view.identity(), place, &filter.lists)?;
    let followed: Vec<&str> = filter.resources.iter().map(String::as_str).filter(|uri| watch.follow(uri)).collect();
    let first = acknowledged(message.id, &filter.lists, &followed);
    Ok(stream(watch, message.id.to_owned(), first))
}

/// What a client wants to be told.
#[derive(Debug, PartialEq, Eq)]
struct Filter {
    lists: Vec<List>,
    resources: Vec<String>,
}

/// The field of the filter for each list.
fn field(list: List) -> &'static str {
    match list {
        List::Tools => "toolsListChanged",
        List::Prompts => "promptsListChanged",
        List::Resources => "resourcesListChanged",
    }
}

impl Filter {
    fn read(params: Option<&RawObject<'_>>) -> Result<Self, Failure> {
        let invalid = |what: &str| Failure::InvalidParams(what.to_owned());
        let filter = params.and_then(|params| params.get("notifications"));
        let filter = filter.and_then(|filter| RawObject::parse(filter.get()).ok());
        let filter = filter.ok_or_else(|| invalid("`notifications` must be an object"))?;
        let mut lists = Vec::new();
        for list in List::ALL {
            match filter.get(field(list)).map(RawValue::get) {
                None | Some("false") => {}
                Some("true") => lists.push(list),
                Some(_) => return Err(Failure::InvalidParams(format!("`{}` must be true or false", field(list)))),
            }
        }
        let resources: Vec<String> = match filter.get("resourceSubscriptions") {
            None => Vec::new(),
            Some(uris) => serde_json::from_str(uris.get())
                .map_err(|_| invalid("`resourceSubscriptions` must be a list of strings"))?,
        };
        if resources.len() > MAX_RESOURCES {
            return Err(invalid("`resourceSubscriptions` may name at most 1000 resources"));
        }
        if resources.iter().any(|uri| uri.len() > MAX_URI) {
            let message = format!("a URI of `resourceSubscriptions` may hold at most {MAX_URI} bytes");
            return Err(Failure::InvalidParams(message));
        }
        Ok(Self { lists, resources })
    }
}

fn stream(watch: Watch, id: Box<RawValue>, first: Bytes) -> Response {
    let state = Some((watch, id, Some(first)));
    let frames = futures::stream::unfold(state, |state| async move {
        let (mut watch, id, first) = state?;
        if let Some(first) = first {
            return Some((Ok::<_, Infallible>(first), Some((watch, id, None))));
        }
        match tokio::time::timeout(KEEP_ALIVE, watch.next()).await {
            Err(_) => Some((Ok(KEEP_ALIVE_COMMENT), Some((watch, id, None)))),
            Ok(Some(change)) => {
                let event = sse::write_event(&notification(&change, Some(&id)));
                Some((Ok(event), Some((watch, id, None))))
            }
            Ok(None) => {
                let mut result = RawWriter::object(96);
                result.raw("resultType", "\"complete\"").bytes("_meta", &meta(&id));
                Some((Ok(sse::write_event(&rpc_result(&id, &result.finish()))), None))
            }
        }
    });
    event_stream(Body::from_stream(frames))
}

fn meta(id: &RawValue) -> Vec<u8> {
    let mut meta = RawWriter::object(64);
    meta.raw(SUBSCRIPTION, id.get());
    meta.finish()
}

fn acknowledged(id: &RawValue, lists: &[List], resources: &[&str]) -> Bytes {
    let mut filter = RawWriter::object(128);
    for list in lists {
        filter.raw(field(*list), "true");
    }
    if !resources.is_empty() {
        let mut uris = Vec::from(b"[");
        for (at, uri) in resources.iter().enumerate() {
            if at > 0 {
                uris.push(b',');
            }
            push_text(&mut uris, uri);
        }
        uris.push(b']');
        filter.bytes("resourceSubscriptions", &uris);
    }
    let mut params = RawWriter::object(256);
    params.bytes("_meta", &meta(id)).bytes("notifications", &filter.finish());
    sse::write_event(&written("notifications/subscriptions/acknowledged", Some(params)))
}

/// A change as a client reads it. `subscription`: the id of the request whose stream it is for, where there is one.
pub(super) fn notification(change: &Change, subscription: Option<&RawValue>) -> Vec<u8> {
    let mut params = RawWriter::object(128);
    if let Some(id) = subscription {
        params.bytes("_meta", &meta(id));
    }
    match change {
        Change::List(list) => written(list.method(), subscription.is_some().then_some(params)),
        Change::Resource(uri) => {
            params.text("uri", uri);
            written(UPDATED, Some(params))
        }
    }
}

fn written(method: &str, params: Option<RawWriter>) -> Vec<u8> {
    let mut message = RawWriter::object(256);
    message.raw("jsonrpc", "\"2.0\"").text("method", method);
    if let Some(params) = params {
        message.bytes("params", &params.finish());
    }
    message.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(params: &str) -> Result<Filter, String> {
        Filter::read(Some(&RawObject::parse(params).unwrap())).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_filter_names_lists_and_resources() {
        let filter = read(
            r#"{"notifications":{"toolsListChanged":true,"promptsListChanged":false,"resourceSubscriptions":["a://b"],"later":1}}"#,
        );
        assert_eq!(filter.unwrap(), Filter { lists: vec![List::Tools], resources: vec!["a://b".to_owned()] });
        assert_eq!(read(r#"{"notifications":{}}"#).unwrap(), Filter { lists: Vec::new(), resources: Vec::new() });
        for bad in [
            "{}",
            r#"{"notifications":[]}"#,
            r#"{"notifications":{"toolsListChanged":1}}"#,
            r#"{"notifications":{"resourceSubscriptions":"a://b"}}"#,
            r#"{"notifications":{"resourceSubscriptions":[7]}}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let many: Vec<String> = (0..=MAX_RESOURCES).map(|n| format!("a://{n}")).collect();
        let many = json!({ "notifications": { "resourceSubscriptions": many } });
        assert!(read(&many.to_string()).unwrap_err().contains("1000"));
        let long = |length| json!({ "notifications": { "resourceSubscriptions": ["a".repeat(length)] } }).to_string();
        assert!(read(&long(MAX_URI)).is_ok() && read(&long(MAX_URI + 1)).unwrap_err().contains("8192 bytes"));
    }

    #[test]
    fn a_notification_names_its_subscription_where_there_is_one() {
        let id: Box<RawValue> = serde_json::from_str("\"s\"").unwrap();
        let text = |change: &Change, id: Option<&RawValue>| String::from_utf8(notification(change, id)).unwrap();
        assert_eq!(
            text(&Change::List(List::Tools), Some(&id)),
            r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"s"}}}"#
        );
        assert_eq!(
            text(&Change::List(List::Prompts), None),
            r#"{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}"#
        );
        assert_eq!(
            text(&Change::Resource("a://\"b\"".into()), None),
            r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a://\"b\""}}"#
        );
    }
}
