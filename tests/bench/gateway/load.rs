//! The load: as fast as it is answered, at a fixed rate, or all at once.

use crate::asked::{Checker, Kind};
use crate::connection::Connection;
use crate::measured::Measured;
use crate::target::Target;
use futures::future::join_all;
use std::time::{Duration, Instant};

/// Not measured: connections are made, caches filled.
const WARM_UP: Duration = Duration::from_millis(400);
/// Requests that one connection numbers before the numbers of the next begin.
const NUMBERS: u64 = 10_000_000;

/// A load on one target.
pub(crate) struct Load<'a> {
    target: &'a Target,
    kind: Kind,
    connections: u32,
    window: Duration,
    per_second: Option<u32>,
}

impl<'a> Load<'a> {
    /// Every connection asks again as soon as it is answered.
    pub(crate) fn new(target: &'a Target, kind: Kind, connections: u32, window: Duration) -> Self {
        Self { target, kind, connections, window, per_second: None }
    }

    /// So many requests a second over all connections, each at its own moment.
    pub(crate) fn paced(self, per_second: u32) -> Self {
        Self { per_second: Some(per_second), ..self }
    }

    /// Runs it.
    pub(crate) async fn run(self) -> Measured {
        let checker = Checker::new(self.kind, self.target.tools);
        let opened = (0..self.connections).map(|number| Connection::open(self.target, self.kind, &checker, number));
        let opened = join_all(opened).await;
        let cpu = self.target.cpu();
        let begin = Instant::now() + WARM_UP;
        let clients = opened.into_iter().zip(0..).map(|(connection, number)| self.client(connection, number, begin));
        let results = join_all(clients).await;
        let cpu = self.target.cpu().zip(cpu).map(|(after, before)| after.saturating_sub(before));
        let all = results.iter().map(|(_, all)| all).sum();
        let latencies = results.into_iter().flat_map(|(latencies, _)| latencies).collect();
        Measured::new(latencies, all, self.window, cpu)
    }

    async fn client(&self, mut connection: Connection<'_>, number: u32, begin: Instant) -> (Vec<Duration>, u64) {
        let pause = self.per_second.map(|rate| Duration::from_secs(1) * self.connections / rate);
        let mut next = begin - WARM_UP + pause.unwrap_or_default() * number / self.connections;
        let end = begin + self.window;
        let first = u64::from(number) * NUMBERS;
        let (mut latencies, mut id) = (Vec::new(), first);
        loop {
            if let Some(pause) = pause {
                tokio::time::sleep_until(next.into()).await;
                next += pause;
            }
            let begun = Instant::now();
            if begun >= end {
                return (latencies, id - first);
            }
            id += 1;
            let took = connection.ask(id).await;
            if begun >= begin {
                latencies.push(took);
            }
        }
    }
}

/// One request of every connection, all sent before the first is answered.
pub(crate) async fn burst(target: &Target, kind: Kind, connections: u32) -> Measured {
    let checker = Checker::new(kind, target.tools);
    let mut opened = Vec::new();
    // One after the other: what is measured is the requests, not how fast the kernel's queue of connections fills.
    for number in 0..connections {
        opened.push(Connection::connect(target, kind, &checker, number).await);
    }
    let begun = Instant::now();
    let latencies = join_all(opened.iter_mut().zip(1..).map(|(connection, id)| connection.ask(id))).await;
    Measured::new(latencies, u64::from(connections), begun.elapsed(), None)
}

/// One request after the other over one connection.
pub(crate) async fn in_turn(target: &Target, kind: Kind, requests: u32) -> Measured {
    let checker = Checker::new(kind, target.tools);
    let mut connection = Connection::open(target, kind, &checker, 0).await;
    connection.ask(0).await;
    let (begun, mut latencies) = (Instant::now(), Vec::new());
    for id in 1..=u64::from(requests) {
        latencies.push(connection.ask(id).await);
    }
    Measured::new(latencies, u64::from(requests), begun.elapsed(), None)
}

/// Begins so many sessions over 32 connections, and uses each once.
pub(crate) async fn sessions(target: &Target, sessions: u32) {
    const CONNECTIONS: u32 = 32;
    let checker = Checker::new(Kind::Call, target.tools);
    let clients = (0..CONNECTIONS).map(async |number| {
        let mut connection = Connection::connect(target, Kind::Call, &checker, number).await;
        for session in (number..sessions).step_by(CONNECTIONS as usize) {
            connection.begin_session().await;
            connection.ask(u64::from(session)).await;
        }
    });
    join_all(clients).await;
}
