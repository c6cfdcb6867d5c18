//! `kubectl` against the cluster, as a user would run it.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use kube::config::{AuthInfo, Kubeconfig};

use super::Cluster;
use crate::binaries;

/// A command that ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Whether its exit status was 0.
    pub ok: bool,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Cluster {
    /// Runs `kubectl` and tells how it ended.
    pub fn try_kubectl(&self, args: &[&str]) -> Finished {
        self.run(&binaries::kubectl(), args, "")
    }

    /// Runs `kubectl` and gives what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn kubectl(&self, args: &[&str]) -> String {
        must(&format!("kubectl {}", args.join(" ")), self.try_kubectl(args))
    }

    /// `kubectl apply` of YAML documents.
    ///
    /// # Panics
    /// When they are refused.
    pub fn apply(&self, yaml: &str) -> String {
        must("kubectl apply", self.try_apply(yaml))
    }

    /// `kubectl apply` into a namespace, for documents that name none.
    ///
    /// # Panics
    /// When they are refused.
    pub fn apply_in(&self, namespace: &str, yaml: &str) -> String {
        let args = ["apply", "--namespace", namespace, "--filename", "-"];
        must("kubectl apply", self.run(&binaries::kubectl(), &args, yaml))
    }

    /// `kubectl apply` of YAML documents that may be refused.
    pub fn try_apply(&self, yaml: &str) -> Finished {
        self.run(&binaries::kubectl(), &["apply", "--filename", "-"], yaml)
    }

    /// Runs the pinned `helm` against the cluster and gives what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn helm(&self, args: &[&str]) -> String {
        must(&format!("helm {}", args.join(" ")), self.run(&binaries::helm(), args, ""))
    }

    /// Starts the busybox client pod `name` in `namespace` and waits until it runs; enter it with [`Cluster::exec`]. It has
    /// `sh`, `wget`, `nc` and `nslookup`, and satisfies the restricted Pod Security standard.
    ///
    /// # Panics
    /// When it does not start.
    pub fn client_pod(&self, namespace: &str, name: &str, labels: &[(&str, &str)]) {
        let labels: serde_json::Map<_, _> =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
        let pod = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{
                    "name": "client",
                    "image": "localhost/busybox:1",
                    "imagePullPolicy": "IfNotPresent",
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                }],
            },
        });
        self.apply(&pod.to_string());
        self.kubectl(&[
            "wait",
            "--namespace",
            namespace,
            "--for=condition=Ready",
            "--timeout=60s",
            &format!("pod/{name}"),
        ]);
    }

    /// Runs a shell line in a pod.
    pub fn exec(&self, namespace: &str, pod: &str, line: &str) -> Finished {
        self.try_kubectl(&["exec", "--namespace", namespace, pod, "--", "sh", "-c", line])
    }

    /// Writes a kubeconfig of a ServiceAccount, with a real token that is valid for an hour: what a program may do in a pod,
    /// it may do with this on the machine of the tests.
    ///
    /// # Panics
    /// When the ServiceAccount does not exist.
    #[must_use]
    pub fn kubeconfig_of(&self, namespace: &str, service_account: &str) -> PathBuf {
        let token = self.kubectl(&["create", "token", "--namespace", namespace, "--duration=1h", service_account]);
        let path = self.folder().join(format!("{namespace}-{service_account}.kubeconfig"));
        let mut config = Kubeconfig::read_from(self.kubeconfig()).expect("the kubeconfig can be read");
        for user in &mut config.auth_infos {
            user.auth_info = Some(AuthInfo { token: Some(token.trim().to_owned().into()), ..AuthInfo::default() });
        }
        fs::write(&path, serde_json::to_vec(&config).expect("a kubeconfig can be written"))
            .expect("the folder is there");
        path
    }

    fn run(&self, program: &Path, args: &[&str], input: &str) -> Finished {
        let mut child = Command::new(program)
            .args(args)
            .env("KUBECONFIG", self.kubeconfig())
            // What they remember about one cluster is wrong for the next.
            .env("KUBECACHEDIR", self.folder().join("kubectl-cache"))
            .envs(
                ["CACHE", "CONFIG", "DATA"]
                    .map(|kind| (format!("HELM_{kind}_HOME"), self.folder().join("helm").join(kind))),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let output = thread::scope(|scope| {
            // Written beside the reading: either pipe may fill up.
            scope.spawn(move || stdin.write_all(input.as_bytes()));
            child.wait_with_output().expect("the command ends")
        });
        Finished {
            ok: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn must(what: &str, finished: Finished) -> String {
    assert!(finished.ok, "{what}: {}{}", finished.stdout, finished.stderr);
    finished.stdout
}
