//! The body of a `text/event-stream` response → its events, one after the other, each of bounded size.

use super::UpstreamError;
use super::body::UpstreamBody;
use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use std::time::Duration;

/// Reads events. Comments are dropped.
#[derive(Debug)]
pub(crate) struct SseReader<B = UpstreamBody> {
    body: B,
    parser: Parser,
    ended: bool,
}

/// One event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its name; empty for the default, which is `message`.
    pub(crate) name: String,
    /// Its data.
    pub(crate) data: Vec<u8>,
}

/// Names and ids that are longer are taken as none: no server needs them.
const MAX_FIELD: usize = 1024;

impl<B> SseReader<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    /// A reader that refuses an event of more than `max_event` bytes.
    pub(crate) fn new(body: B, max_event: usize) -> Self {
        Self { body, parser: Parser { max_event, ..Parser::default() }, ended: false }
    }

    /// The data of the next event; `None` when the stream has ended.
    ///
    /// # Errors
    /// [`UpstreamError::TooLarge`], [`UpstreamError::Broken`].
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, UpstreamError> {
        Ok(self.next_event().await?.map(|event| event.data))
    }

    /// The id that the stream gave last: where it may be taken up again.
    pub(crate) fn last_id(&self) -> Option<&str> {
        self.parser.last_id.as_deref()
    }

    /// How long the server wants to be left alone before the stream is taken up again.
    pub(crate) fn retry(&self) -> Option<Duration> {
        self.parser.retry
    }

    /// The next event; `None` when the stream has ended.
    ///
    /// # Errors
    /// [`UpstreamError::TooLarge`], [`UpstreamError::Broken`].
    pub(crate) async fn next_event(&mut self) -> Result<Option<Event>, UpstreamError> {
        loop {
            if let Some(event) = self.parser.event()? {
                return Ok(Some(event));
            }
            if self.ended {
                return Ok(None);
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.parser.buffer.extend_from_slice(&bytes);
                    }
                }
                Some(Err(_)) => return Err(UpstreamError::Broken),
                None => self.ended = true,
            }
        }
    }
}

/// Lines → events (WHATWG HTML, "Interpreting an event stream").
#[derive(Debug, Default)]
struct Parser {
    buffer: BytesMut,
    /// So much of the buffer holds no line end: a line that comes in drops is searched once, not once a drop.
    searched: usize,
    name: String,
    data: Vec<u8>,
    id: Option<String>,
    last_id: Option<String>,
    retry: Option<Duration>,
    max_event: usize,
    after_cr: bool,
}

impl Parser {
    fn event(&mut self) -> Result<Option<Event>, UpstreamError> {
        while let Some(line) = self.line() {
            if line.is_empty() {
                // An id counts even where no data goes with it.
                if let Some(id) = self.id.take() {
                    self.last_id = Some(id);
                }
                let name = std::mem::take(&mut self.name);
                if !self.data.is_empty() {
                    return Ok(Some(Event { name, data: std::mem::take(&mut self.data) }));
                }
                continue;
            }
            self.field(&line);
            if self.data.len() > self.max_event {
                return Err(UpstreamError::TooLarge(self.max_event));
            }
        }
        // An unfinished line counts as well: one that never ends must not fill the memory.
        if self.data.len() + self.buffer.len() > self.max_event {
            return Err(UpstreamError::TooLarge(self.max_event));
        }
        Ok(None)
    }

    fn field(&mut self, line: &[u8]) {
        let (name, value) = match line.iter().position(|b| *b == b':') {
            Some(colon) => {
                let (name, value) = line.split_at(colon);
                let value = value.get(1..).unwrap_or_default();
                (name, value.strip_prefix(b" ".as_slice()).unwrap_or(value))
            }
            None => (line, &[][..]),
        };
        if name == b"data" {
            if !self.data.is_empty() {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value);
            return;
        }
        let Some(text) = std::str::from_utf8(value).ok().filter(|text| text.len() <= MAX_FIELD) else { return };
        match name {
            b"event" => text.clone_into(&mut self.name),
            b"id" if !text.contains('\0') => self.id = Some(text.to_owned()),
            b"retry" => self.retry = text.parse().ok().map(Duration::from_millis).or(self.retry),
            _ => {}
        }
    }

    /// Takes one line off the buffer. Lines end with LF, CR or CR LF.
    fn line(&mut self) -> Option<BytesMut> {
        if self.after_cr && self.buffer.first() == Some(&b'\n') {
            self.buffer.advance(1);
        }
        if !self.buffer.is_empty() {
            self.after_cr = false;
        }
        let unseen = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(end) = unseen.iter().position(|b| matches!(b, b'\n' | b'\r')).map(|at| at + self.searched) else {
            self.searched = self.buffer.len();
            return None;
        };
        self.searched = 0;
        let line = self.buffer.split_to(end);
        self.after_cr = self.buffer.first() == Some(&b'\r');
        self.buffer.advance(1);
        Some(line)
    }
}

/// One event that carries a JSON-RPC message. Line ends inside the message (between its tokens) become lines of data.
pub(crate) fn write_event(message: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(message.len() + 32);
    out.extend_from_slice(b"event: message\ndata: ");
    for byte in message {
        match byte {
            b'\r' => {}
            b'\n' => out.extend_from_slice(b"\ndata: "),
            other => out.push(*other),
        }
    }
    out.extend_from_slice(b"\n\n");
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt as _;
    use http_body_util::StreamBody;

    async fn read(chunks: &[&str], max: usize) -> Result<Vec<String>, UpstreamError> {
        let frames: Vec<Result<_, std::io::Error>> =
            chunks.iter().map(|c| Ok(hyper::body::Frame::data(Bytes::copy_from_slice(c.as_bytes())))).collect();
        let body = StreamBody::new(futures::stream::iter(frames).boxed());
        let mut reader = SseReader::new(body, max);
        let mut events = Vec::new();
        while let Some(data) = reader.next().await? {
            events.push(String::from_utf8(data).unwrap());
        }
        Ok(events)
    }

    #[tokio::test]
    async fn events_are_found_whatever_the_chunks_and_line_ends() {
        let text =
            ": hello\nevent: message\nid: 1\ndata: {\"a\":1}\n\ndata:x\r\ndata: y\r\n\r\nretry: 5\rdata: z\r\rdata\n\n";
        let expected = ["{\"a\":1}", "x\ny", "z"];
        assert_eq!(read(&[text], 1000).await.unwrap(), expected);
        let bytes: Vec<String> = text.chars().map(String::from).collect();
        let drip: Vec<&str> = bytes.iter().map(String::as_str).collect();
        assert_eq!(read(&drip, 1000).await.unwrap(), expected);
    }

    #[tokio::test]
    async fn an_event_that_the_stream_cuts_off_does_not_count() {
        assert!(read(&["data: half"], 1000).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn names_ids_and_retry_hints_are_read() {
        let text =
            "event: endpoint\ndata: /m?x=1\n\nid: 7\nretry: 500\ndata: \n\ndata: x\nid: 8\n\nretry: soon\nid: 9\n";
        let frame = Ok::<_, std::io::Error>(hyper::body::Frame::data(Bytes::from(text)));
        let mut reader = SseReader::new(StreamBody::new(futures::stream::iter([frame])), 100);
        let event = |name: &str, data: &str| Some(Event { name: name.to_owned(), data: data.into() });
        assert_eq!(reader.next_event().await.unwrap(), event("endpoint", "/m?x=1"));
        assert_eq!((reader.last_id(), reader.retry()), (None, None));
        assert_eq!(reader.next_event().await.unwrap(), event("", "x"));
        assert_eq!((reader.last_id(), reader.retry()), (Some("8"), Some(Duration::from_millis(500))));
        assert_eq!(reader.next_event().await.unwrap(), None);
        assert_eq!(reader.last_id(), Some("8"), "an event that the stream cuts off does not count");
    }

    #[tokio::test]
    async fn an_event_or_line_without_end_is_refused() {
        let long = "x".repeat(600);
        assert!(matches!(read(&["data: ", &long, &long], 1000).await, Err(UpstreamError::TooLarge(1000))));
        let lines = format!("data: {long}\n").repeat(2);
        assert!(matches!(read(&[&lines], 1000).await, Err(UpstreamError::TooLarge(1000))));
        let comments = ": nothing\n".repeat(1000);
        assert_eq!(read(&[&comments, "data: x\n\n"], 20_000).await.unwrap(), ["x"]);
    }

    #[tokio::test]
    async fn a_message_with_line_ends_survives_writing_and_reading() {
        let event = write_event(b"{\"a\":\r\n 1}");
        let text = String::from_utf8(event.to_vec()).unwrap();
        assert_eq!(read(&[&text], 1000).await.unwrap(), ["{\"a\":\n 1}"]);
    }
}
