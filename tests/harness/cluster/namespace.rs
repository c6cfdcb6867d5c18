//! A namespace for one test. When the test fails, what is in it is printed before it goes.

use std::sync::atomic::{AtomicU32, Ordering};

use super::Cluster;

/// A namespace of its own; deleted on drop.
pub struct TestNamespace<'a> {
    cluster: &'a Cluster,
    name: String,
}

impl Cluster {
    /// Makes the namespace `<prefix>-<number>`, with the restricted Pod Security standard enforced, and waits until pods
    /// can be made in it.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn namespace(&self, prefix: &str) -> TestNamespace<'_> {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let name = format!("{prefix}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        self.existing_namespace(&name)
    }

    /// The same for a name that the test has to choose, such as `aperium-system`; it may exist already.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn existing_namespace(&self, name: &str) -> TestNamespace<'_> {
        self.apply(&format!(
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  labels: {{pod-security.kubernetes.io/enforce: restricted}}\n"
        ));
        let guard = TestNamespace { cluster: self, name: name.to_owned() };
        if self.makes_service_accounts() {
            self.kubectl(&["wait", "--namespace", name, "--for=create", "--timeout=60s", "serviceaccount/default"]);
        }
        guard
    }

    /// A bare control plane has no controller that would make them.
    fn makes_service_accounts(&self) -> bool {
        self.is_foreign() || self.try_kubectl(&["get", "--namespace", "default", "serviceaccount", "default"]).ok
    }

    /// Prints the state of a namespace on standard error: objects, events, and each pod's description and logs.
    pub fn dump(&self, namespace: &str) {
        let show = |args: &[&str]| {
            let args = [&["--namespace", namespace], args].concat();
            let finished = self.try_kubectl(&args);
            eprintln!("--- kubectl {}\n{}{}", args.join(" "), finished.stdout, finished.stderr);
            finished.stdout
        };
        show(&["get", "all,networkpolicies,poddisruptionbudgets,configmaps", "--output=wide"]);
        if self.try_kubectl(&["get", "crd", "connectors.aperium.dev"]).ok {
            show(&["get", "connectors.aperium.dev,grants.aperium.dev", "--output=yaml"]);
        }
        show(&["get", "events", "--sort-by=.lastTimestamp"]);
        let pods = self.try_kubectl(&["--namespace", namespace, "get", "pods", "--output=name"]).stdout;
        for pod in pods.lines() {
            show(&["describe", pod]);
            show(&["logs", pod, "--all-containers", "--tail=100"]);
            // There is a previous container only after a restart.
            let previous = self.try_kubectl(&[
                "--namespace",
                namespace,
                "logs",
                pod,
                "--all-containers",
                "--previous",
                "--tail=50",
            ]);
            if previous.ok && !previous.stdout.is_empty() {
                eprintln!("--- {pod} before its restart\n{}", previous.stdout);
            }
        }
    }
}

impl TestNamespace<'_> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl std::fmt::Display for TestNamespace<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.name)
    }
}

impl Drop for TestNamespace<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.cluster.dump(&self.name);
        }
        let _best_effort =
            self.cluster.try_kubectl(&["delete", "namespace", &self.name, "--wait=false", "--ignore-not-found"]);
    }
}
