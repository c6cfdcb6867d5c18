//! The stream below the HTTP parser: bytes of a connection in, the same bytes out as long as their framing is beyond
//! doubt. A request that is not gets no further than here.
//!
//! A head goes on when it is complete and was judged. In place of one that is refused the parser is given a harmless
//! request, and [`Verdict`] says that this one is to be answered with the refusal: so answers keep their order.

use std::{
    io,
    pin::Pin,
    sync::OnceLock,
    sync::{Arc, atomic::AtomicU64, atomic::Ordering},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{self, Sleep},
};

use super::{
    chunks::Chunks,
    head::{self, Framing, Scan},
    refusal::Refusal,
};

/// What the parser is given in place of a refused request.
const HARMLESS: &[u8] = b"GET / HTTP/1.1\r\nhost: refused.invalid\r\nconnection: close\r\n\r\n";

/// Bytes after a refused head that are read and dropped, so that the answer is not lost in a reset connection.
const MAX_DROPPED: usize = 256 * 1024;

/// Which request of the connection is refused, and why. Shared by the stream and the handler.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    refused: OnceLock<(u64, Refusal)>,
    handled: AtomicU64,
}

impl Verdict {
    /// To be asked once for each request that the parser has read, in order.
    pub(super) fn of_next(&self) -> Option<Refusal> {
        let number = self.handled.fetch_add(1, Ordering::Relaxed);
        self.refused.get().filter(|(at, _)| *at == number).map(|(_, refusal)| *refusal)
    }
}

/// Limits of a guarded stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes of a head.
    pub(super) head_bytes: usize,
    /// Headers of a head.
    pub(super) headers: usize,
    /// How long the peer may take none of the bytes that are written.
    pub(super) write_pause: Duration,
}

#[derive(Debug)]
enum State {
    /// In a head.
    Head,
    /// In a body of so many bytes.
    Length(u64),
    /// In a chunked body.
    Chunked(Chunks),
    /// A request was refused; so many bytes have been dropped since.
    Refused(usize),
    /// A body is malformed: the connection ends.
    Broken,
}

/// A stream whose requests are judged.
#[derive(Debug)]
pub(super) struct Guard<S> {
    inner: S,
    limits: Limits,
    verdict: Arc<Verdict>,
    state: State,
    /// Heads that went on.
    heads: u64,
    /// The beginning of a head that is not complete, and how far it was looked at.
    held: Vec<u8>,
    scan: Scan,
    /// What was held and may go on now.
    released: Vec<u8>,
    released_at: usize,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<S> Guard<S> {
    pub(super) fn new(inner: S, limits: Limits, verdict: Arc<Verdict>) -> Self {
        Self {
            inner,
            limits,
            verdict,
            state: State::Head,
            heads: 0,
            held: Vec::new(),
            scan: Scan::default(),
            released: Vec::new(),
            released_at: 0,
            pause: None,
        }
    }

    /// How many of the bytes may go on. The rest is the beginning of a head, or of something that is refused.
    fn judge(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match &mut self.state {
                State::Head => match self.scan.end(rest) {
                    Ok(Some(end)) => {
                        self.scan = Scan::default();
                        let head = rest.get(..end).unwrap_or_default();
                        if head.len() > self.limits.head_bytes {
                            self.refuse(Refusal::HeadSize);
                            break;
                        }
                        match head::judge(head, self.limits.headers) {
                            Ok(framing) => {
                                self.heads += 1;
                                at += end;
                                self.state = match framing {
                                    Framing::Length(0) => State::Head,
                                    Framing::Length(length) => State::Length(length),
                                    Framing::Chunked => State::Chunked(Chunks::START),
                                };
                            }
                            Err(refusal) => self.refuse(refusal),
                        }
                    }
                    Ok(None) if rest.len() > self.limits.head_bytes => self.refuse(Refusal::HeadSize),
                    Ok(None) => break,
                    Err(refusal) => self.refuse(refusal),
                },
                State::Length(left) => {
                    let piece = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    at += piece;
                    *left -= piece as u64;
                    if *left == 0 {
                        self.state = State::Head;
                    }
                }
                State::Chunked(chunks) => match chunks.read(rest) {
                    Ok((read, ended)) => {
                        at += read;
                        if ended {
                            self.state = State::Head;
                        }
                    }
                    Err((good, _)) => {
                        at += good;
                        self.state = State::Broken;
                    }
                },
                State::Refused(_) | State::Broken => break,
            }
        }
        at
    }

    fn refuse(&mut self, refusal: Refusal) {
        let _ = self.verdict.refused.set((self.heads, refusal));
        self.state = State::Refused(0);
        self.released.extend_from_slice(HARMLESS);
    }

    /// Hands out what was held.
    fn release(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let rest = self.released.get(self.released_at..).unwrap_or_default();
        if rest.is_empty() {
            return false;
        }
        let piece = rest.len().min(buf.remaining());
        buf.put_slice(rest.get(..piece).unwrap_or_default());
        self.released_at += piece;
        if self.released_at == self.released.len() {
            self.released = Vec::new();
            self.released_at = 0;
        }
        true
    }

    /// Judges what is held together with what has come; what may go on is released.
    fn judge_held(&mut self) {
        let held = std::mem::take(&mut self.held);
        let good = self.judge_into(&held);
        if matches!(self.state, State::Head) {
            self.held = held.get(good..).unwrap_or_default().to_vec();
        }
    }

    fn judge_into(&mut self, bytes: &[u8]) -> usize {
        // A refusal appends its own bytes, which come after those that are good.
        let before = self.released.len();
        let good = self.judge(bytes);
        let appended = self.released.split_off(before);
        self.released.extend_from_slice(bytes.get(..good).unwrap_or_default());
        self.released.extend_from_slice(&appended);
        good
    }
}

impl<S: AsyncRead + Unpin> Guard<S> {
    /// Straight into the parser's buffer: nearly all heads come in one piece and are never copied.
    fn poll_straight(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let new = buf.filled().get(before..).unwrap_or_default();
        if new.is_empty() {
            return Poll::Ready(Ok(true));
        }
        let good = self.judge(new);
        if matches!(self.state, State::Head) && good < new.len() {
            self.held = new.get(good..).unwrap_or_default().to_vec();
        }
        buf.set_filled(before + good);
        // Nothing at all would mean the end of the connection.
        Poll::Ready(Ok(good > 0))
    }

    /// More of a head that is not complete. True at the end of the connection.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut piece = [0; 4096];
        let mut piece = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut piece))?;
        if piece.filled().is_empty() {
            return Poll::Ready(Ok(true));
        }
        self.held.extend_from_slice(piece.filled());
        self.judge_held();
        Poll::Ready(Ok(false))
    }

    /// What comes after a refused head, to nowhere.
    fn poll_dropped(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let State::Refused(dropped) = &mut self.state else { return Poll::Pending };
        let mut piece = [0; 4096];
        while *dropped < MAX_DROPPED {
            let mut piece = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            *dropped += piece.filled().len();
        }
        // The answer is on its way, and the connection ends with it.
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.release(buf) {
                return Poll::Ready(Ok(()));
            }
            match &self.state {
                State::Broken => return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "malformed body"))),
                State::Refused(_) => return self.poll_dropped(cx),
                State::Head if !self.held.is_empty() => {
                    if ready!(self.poll_held(cx))? {
                        return Poll::Ready(Ok(()));
                    }
                }
                _ => {
                    if ready!(self.poll_straight(cx, buf))? {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Guard<S> {
    /// A peer that takes nothing for too long is gone: it would keep the connection's place for ever.
    fn paused<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.pause = None;
            return outcome;
        }
        let limit = self.limits.write_pause;
        let pause = self.pause.get_or_insert_with(|| Box::pin(time::sleep(limit)));
        ready!(pause.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.paused(cx, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.paused(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(cx);
        self.paused(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
