//! An answer that repeats our credential → the same answer with asterisks in its place (security M21).
//!
//! A mask has the length of what it covers, so that lengths and framing stay true. What is compressed is not looked
//! into: the gateway asks upstreams for no compression on its own.

use super::spellings;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame, SizeHint};
use memchr::memmem::Finder;
use secrecy::{ExposeSecret as _, SecretString};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Shorter values are not looked for: too much of an honest answer would be covered.
const MIN_LENGTH: usize = 8;

/// What must not come back.
pub(super) struct Mask {
    /// Longest first: a value that holds another one is covered whole.
    needles: Vec<(Finder<'static>, SecretString)>,
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask(..)")
    }
}

impl Mask {
    /// A mask over these values, as they are and in every spelling of JSON, URLs, forms and HTML; `None` when all are too short.
    pub(super) fn over(values: &[&str]) -> Option<Arc<Self>> {
        let mut texts: Vec<String> = Vec::new();
        for value in values {
            for text in spellings::of(value) {
                if text.len() >= MIN_LENGTH && !texts.contains(&text) {
                    texts.push(text);
                }
            }
        }
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        let finder = |text: &String| Finder::new(text.as_bytes()).into_owned();
        let needles: Vec<_> = texts.into_iter().map(|text| (finder(&text), SecretString::from(text))).collect();
        (!needles.is_empty()).then(|| Arc::new(Self { needles }))
    }

    /// Leaves out all headers that hold one of the values.
    pub(super) fn strip(&self, headers: &mut HeaderMap) {
        let leaking: Vec<HeaderName> = headers
            .iter()
            .filter(|(_, value)| self.needles.iter().any(|(finder, _)| finder.find(value.as_bytes()).is_some()))
            .map(|(name, _)| name.clone())
            .collect();
        for name in leaking {
            headers.remove(name);
        }
    }

    /// The bytes with every value covered; those that hold none are handed back as they came.
    fn cover(&self, bytes: Bytes) -> Bytes {
        if self.needles.iter().all(|(finder, _)| finder.find(&bytes).is_none()) {
            return bytes;
        }
        let mut covered = BytesMut::from(bytes);
        for (finder, needle) in &self.needles {
            let length = needle.expose_secret().len();
            let starts: Vec<usize> = finder.find_iter(&covered).collect();
            for start in starts {
                if let Some(found) = covered.get_mut(start..start + length) {
                    found.fill(b'*');
                }
            }
        }
        covered.freeze()
    }

    /// How many bytes at the end may be the beginning of a value.
    fn open_end(&self, bytes: &[u8]) -> usize {
        let open = |needle: &SecretString| {
            let needle = needle.expose_secret().as_bytes();
            let longest = bytes.len().min(needle.len().saturating_sub(1));
            (1..=longest).rev().find(|length| bytes.ends_with(needle.get(..*length).unwrap_or_default())).unwrap_or(0)
        };
        self.needles.iter().map(|(_, needle)| open(needle)).max().unwrap_or(0)
    }
}

/// A body whose bytes are masked on their way. Nothing is held back but what may be the beginning of a value.
#[derive(Debug)]
pub(crate) struct Masked<B> {
    inner: B,
    /// None where there is nothing to look for: the body passes untouched.
    masking: Option<Box<Masking>>,
}

#[derive(Debug)]
struct Masking {
    mask: Arc<Mask>,
    held: Bytes,
    trailers: Option<HeaderMap>,
    ended: bool,
}

impl Masking {
    /// What of the held and the new bytes may go on.
    fn pass(&mut self, data: Bytes) -> Bytes {
        let whole = if self.held.is_empty() {
            data
        } else {
            let mut whole = BytesMut::with_capacity(self.held.len() + data.len());
            whole.extend_from_slice(&self.held);
            whole.extend_from_slice(&data);
            whole.freeze()
        };
        let mut covered = self.mask.cover(whole);
        self.held = covered.split_off(covered.len() - self.mask.open_end(&covered));
        covered
    }

    /// What is left when the body has ended.
    fn rest(&mut self) -> Option<Frame<Bytes>> {
        if !self.held.is_empty() {
            return Some(Frame::data(std::mem::take(&mut self.held)));
        }
        self.trailers.take().map(Frame::trailers)
    }
}

impl<B> Masked<B> {
    pub(super) fn new(inner: B, mask: Option<Arc<Mask>>) -> Self {
        let masking = |mask| Box::new(Masking { mask, held: Bytes::new(), trailers: None, ended: false });
        Self { inner, masking: mask.map(masking) }
    }
}

impl<B> Body for Masked<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        let Some(masking) = &mut this.masking else { return Pin::new(&mut this.inner).poll_frame(cx) };
        while !masking.ended {
            let Some(frame) = ready!(Pin::new(&mut this.inner).poll_frame(cx)) else {
                masking.ended = true;
                break;
            };
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => {
                    let data = masking.pass(data);
                    if !data.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                }
                Ok(Err(other)) => {
                    // Nothing follows trailers; they wait for the bytes that were held back.
                    if let Ok(mut trailers) = other.into_trailers() {
                        masking.mask.strip(&mut trailers);
                        masking.trailers = Some(trailers);
                    }
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        Poll::Ready(masking.rest().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        match &self.masking {
            None => self.inner.is_end_stream(),
            Some(masking) => {
                masking.held.is_empty() && masking.trailers.is_none() && (masking.ended || self.inner.is_end_stream())
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.masking.as_ref().map_or(0, |masking| masking.held.len() as u64);
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + held);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + held);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt as _;
    use http_body_util::{BodyExt as _, StreamBody};

    async fn through(mask: &Arc<Mask>, chunks: &[&[u8]]) -> Vec<Bytes> {
        let frames: Vec<Result<_, std::io::Error>> =
            chunks.iter().map(|chunk| Ok(Frame::data(Bytes::copy_from_slice(chunk)))).collect();
        let mut body = Masked::new(StreamBody::new(futures::stream::iter(frames).boxed()), Some(Arc::clone(mask)));
        let mut seen = Vec::new();
        while let Some(frame) = body.frame().await {
            seen.push(frame.unwrap().into_data().unwrap());
        }
        seen
    }

    #[tokio::test]
    async fn a_value_is_covered_wherever_the_chunks_are_cut() {
        let mask = Mask::over(&["sk-live-12345"]).unwrap();
        let text = b"{\"error\":\"bad key sk-live-12345, again sk-live-sk-live-12345\"}";
        let expected = "{\"error\":\"bad key *************, again sk-live-*************\"}";
        for cut in 0..=text.len() {
            for second in [cut, (cut + 3).min(text.len())] {
                let seen = through(&mask, &[&text[..cut], &text[cut..second], &text[second..]]).await.concat();
                assert_eq!(String::from_utf8(seen).unwrap(), expected, "cut at {cut} and {second}");
            }
        }
        let drip: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(through(&mask, &drip).await.concat(), expected.as_bytes());
    }

    #[tokio::test]
    async fn every_spelling_is_covered() {
        let value = "pass/wo\"rd+1";
        let mask = Mask::over(&[value]).unwrap();
        for spelling in spellings::of(value) {
            let seen = through(&mask, &[b"<", spelling.as_bytes(), b">"]).await.concat();
            assert_eq!(String::from_utf8(seen).unwrap(), format!("<{}>", "*".repeat(spelling.len())), "{spelling}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_the_beginning_of_a_value_is_not_held_back() {
        let mask = Mask::over(&["sk-live-12345"]).unwrap();
        assert_eq!(through(&mask, &[b"data: x\n\n", b"data: s", b"o"]).await, ["data: x\n\n", "data: ", "so"]);
    }

    #[test]
    fn short_values_are_left_alone_and_none_is_shown() {
        assert!(Mask::over(&["short", ""]).is_none());
        let mask = Mask::over(&["sk-live-12345"]).unwrap();
        assert!(!format!("{mask:?}").contains("live"));
    }

    #[test]
    fn headers_that_repeat_a_value_are_left_out() {
        let mask = Mask::over(&["sk-live-12345"]).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("x-echo", "Bearer sk-live-12345".parse().unwrap());
        headers.append("x-other", "fine".parse().unwrap());
        mask.strip(&mut headers);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["x-other"], "fine");
    }
}
