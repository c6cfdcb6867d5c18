//! One contender, one namespace, one measurement.

use crate::bare;
use aperium_tests::cluster::Cluster;
use aperium_tests::process::{Process, Program, Signal};
use aperium_tests::{binaries, http, ports, wait};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Long enough for a thousand on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

/// Who applies.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Contender {
    Bare,
    Operator,
}

/// What was measured; the last three are the operator's.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) resident_mib: f64,
    pub(crate) restarted_mib: f64,
}

/// A control plane with the definitions installed.
pub(crate) struct Stage<'a> {
    cluster: &'a Cluster,
    client: Client,
}

impl<'a> Stage<'a> {
    pub(crate) async fn new(cluster: &'a Cluster) -> Self {
        let folder = binaries::repository().join("crds");
        for name in ["connector.yaml", "grant.yaml"] {
            cluster.apply(&std::fs::read_to_string(folder.join(name)).expect("the definition"));
        }
        let both = ["crd/connectors.aperium.dev", "crd/grants.aperium.dev"];
        cluster.kubectl(&["wait", "--for=condition=Established", both[0], both[1], "--timeout=60s"]);
        Self { cluster, client: cluster.client().await }
    }

    /// Lets a contender bring that many Connectors to their last child.
    pub(crate) fn run(&self, runtime: &Runtime, contender: Contender, connectors: usize) -> Measured {
        let namespace = self.cluster.namespace("bench");
        let operator = match contender {
            Contender::Operator => Some(self.operator(runtime, namespace.name())),
            Contender::Bare => None,
        };
        let seconds = runtime.block_on(self.last_child(contender, namespace.name(), connectors));
        let Some(operator) = operator else { return Measured { seconds, ..Measured::default() } };
        // Statuses, the routing table and a moment of rest belong to what is resident.
        std::thread::sleep(Duration::from_secs(if connectors > 100 { 15 } else { 3 }));
        let (cpu_seconds, resident_mib) = (cpu(&operator), mib(&operator));
        drop(operator);
        let restarted = self.operator(runtime, namespace.name());
        std::thread::sleep(Duration::from_secs(3));
        Measured { seconds, cpu_seconds, resident_mib, restarted_mib: mib(&restarted) }
    }

    async fn last_child(&self, contender: Contender, namespace: &str, connectors: usize) -> f64 {
        let (client, space) = (self.client.clone(), namespace.to_owned());
        let (watching, watches) = tokio::sync::oneshot::channel();
        let all = tokio::spawn(async move { last_deployment(client, &space, connectors, watching).await });
        watches.await.expect("the watch begins");
        // The operator has just started and has its connections for writing still to open; so has the bare client.
        let bare = self.cluster.client().await;
        let began = Instant::now();
        match contender {
            Contender::Bare => bare::apply_all(&bare, namespace, connectors).await,
            Contender::Operator => bare::create(&self.client, namespace, connectors).await,
        }
        let ended = tokio::time::timeout(LIMIT, all).await.expect("every child in time").expect("the watch");
        ended.duration_since(began).as_secs_f64()
    }

    fn operator(&self, runtime: &Runtime, namespace: &str) -> Process {
        let port = ports::free();
        let process = Program::new("operator", binaries::operator())
            .args(["--system-namespace", namespace, "--leader-elect", "false"])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .env("RUST_LOG", "warn")
            .end_with(Signal::TERM)
            .spawn();
        let url = format!("http://127.0.0.1:{port}/readyz");
        wait::until_blocking("the operator to be ready", Duration::from_secs(30), || {
            let reply = runtime.block_on(http::get(&url, &[])).ok()?;
            (reply.status == 200).then_some(())
        });
        process
    }
}

/// When the last of that many Deployments was seen.
async fn last_deployment(
    client: Client,
    namespace: &str,
    count: usize,
    watching: tokio::sync::oneshot::Sender<()>,
) -> Instant {
    let api: Api<PartialObjectMeta<Deployment>> = Api::namespaced(client, namespace);
    let mut stream = watcher::watcher(api, watcher::Config::default()).boxed();
    let (mut seen, mut watching) = (HashSet::new(), Some(watching));
    while let Some(event) = stream.next().await {
        match event.expect("the watch goes on") {
            Event::InitDone => drop(watching.take().map(|sender| sender.send(()))),
            Event::Apply(object) | Event::InitApply(object) => {
                seen.insert(object.metadata.name);
                if seen.len() >= count {
                    return Instant::now();
                }
            }
            Event::Init | Event::Delete(_) => {}
        }
    }
    Instant::now()
}

fn mib(process: &Process) -> f64 {
    f64::from(u32::try_from(process.resident_bytes() / 1024).unwrap_or(u32::MAX)) / 1024.0
}

/// User and system time so far (proc(5), `/proc/<pid>/stat`; a tick is 10 ms).
fn cpu(process: &Process) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / 100.0
}
