//! Everything that one upstream offers: what it says of itself, and its lists, all pages of them, within bounds.

use crate::era::Era;
use crate::pipeline::upstream::about::About;
use crate::pipeline::upstream::answer::Outcome;
use crate::pipeline::upstream::translate::own_meta;
use crate::pipeline::upstream::{Along, Post, Session, Upstream, UpstreamError};
use crate::raw::{RawObject, push_text};
use crate::snapshot::{Kind, PerKind};
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// The most pages of one list.
const MAX_PAGES: usize = 1000;

/// Everything that an upstream offers, as it was sent.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// What it says of itself.
    pub(crate) about: Arc<About>,
    /// The definitions of each kind.
    pub(crate) lists: PerKind<Vec<Box<RawValue>>>,
    /// How long the lists are good for, in its own opinion: the least of what it says of each (`ttlMs` of the
    /// specification 2026-07-28, "Caching"). None: it says nothing, or zero, which servers say that have no opinion.
    pub(crate) good_for: Option<Duration>,
}

impl PartialEq for Listing {
    fn eq(&self, other: &Self) -> bool {
        let same = |a: &[Box<RawValue>], b: &[Box<RawValue>]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.get() == b.get())
        };
        // For how long they are good says nothing about what they are.
        self.about == other.about && Kind::ALL.iter().all(|kind| same(self.lists.of(*kind), other.lists.of(*kind)))
    }
}

/// Why one list could not be had.
enum ListError {
    /// The upstream answered, with an error: it is there, this list is not.
    Answered(&'static str),
    /// Anything else: nothing can be said about the upstream.
    Failed(UpstreamError),
}

impl From<UpstreamError> for ListError {
    fn from(error: UpstreamError) -> Self {
        Self::Failed(error)
    }
}

impl Upstream {
    /// All that it offers.
    ///
    /// Tools are always asked for: servers exist that declare nothing. The other kinds are asked for where they are
    /// declared, and one of these lists that the upstream answers with an error counts as empty: a broken list of
    /// prompts must not take the tools away.
    ///
    /// # Errors
    /// [`UpstreamError`]; after any of them the next listing agrees on the version anew.
    pub(crate) async fn listing(&self) -> Result<Listing, UpstreamError> {
        let session = self.session().await?;
        let about = self.about();
        let mut listing = Listing { about: Arc::clone(&about), ..Listing::default() };
        for kind in Kind::ALL {
            if kind != Kind::Tools && !about.declares(kind.capability()) {
                continue;
            }
            match self.pages(&session, kind).await {
                Ok((definitions, good_for)) => {
                    *listing.lists.of_mut(kind) = definitions;
                    listing.good_for = shorter(listing.good_for, good_for);
                }
                Err(ListError::Answered(why)) if kind != Kind::Tools => {
                    tracing::warn!(method = kind.list_method(), why, "a list of an upstream is left empty");
                }
                Err(ListError::Answered(why)) => {
                    self.forget(&session);
                    return Err(UpstreamError::Protocol(why));
                }
                Err(ListError::Failed(error)) => {
                    self.forget(&session);
                    return Err(error);
                }
            }
        }
        Ok(listing)
    }

    async fn pages(
        &self,
        session: &Arc<Session>,
        kind: Kind,
    ) -> Result<(Vec<Box<RawValue>>, Option<Duration>), ListError> {
        let limits = self.limits();
        let mut all: Vec<Box<RawValue>> = Vec::new();
        let mut bytes = 0;
        let mut good_for = None;
        let mut seen: HashSet<String> = HashSet::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let page = self.page(session, kind, cursor.as_deref()).await?;
            // Cursors are kept until the list ends, so they count as well.
            bytes += page.items.iter().map(|item| item.get().len()).sum::<usize>();
            bytes += page.next.as_ref().map_or(0, String::len);
            all.extend(page.items);
            good_for = shorter(good_for, page.good_for);
            if all.len() > limits.max_tools {
                return Err(ListError::Answered("a list of it is longer than allowed"));
            }
            if bytes > limits.max_answer {
                return Err(UpstreamError::TooLarge(limits.max_answer).into());
            }
            // An empty cursor is a cursor.
            let Some(next) = page.next else { return Ok((all, good_for)) };
            if !seen.insert(next.clone()) {
                return Err(ListError::Answered("a list of it repeats a cursor"));
            }
            cursor = Some(next);
        }
        Err(ListError::Answered("a list of it has more than 1000 pages"))
    }

    async fn page(&self, session: &Arc<Session>, kind: Kind, cursor: Option<&str>) -> Result<Page, ListError> {
        let id = self.next_id();
        let method = kind.list_method();
        let post =
            Post { body: request(id, method, session.era(), cursor), method, name: None, along: &Along::default() };
        let (_, whole) = self.ask(session, id, post).await?;
        match whole.outcome()? {
            Outcome::Result(result) => {
                Page::read(result, kind).ok_or(ListError::Answered("what should be a list of it is none"))
            }
            // A server without the method has an empty list.
            Outcome::Error(error) if is_method_not_found(error) => {
                Ok(Page { items: Vec::new(), next: None, good_for: None })
            }
            Outcome::Error(_) => Err(ListError::Answered("it answers a list with an error")),
        }
    }
}

fn request(id: u64, method: &str, era: Era, cursor: Option<&str>) -> Vec<u8> {
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
    let mut body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":"#).into_bytes();
    body.extend_from_slice(&params);
    body.push(b'}');
    body
}

/// The shorter of two, where both are said.
fn shorter(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    a.into_iter().chain(b).min()
}

struct Page {
    items: Vec<Box<RawValue>>,
    next: Option<String>,
    good_for: Option<Duration>,
}

impl Page {
    fn read(result: &RawValue, kind: Kind) -> Option<Self> {
        let result = RawObject::parse(result.get()).ok()?;
        let items: Vec<Box<RawValue>> = serde_json::from_str(result.get(kind.list_field())?.get()).ok()?;
        let good_for = result.get("ttlMs").and_then(|ttl| ttl.get().parse().ok()).filter(|ttl| *ttl > 0);
        Some(Self {
            items,
            next: result.text("nextCursor").map(std::borrow::Cow::into_owned),
            good_for: good_for.map(Duration::from_millis),
        })
    }
}

fn is_method_not_found(error: &RawValue) -> bool {
    RawObject::parse(error.get()).is_ok_and(|error| error.get("code").is_some_and(|code| code.get() == "-32601"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_say_how_long_it_is_good_for() {
        let page = |text: &str| Page::read(&serde_json::from_str::<Box<RawValue>>(text).unwrap(), Kind::Tools).unwrap();
        assert_eq!(page(r#"{"tools":[],"ttlMs":1500}"#).good_for, Some(Duration::from_millis(1500)));
        for none in [
            r#"{"tools":[]}"#,
            r#"{"tools":[],"ttlMs":0}"#,
            r#"{"tools":[],"ttlMs":-1}"#,
            r#"{"tools":[],"ttlMs":"5"}"#,
        ] {
            assert_eq!(page(none).good_for, None, "{none}");
        }
        let (one, two) = (Some(Duration::from_secs(1)), Some(Duration::from_secs(2)));
        assert_eq!((shorter(one, two), shorter(None, two), shorter(None, None)), (one, two, None));
    }

    #[test]
    fn a_request_carries_the_cursor_and_what_its_era_wants() {
        let text = |era, cursor| String::from_utf8(request(3, "tools/list", era, cursor)).unwrap();
        assert_eq!(text(Era::Legacy, None), r#"{"jsonrpc":"2.0","id":3,"method":"tools/list","params":{}}"#);
        assert!(text(Era::Legacy, Some("a\"b")).ends_with(r#""params":{"cursor":"a\"b"}}"#));
        let stateless: serde_json::Value = serde_json::from_str(&text(Era::Stateless, Some(""))).unwrap();
        assert_eq!(stateless["params"]["cursor"], "");
        assert_eq!(stateless["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    }
}
