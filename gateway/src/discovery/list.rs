//! `tools/list` of one upstream, all pages of it, within bounds.

use crate::era::Era;
use crate::pipeline::upstream::answer::Outcome;
use crate::pipeline::upstream::translate::own_meta;
use crate::pipeline::upstream::{Along, Post, Session, Upstream, UpstreamError};
use crate::raw::{RawObject, push_text};
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::sync::Arc;

/// The most pages of one list.
const MAX_PAGES: usize = 1000;

impl Upstream {
    /// The definitions of all tools, as they were sent.
    ///
    /// # Errors
    /// [`UpstreamError`]; after any of them the next list agrees on the version anew.
    pub(crate) async fn list_tools(&self) -> Result<Vec<Box<RawValue>>, UpstreamError> {
        let session = self.session().await?;
        let listed = self.pages(&session).await;
        if listed.is_err() {
            self.forget(&session);
        }
        listed
    }

    async fn pages(&self, session: &Arc<Session>) -> Result<Vec<Box<RawValue>>, UpstreamError> {
        let limits = self.limits();
        let mut tools: Vec<Box<RawValue>> = Vec::new();
        let mut bytes = 0;
        let mut seen: HashSet<String> = HashSet::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let page = self.page(session, cursor.as_deref()).await?;
            for tool in page.tools {
                bytes += tool.get().len();
                tools.push(tool);
            }
            if tools.len() > limits.max_tools {
                return Err(UpstreamError::Protocol("it lists more tools than are allowed"));
            }
            if bytes > limits.max_answer {
                return Err(UpstreamError::TooLarge(limits.max_answer));
            }
            // An empty cursor is a cursor.
            let Some(next) = page.next else { return Ok(tools) };
            if !seen.insert(next.clone()) {
                return Err(UpstreamError::Protocol("its list repeats a cursor"));
            }
            cursor = Some(next);
        }
        Err(UpstreamError::Protocol("its list has more than 1000 pages"))
    }

    async fn page(&self, session: &Arc<Session>, cursor: Option<&str>) -> Result<Page, UpstreamError> {
        let id = self.next_id();
        let post = Post {
            body: request(id, session.era(), cursor),
            method: "tools/list",
            name: None,
            along: &Along::default(),
        };
        let (_, whole) = self.ask(session, id, post).await?;
        match whole.outcome()? {
            Outcome::Result(result) => {
                Page::read(result).ok_or(UpstreamError::Protocol("tools/list gives no list of tools"))
            }
            // A server without tools has an empty list.
            Outcome::Error(error) if is_method_not_found(error) => Ok(Page { tools: Vec::new(), next: None }),
            Outcome::Error(_) => Err(UpstreamError::Protocol("tools/list failed")),
        }
    }
}

fn request(id: u64, era: Era, cursor: Option<&str>) -> Vec<u8> {
    let mut params: Vec<u8> = Vec::from(b"{");
    if let Some(cursor) = cursor {
        params.extend_from_slice(b"\"cursor\":");
        push_text(&mut params, cursor);
    }
    if era == Era::Stateless {
        if cursor.is_some() {
            params.push(b',');
        }
        params.extend_from_slice(b"\"_meta\":");
        params.extend_from_slice(own_meta().as_bytes());
    }
    params.push(b'}');
    let mut body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list","params":"#).into_bytes();
    body.extend_from_slice(&params);
    body.push(b'}');
    body
}

struct Page {
    tools: Vec<Box<RawValue>>,
    next: Option<String>,
}

impl Page {
    fn read(result: &RawValue) -> Option<Self> {
        let result = RawObject::parse(result.get()).ok()?;
        let tools: Vec<Box<RawValue>> = serde_json::from_str(result.get("tools")?.get()).ok()?;
        Some(Self { tools, next: result.text("nextCursor").map(std::borrow::Cow::into_owned) })
    }
}

fn is_method_not_found(error: &RawValue) -> bool {
    RawObject::parse(error.get()).is_ok_and(|error| error.get("code").is_some_and(|code| code.get() == "-32601"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_carries_the_cursor_and_what_its_era_wants() {
        let text = |era, cursor| String::from_utf8(request(3, era, cursor)).unwrap();
        assert_eq!(text(Era::Legacy, None), r#"{"jsonrpc":"2.0","id":3,"method":"tools/list","params":{}}"#);
        assert!(text(Era::Legacy, Some("a\"b")).ends_with(r#""params":{"cursor":"a\"b"}}"#));
        let stateless: serde_json::Value = serde_json::from_str(&text(Era::Stateless, Some(""))).unwrap();
        assert_eq!(stateless["params"]["cursor"], "");
        assert_eq!(stateless["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    }
}
