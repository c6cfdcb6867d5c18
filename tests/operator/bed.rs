//! A namespace of a real control plane with an operator in it that has the rights of the installation, and no more.

use aperium_tests::audit::Mark;
use aperium_tests::cluster::{Cluster, TestNamespace};
use aperium_tests::process::{Process, Program, Signal};
use aperium_tests::{binaries, http, ports, wait};
use serde_json::Value;
use std::sync::OnceLock;
use std::time::Duration;

/// How long anything may take on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// What an operator makes for the platform, whatever Connectors there are.
const OWN: [&str; 4] = [
    "secret/aperium-encryption",
    "secret/aperium-lease-signing",
    "secret/aperium-broker-tls",
    "configmap/aperium-lease-keys",
];
/// Who the operator is in the audit log.
pub(crate) const USER: &str = ":aperium-operator";

/// A system namespace.
pub(crate) struct Bed {
    pub(crate) cluster: &'static Cluster,
    pub(crate) namespace: TestNamespace<'static>,
}

/// A running operator.
pub(crate) struct Operator {
    pub(crate) process: Process,
    port: u16,
}

impl Bed {
    /// A namespace of the shared control plane, which has a controller manager.
    pub(crate) fn new(prefix: &str) -> Self {
        static CRDS: OnceLock<()> = OnceLock::new();
        let cluster = Cluster::shared_control_plane();
        CRDS.get_or_init(|| install_crds(cluster));
        Self::on(cluster, prefix)
    }

    /// A namespace of a given cluster.
    pub(crate) fn on(cluster: &'static Cluster, prefix: &str) -> Self {
        let namespace = cluster.namespace(prefix);
        let bed = Self { cluster, namespace };
        bed.give_rights(bed.name());
        bed
    }

    pub(crate) fn name(&self) -> &str {
        self.namespace.name()
    }

    /// Gives the operator of this namespace the rights of the installation in a namespace, read from `install.yaml`.
    pub(crate) fn give_rights(&self, namespace: &str) {
        let manifests = std::fs::read_to_string(binaries::repository().join("deploy/install.yaml")).unwrap();
        let mut rights = Vec::new();
        for mut document in aperium_crds::yaml::documents(&manifests).unwrap() {
            let operator =
                document["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("aperium-operator"));
            let kind = document["kind"].as_str().unwrap_or_default().to_owned();
            if operator && matches!(kind.as_str(), "Role" | "RoleBinding" | "ServiceAccount") {
                document["metadata"]["namespace"] = namespace.into();
                if kind == "RoleBinding" {
                    document["subjects"][0]["namespace"] = self.name().into();
                }
                rights.push(document.to_string());
            }
        }
        assert!(rights.len() >= 4, "the rights are in install.yaml");
        self.cluster.apply(&rights.join("\n---\n"));
    }

    /// Starts an operator for this namespace alone and waits until it reconciles.
    pub(crate) fn operator(&self) -> Operator {
        self.operator_with(&["--leader-elect", "false"])
    }

    pub(crate) fn operator_with(&self, args: &[&str]) -> Operator {
        let operator = self.started(args);
        operator.ready();
        // It reconciles before it has made these; whoever counts writes is to find only those about Connectors.
        wait::until_blocking("the operator's own objects", LIMIT, || {
            self.cluster.try_kubectl(&[&["--namespace", self.name(), "get"], OWN.as_slice()].concat()).ok.then_some(())
        });
        operator
    }

    /// Starts an operator and does not wait.
    pub(crate) fn started(&self, args: &[&str]) -> Operator {
        let port = ports::free();
        let kubeconfig = self.cluster.kubeconfig_of(self.name(), "aperium-operator");
        let process = Program::new("operator", binaries::operator())
            .args(["--system-namespace", self.name(), "--listen", &format!("127.0.0.1:{port}")])
            .args(args.iter().copied())
            .env("KUBECONFIG", kubeconfig)
            .end_with(Signal::TERM)
            .spawn();
        Operator { process, port }
    }

    pub(crate) fn apply(&self, yaml: &str) {
        self.cluster.apply_in(self.name(), yaml);
    }

    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        self.cluster.kubectl(&[&["--namespace", self.name()], args].concat())
    }

    /// An object as JSON, if it is there.
    pub(crate) fn get(&self, kind: &str, name: &str) -> Option<Value> {
        let found = self.cluster.try_kubectl(&["--namespace", self.name(), "get", kind, name, "-o", "json"]);
        found.ok.then(|| serde_json::from_str(&found.stdout).unwrap())
    }

    /// Waits for an object that passes the test.
    pub(crate) fn eventually(&self, kind: &str, name: &str, what: &str, test: impl Fn(&Value) -> bool) -> Value {
        wait::until_blocking(&format!("{kind} {name}: {what}"), LIMIT, || {
            self.get(kind, name).filter(|found| test(found))
        })
    }

    pub(crate) fn gone(&self, kind: &str, name: &str) {
        wait::until_blocking(&format!("{kind} {name} to go"), LIMIT, || self.get(kind, name).is_none().then_some(()));
    }

    /// Waits for a condition of a Connector with this status and reason.
    pub(crate) fn condition(&self, connector: &str, kind: &str, status: &str, reason: &str) -> Value {
        let what = format!("{kind}={status} ({reason})");
        let found = self.eventually("connector", connector, &what, |found| {
            let found = condition(found, kind);
            found["status"] == status && found["reason"] == reason
        });
        condition(&found, kind).clone()
    }

    /// Where the audit log ends.
    pub(crate) fn mark(&self) -> Mark {
        self.cluster.audit().mark()
    }

    /// What the operator of this namespace wrote, events aside.
    pub(crate) fn writes(&self, mark: Mark) -> Vec<String> {
        let user = format!("{}{USER}", self.name());
        let writes = self.cluster.audit().writes_since(mark, &user);
        let counted = writes.into_iter().filter(|entry| !entry.resource.ends_with("/events"));
        counted.map(|entry| format!("{} {}/{} → {}", entry.verb, entry.resource, entry.name, entry.code)).collect()
    }

    /// Waits until the operator has written nothing for a while.
    pub(crate) fn settled(&self) {
        let mut before = usize::MAX;
        for _ in 0..60 {
            let now = self.writes(self.cluster.audit().beginning()).len();
            if now == before {
                return;
            }
            before = now;
            std::thread::sleep(Duration::from_secs(3));
        }
        panic!("the operator goes on writing: {:?}", self.writes(self.cluster.audit().beginning()));
    }
}

impl Operator {
    pub(crate) fn ready(&self) {
        let url = format!("http://127.0.0.1:{}/readyz", self.port);
        let leads = || {
            block_on(http::get(&url, &[])).ok().filter(|reply| reply.status == 200 && reply.text().contains("leading"))
        };
        wait::until_blocking("the operator to lead", LIMIT, leads);
    }

    /// A number of `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let url = format!("http://127.0.0.1:{}/metrics", self.port);
        let reply = block_on(http::get(&url, &[])).unwrap();
        let text = reply.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |number| number.parse().unwrap())
    }

    /// Waits until the operator has looked again at what it knows.
    pub(crate) fn looks_again(&self, mut cause: impl FnMut()) {
        let before = self.metric(RECONCILES);
        cause();
        wait::until_blocking("another reconcile", LIMIT, || (self.metric(RECONCILES) > before).then_some(()));
    }
}

/// The counter of good reconciles.
pub(crate) const RECONCILES: &str = "aperium_operator_reconciles_total{result=\"ok\"}";

/// A future on a runtime of its own: these tests are threads.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Applies both definitions and waits until they are served.
pub(crate) fn install_crds(cluster: &Cluster) {
    let folder = binaries::repository().join("crds");
    let folder = folder.to_str().unwrap();
    cluster.kubectl(&[
        "apply",
        "--filename",
        &format!("{folder}/connector.yaml"),
        "--filename",
        &format!("{folder}/grant.yaml"),
    ]);
    let names = ["crd/connectors.aperium.dev", "crd/grants.aperium.dev"];
    cluster.kubectl(&["wait", "--for=condition=Established", names[0], names[1], "--timeout=60s"]);
}

/// One condition of an object.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let all = object["status"]["conditions"].as_array();
    all.into_iter().flatten().find(|found| found["type"] == kind).unwrap_or(&Value::Null)
}

/// A Connector with a service, and more of its service's fields.
pub(crate) fn connector(name: &str, service: &str) -> String {
    let comma = if service.is_empty() { "" } else { ", " };
    format!(
        "---\napiVersion: aperium.dev/v1alpha1\nkind: Connector\nmetadata: {{name: {name}}}\nspec: {{protocol: mcp, service: {{module: postgres{comma}{service}}}}}\n"
    )
}
