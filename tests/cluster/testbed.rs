//! The test bed tested: pods, Services, DNS and the way to the host work, and nothing is left of it afterwards.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::{fs, process::Command, time::Duration};

use aperium_tests::{
    cluster::{Cluster, Options},
    http, wait,
};
use k8s_openapi::api::core::v1::Service;
use kube::Api;

const SERVER: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: server, labels: {app: server}}
spec:
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: server
      image: localhost/busybox:1
      command: [sh, -c, "echo from the pod > /tmp/index.html && exec httpd -f -p 8080 -h /tmp"]
      readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
---
apiVersion: v1
kind: Service
metadata: {name: server}
spec:
  selector: {app: server}
  ports: [{port: 80, targetPort: 8080}]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_talk_to_services_and_to_the_host_and_nothing_is_left_after_a_kill() {
    let before = surroundings();
    let cluster = Cluster::start(&Options::full().with_audit());
    if cluster.is_foreign() {
        return; // somebody's own cluster is neither ours to judge nor ours to kill
    }
    {
        let namespace = cluster.namespace("testbed");
        pods_and_services_talk(&cluster, namespace.name()).await;
        restricted_pod_security_is_enforced(&cluster, namespace.name());
        the_audit_log_names_the_writer(&cluster);
    }
    let footprint = Footprint::of(&cluster);
    let folder = cluster.folder().to_owned();
    let running = footprint.present();
    for kind in ["process", "network", "cgroup"] {
        assert!(
            running.iter().any(|line| line.starts_with(kind)),
            "a cluster has a {kind}, or this test could not see it go"
        );
    }
    assert!(footprint.processes.len() > 10, "components, shims and containers are found: {running:#?}");
    assert_eq!(surroundings(), before, "even a running cluster keeps to its own folder and namespaces");

    cluster.kill();
    let left = std::cell::RefCell::new(running);
    let gone = tokio::time::timeout(Duration::from_secs(20), async {
        while !left.borrow().is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
            left.replace(footprint.present());
        }
    });
    assert!(gone.await.is_ok(), "still there 20 s after the kill: {:#?}", left.borrow());
    assert_eq!(surroundings(), before);
    let exists = |name: &str| fs::exists(folder.join(name)).unwrap();
    assert!(!exists("containerd") && !exists("etcd") && !exists("ready"), "images and databases are removed");
    assert!(exists("logs/kubelet.log"), "logs stay");
}

#[tokio::test]
async fn a_control_plane_serves_its_api_and_goes_with_the_one_who_started_it() {
    let cluster = Cluster::start(&Options::control_plane().with_audit());
    if cluster.is_foreign() {
        return;
    }
    the_audit_log_names_the_writer(&cluster);
    let version = cluster.client().await.apiserver_version().await.unwrap();
    assert_eq!((version.major.as_str(), version.minor.as_str()), ("1", "34"));
    a_service_account_has_its_own_kubeconfig(&cluster);
    let processes = with_descendants(cluster.pid().unwrap());
    cluster.stop();
    let alive: Vec<_> = processes.into_iter().filter(|pid| is_alive(*pid)).collect();
    assert!(alive.is_empty(), "after a stop there is no process left: {alive:?}");
}

async fn pods_and_services_talk(cluster: &Cluster, namespace: &str) {
    cluster.apply_in(namespace, SERVER);
    cluster.client_pod(namespace, "client", &[]);
    cluster.kubectl(&["wait", "--namespace", namespace, "--for=condition=Ready", "--timeout=60s", "pod/server"]);

    let by_name = wait::until("the Service answers a pod by its name", Duration::from_secs(20), async || {
        let answer =
            cluster.exec(namespace, "client", &format!("wget -qO- http://server.{namespace}.svc.cluster.local/"));
        answer.ok.then_some(answer.stdout)
    })
    .await;
    assert_eq!(by_name, "from the pod\n");

    let services: Api<Service> = Api::namespaced(cluster.client().await, namespace);
    let spec = services.get("server").await.unwrap().spec.unwrap();
    let reply = http::get(&format!("http://{}/", spec.cluster_ip.unwrap()), &[]).await.unwrap();
    assert_eq!((reply.status, reply.text()), (200, "from the pod\n"), "the host reaches a Service by its address");

    let listener = tokio::net::TcpListener::bind((cluster.host_ip(), 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut stream, _peer) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"from the host\n").await.unwrap();
    });
    let from_host = cluster.exec(namespace, "client", &format!("nc {} {port} </dev/null", cluster.host_ip()));
    assert_eq!(from_host.stdout, "from the host\n", "{}", from_host.stderr);
    server.await.unwrap();
}

fn restricted_pod_security_is_enforced(cluster: &Cluster, namespace: &str) {
    let refused = cluster.try_kubectl(&["run", "--namespace", namespace, "careless", "--image=localhost/busybox:1"]);
    assert!(!refused.ok && refused.stderr.contains("violates PodSecurity"), "{refused:?}");
}

fn a_service_account_has_its_own_kubeconfig(cluster: &Cluster) {
    cluster.kubectl(&["create", "serviceaccount", "nobody", "--namespace=default"]);
    let kubeconfig = cluster.kubeconfig_of("default", "nobody");
    let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
    let whoami = cluster.kubectl(&[&kubeconfig, "auth", "whoami", "--output=jsonpath={.status.userInfo.username}"]);
    assert_eq!(whoami, "system:serviceaccount:default:nobody");
    let refused = cluster.try_kubectl(&[&kubeconfig, "get", "secrets"]);
    assert!(!refused.ok && refused.stderr.contains("forbidden"), "{refused:?}");
}

fn the_audit_log_names_the_writer(cluster: &Cluster) {
    let log = cluster.audit();
    let mark = log.mark();
    cluster.kubectl(&["create", "configmap", "seen", "--namespace=default"]);
    let writes = log.writes_since(mark, "admin");
    assert!(
        writes.iter().any(|entry| entry.verb == "create" && entry.resource == "configmaps" && entry.name == "seen"),
        "{writes:?}"
    );
}

/// What a cluster has on the machine while it runs, told apart from other clusters' by its processes, folder and slot.
struct Footprint {
    processes: Vec<u32>,
    folder: String,
    link: String,
    cgroup: String,
}

impl Footprint {
    fn of(cluster: &Cluster) -> Self {
        let slot = cluster.slot().expect("the test bed has a slot");
        Self {
            processes: with_descendants(cluster.pid().expect("the test bed has a process")),
            folder: cluster.folder().display().to_string(),
            link: format!("aperium{slot}"),
            cgroup: format!("*/aperium-test-{slot}*"),
        }
    }

    /// What of it is there now, one line each.
    fn present(&self) -> Vec<String> {
        let processes = self.processes.iter().filter(|pid| is_alive(**pid)).map(|pid| format!("process {pid}"));
        let mounts = read("/proc/mounts");
        let mounts = mounts.lines().filter(|mount| mount.contains(&self.folder)).map(|mount| format!("mount {mount}"));
        let network = [output("ip", &["-oneline", "link"]), output("ip", &["route"])].concat();
        let network = network.lines().filter(|line| line.contains(&self.link)).map(|line| format!("network {line}"));
        let cgroups = output("find", &["/sys/fs/cgroup", "-type", "d", "-path", &self.cgroup]);
        let cgroups = cgroups.lines().map(|folder| format!("cgroup {folder}"));
        processes.chain(mounts).chain(network).chain(cgroups).collect()
    }
}

/// What no cluster may change on the machine, not even while it runs.
fn surroundings() -> String {
    let folders = ["/run/netns", "/run/containerd", "/var/lib/cni", "/var/lib/kubelet", "/var/log/pods"];
    let contents = folders.map(|folder| output("find", &[folder, "-mindepth", "1"]));
    [output("nft", &["list", "ruleset"]), contents.concat()].concat()
}

fn with_descendants(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        found.extend(
            read(&format!("/proc/{pid}/task/{pid}/children"))
                .split_whitespace()
                .filter_map(|child| child.parse::<u32>().ok()),
        );
        next += 1;
    }
    found
}

/// A process that has ended but was not asked for its status yet is not alive.
fn is_alive(pid: u32) -> bool {
    let status = read(&format!("/proc/{pid}/status"));
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// What a command prints; nothing when what it asks for is not there.
fn output(program: &str, args: &[&str]) -> String {
    String::from_utf8(Command::new(program).args(args).output().unwrap().stdout).unwrap()
}
