//! A raw HTTP server on loopback that counts what reaches it and answers as it was told.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What the canary does with a request.
#[derive(Clone)]
pub(super) enum Reply {
    /// These bytes, and the connection stays open.
    Keep(Vec<u8>),
    /// These bytes, and then the connection is closed without having announced it.
    Last(Vec<u8>),
    /// Reads the request and closes the connection without a word.
    Hang,
    /// Reads the request and says nothing for as long as the other side waits.
    Silent,
}

#[derive(Clone)]
pub(super) struct Canary {
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Canary {
    /// Answers the first request with the first reply and so on; the last reply stands for all further ones.
    pub(super) async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let canary = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            closed: Arc::default(),
            requests: Arc::default(),
        };
        let serving = canary.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::SeqCst);
                let (serving, replies) = (serving.clone(), replies.clone());
                tokio::spawn(async move {
                    serving.clone().serve(stream, replies).await;
                    serving.closed.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        canary
    }

    pub(super) async fn ok() -> Self {
        Self::start(vec![keep("200 OK", "", "hello")]).await
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many of them have ended, on whichever side.
    pub(super) fn closed(&self) -> usize {
        self.closed.load(Ordering::SeqCst)
    }

    /// Waits until this many connections were accepted.
    pub(super) async fn accepted(&self, connections: usize) {
        let waiting = async {
            while self.connections() < connections {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap();
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    async fn serve(self, mut stream: TcpStream, replies: Vec<Reply>) {
        let mut buffer = Vec::new();
        while let Some(request) = next_request(&mut stream, &mut buffer).await {
            let number = {
                let mut requests = self.requests.lock().unwrap();
                requests.push(request);
                requests.len() - 1
            };
            match replies.get(number).or(replies.last()) {
                Some(Reply::Keep(bytes)) => {
                    if stream.write_all(bytes).await.is_err() {
                        return;
                    }
                }
                Some(Reply::Last(bytes)) => {
                    let _ = stream.write_all(bytes).await;
                    // Closes a little later each time, so that the close meets the next request at every stage.
                    let closes = Instant::now() + Duration::from_micros(u64::try_from(number % 100).unwrap() * 5);
                    while Instant::now() < closes {
                        std::hint::spin_loop();
                    }
                    return;
                }
                Some(Reply::Silent) => {
                    while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {}
                    return;
                }
                Some(Reply::Hang) | None => return,
            }
        }
    }
}

/// A complete response.
pub(super) fn keep(status: &str, headers: &str, body: &str) -> Reply {
    Reply::Keep(format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

/// Head and body (by content-length) of the next request on the connection.
async fn next_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        let text = String::from_utf8_lossy(buffer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let lower = head.to_ascii_lowercase();
            let length =
                lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                let end = head.len() + 4 + length;
                buffer.drain(..end);
                return Some(text[..end].to_owned());
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}
