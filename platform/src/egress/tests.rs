//! Egress against canary servers on loopback: what is refused never reaches them.

mod broker;
mod canary;
mod endpoint;
mod exchange;
mod guard;
mod kept;
mod only_here;
mod reach;

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use super::*;

/// Rules under which loopback is open, as under `aperium up`, so that canaries can be reached at all.
fn open_loopback() -> EgressRules {
    EgressRules { loopback: Some(LoopbackOpening::default()), ..known() }
}

/// Rules of a cluster whose ranges are known.
fn known() -> EgressRules {
    EgressRules { cluster_ranges: Some(vec!["10.42.0.0/16".parse().unwrap()]), ..EgressRules::default() }
}

fn policy(rules: EgressRules) -> EgressPolicy {
    EgressPolicy::with_resolver(rules, Dns::default()).unwrap()
}

fn get(url: &str) -> http::Request<axum::body::Body> {
    http::Request::get(url).body(axum::body::Body::empty()).unwrap()
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/path?q=1")
}

/// A DNS under the test's control: answers in turn, the last one for ever; and what was asked.
#[derive(Clone, Default)]
struct Dns {
    answers: Arc<Mutex<VecDeque<Vec<IpAddr>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Dns {
    fn answering<const N: usize>(answers: [&[&str]; N]) -> Self {
        let parse = |answer: &[&str]| answer.iter().map(|ip| ip.parse().unwrap()).collect();
        Self { answers: Arc::new(Mutex::new(answers.iter().map(|answer| parse(answer)).collect())), ..Self::default() }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Resolve for Dns {
    fn resolve(&self, name: &str) -> Answer {
        self.asked.lock().unwrap().push(name.to_owned());
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        let answer = answer.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "NXDOMAIN"));
        Box::pin(async move { answer })
    }
}
