//! Plain HTTP/1.1 connections that are kept between requests and driven by whoever uses them.
//!
//! ```text
//! request ──take (or dial)──► connection ──polled by the caller, with head and body──► at rest ──► shelf
//! ```
//! hyper's pooling client gives each connection a task of its own; a request then goes from task to task and back for
//! its head and again for its body. Next door, where an exchange takes a few tens of microseconds, that is a good part
//! of it. While a connection rests, nobody polls it: what happened to it is looked at when it is taken again.

use std::{
    collections::{HashMap, VecDeque},
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header, uri::Authority};
use hyper::{
    body::{Body as _, Frame, Incoming, SizeHint},
    client::conn::http1::{Builder, Connection, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::time::{self, Instant};

use aperium_core::egress::HostPort;

use super::{ClientLimits, EgressError, connect::Connector, stream::EgressStream};

/// Dials, and keeps what was dialled.
#[derive(Clone)]
pub(super) struct Driver<C> {
    connector: C,
    builder: Builder,
    shelf: Arc<Shelf>,
}

/// One connection with what sends on it.
struct Driven {
    sender: SendRequest<Body>,
    connection: Connection<TokioIo<EgressStream>, Body>,
    ended: bool,
}

/// Connections at rest.
struct Shelf {
    at: Mutex<Resting>,
    idle_timeout: Duration,
    max_idle_per_host: usize,
}

#[derive(Default)]
struct Resting {
    by_host: HashMap<Authority, VecDeque<(Instant, Box<Driven>)>>,
    /// Somebody will look for those that have rested too long.
    swept: bool,
}

/// The body of an answer; its connection goes back to the shelf with the last byte.
pub(super) struct DrivenBody {
    incoming: Incoming,
    connection: Option<Box<Driven>>,
    /// How it broke off, until that is told.
    broken: Option<hyper::Error>,
    authority: Authority,
    shelf: Arc<Shelf>,
}

impl<C: Connector> Driver<C> {
    pub(super) fn new(connector: C, limits: &ClientLimits) -> Self {
        let mut builder = Builder::new();
        builder.max_buf_size(limits.response_head_bytes).max_headers(limits.response_headers);
        let shelf = Shelf {
            at: Mutex::default(),
            idle_timeout: limits.idle_timeout,
            max_idle_per_host: limits.max_idle_per_host,
        };
        Self { connector, builder, shelf: Arc::new(shelf) }
    }

    /// Sends the request once. Its URL has scheme and authority; `Host` is the authority unless the request has one.
    pub(super) async fn send(
        &self,
        mut request: Request<Body>,
        target: &HostPort,
    ) -> Result<Response<DrivenBody>, EgressError> {
        let authority = request.uri().authority().ok_or(EgressError::Url("no host"))?.clone();
        let mut connection = match self.shelf.take(&authority).await {
            Some(connection) => connection,
            None => Box::pin(self.dial(request.uri().clone(), target)).await?,
        };
        if !request.headers().contains_key(header::HOST) {
            let host = HeaderValue::from_str(authority.as_str()).map_err(|_| EgressError::Url("bad host"))?;
            request.headers_mut().insert(header::HOST, host);
        }
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
        let mut answer = pin!(connection.sender.try_send_request(request));
        let answered = poll_fn(|cx| {
            connection.drive(cx);
            answer.as_mut().poll(cx)
        });
        let response = answered.await.map_err(|mut error| {
            let host = target.to_string();
            let untouched = error.take_message().is_some();
            let source = Arc::new(error.into_error());
            if untouched { EgressError::Unsent { host, source } } else { EgressError::Send { host, source } }
        })?;
        let (head, incoming) = response.into_parts();
        let shelf = Arc::clone(&self.shelf);
        let mut body = DrivenBody { incoming, connection: Some(connection), broken: None, authority, shelf };
        if body.is_end_stream() {
            poll_fn(|cx| {
                body.rest(cx);
                Poll::Ready(())
            })
            .await;
        }
        Ok(Response::from_parts(head, body))
    }

    async fn dial(&self, uri: Uri, target: &HostPort) -> Result<Box<Driven>, EgressError> {
        let io = self.connector.clone().call(uri).await?;
        let (sender, connection) = self
            .builder
            .handshake(io)
            .await
            .map_err(|error| EgressError::Unsent { host: target.to_string(), source: Arc::new(error) })?;
        Ok(Box::new(Driven { sender, connection, ended: false }))
    }
}

impl Driven {
    /// Lets it read and write. How it ended is told to the request that is under way.
    fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.ended {
            self.ended = Pin::new(&mut self.connection).poll(cx).is_ready();
        }
    }

    /// Whether it takes another request.
    fn is_free(&mut self, cx: &mut Context<'_>) -> bool {
        self.drive(cx);
        !self.ended && self.sender.is_ready()
    }
}

impl Shelf {
    /// The connection that came last, unless it has been closed meanwhile.
    async fn take(&self, authority: &Authority) -> Option<Box<Driven>> {
        poll_fn(|cx| {
            while let Some(mut connection) = self.last(authority) {
                if connection.is_free(cx) {
                    return Poll::Ready(Some(connection));
                }
            }
            Poll::Ready(None)
        })
        .await
    }

    fn last(&self, authority: &Authority) -> Option<Box<Driven>> {
        let mut resting = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let host = resting.by_host.get_mut(authority)?;
        let (since, connection) = host.pop_back()?;
        if since.elapsed() < self.idle_timeout {
            return Some(connection);
        }
        // Those before it have rested even longer.
        host.clear();
        None
    }

    fn put(self: &Arc<Self>, authority: Authority, connection: Box<Driven>) {
        let mut resting = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let host = resting.by_host.entry(authority).or_default();
        if host.len() >= self.max_idle_per_host {
            return;
        }
        host.push_back((Instant::now(), connection));
        if !std::mem::replace(&mut resting.swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self), self.idle_timeout));
        }
    }

    /// Closes what has rested too long. True as long as there is something left.
    fn sweep(&self) -> bool {
        let mut resting = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        resting.by_host.retain(|_, host| {
            host.retain(|(since, _)| since.elapsed() < self.idle_timeout);
            !host.is_empty()
        });
        resting.swept = !resting.by_host.is_empty();
        resting.swept
    }
}

/// Until nothing rests any more, or the client is gone.
async fn sweep(shelf: Weak<Shelf>, every: Duration) {
    loop {
        time::sleep(every).await;
        if !shelf.upgrade().is_some_and(|shelf| shelf.sweep()) {
            return;
        }
    }
}

impl DrivenBody {
    /// Puts the connection back if it can be used again; otherwise it is closed.
    fn rest(&mut self, cx: &mut Context<'_>) {
        if let Some(mut connection) = self.connection.take()
            && connection.is_free(cx)
        {
            self.shelf.put(self.authority.clone(), connection);
        }
    }
}

impl hyper::body::Body for DrivenBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        if let Some(error) = this.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let mut polled = Pin::new(&mut this.incoming).poll_frame(cx);
        if polled.is_pending()
            && let Some(connection) = &mut this.connection
        {
            connection.drive(cx);
            polled = Pin::new(&mut this.incoming).poll_frame(cx);
        }
        match polled {
            // Bytes and their end may come at once: a server that is told of the end in the same breath drops what it
            // has not yet written to its client.
            Poll::Ready(Some(Err(error))) => {
                (this.connection, this.broken) = (None, Some(error));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            polled => {
                if matches!(polled, Poll::Ready(None)) || this.incoming.is_end_stream() {
                    this.rest(cx);
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
