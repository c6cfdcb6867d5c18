//! The load: 32 keep-alive connections that ask as fast as they are answered, and check every answer.

use crate::target::Target;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 32;
const WARM_UP: Duration = Duration::from_millis(500);
const WINDOW: Duration = Duration::from_secs(3);

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `tools/call` of a small tool.
    Call,
    /// `tools/list` of 20 tools.
    List,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Call => "tools/call",
            Self::List => "tools/list (20 tools)",
        }
    }

    fn body(self, tool: &str, id: usize) -> String {
        match self {
            Self::Call => format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{{"message":"ping-{id}","padding":"{}"}}}}}}"#,
                "x".repeat(120)
            ),
            Self::List => format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#),
        }
    }

    /// An answer is right when it answers this very request.
    fn check(self, id: usize, answer: &[u8]) {
        let text = String::from_utf8_lossy(answer);
        let expected = match self {
            Self::Call => format!("ping-{id}"),
            Self::List => format!("\"id\":{id}"),
        };
        assert!(text.contains(&expected) && text.contains("\"result\""), "wrong answer to {id}: {text}");
        assert!(self != Self::List || text.matches("\"inputSchema\"").count() == 20, "not 20 tools: {text}");
    }
}

/// One measurement of one target.
pub(crate) struct Load<'a> {
    target: &'a Target,
    kind: Kind,
}

/// What was measured.
pub(crate) struct Measured {
    latencies: Vec<Duration>,
    all: usize,
    window: Duration,
}

impl<'a> Load<'a> {
    pub(crate) fn new(target: &'a Target, kind: Kind) -> Self {
        Self { target, kind }
    }

    pub(crate) async fn run(self) -> Measured {
        let begin = Instant::now() + WARM_UP;
        let end = begin + WINDOW;
        let connections = (0..CONNECTIONS).map(|index| self.connection(index, begin, end));
        let results = futures::future::join_all(connections).await;
        let all = results.iter().map(|(_, all)| all).sum();
        let mut latencies: Vec<Duration> = results.into_iter().flat_map(|(latencies, _)| latencies).collect();
        latencies.sort_unstable();
        Measured { latencies, all, window: WINDOW }
    }

    #[expect(clippy::disallowed_methods, reason = "the load generator opens its own connections on loopback")]
    async fn connection(&self, index: usize, begin: Instant, end: Instant) -> (Vec<Duration>, usize) {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", self.target.port)).await.expect("connects");
        stream.set_nodelay(true).expect("a socket option");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("speaks HTTP");
        tokio::spawn(connection);
        let (mut latencies, mut all) = (Vec::new(), 0);
        let mut id = index * 1_000_000;
        while Instant::now() < end {
            id += 1;
            all += 1;
            let asked = Instant::now();
            let request = self.target.request(self.kind.body(self.target.tool, id));
            let response = sender.send_request(request).await.expect("is answered");
            assert_eq!(response.status(), 200);
            let answer = response.into_body().collect().await.expect("the whole answer").to_bytes();
            self.kind.check(id, &answer);
            if asked >= begin {
                latencies.push(asked.elapsed());
            }
        }
        (latencies, all)
    }
}

impl Measured {
    pub(crate) fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.window.as_secs_f64()
    }

    pub(crate) fn percentile(&self, percent: usize) -> u128 {
        let at = (self.latencies.len() * percent / 100).min(self.latencies.len().saturating_sub(1));
        self.latencies.get(at).map_or(0, Duration::as_micros)
    }

    /// CPU time a request, in µs.
    pub(crate) fn share(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() * 1e6 / self.all.max(1) as f64
    }
}

/// A request's body as hyper wants it.
pub(crate) type Body = Full<Bytes>;
