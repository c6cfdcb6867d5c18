//! A real Kubernetes for tests: a whole node with pods, or only a control plane. See `tests/cluster/README.md`.

mod kubectl;
mod namespace;

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use kube::config::{KubeConfigOptions, Kubeconfig};
use rustix::process::Signal;
use serde::Deserialize;

pub use kubectl::Finished;
pub use namespace::TestNamespace;

use crate::{
    audit::AuditLog,
    binaries, environment, images,
    process::{self, Process, Program},
    wait,
};

/// A cluster starts in about 12 s; a busy machine may take several times as long.
const START_LIMIT: Duration = Duration::from_secs(180);

/// What kind of cluster to start.
#[derive(Debug, Clone)]
pub struct Options {
    control_plane: bool,
    controller_manager: bool,
    audit: bool,
    images: Vec<PathBuf>,
}

impl Options {
    /// A node with pods, Services and DNS. Needs root. About 12 s.
    #[must_use]
    pub fn full() -> Self {
        Self { control_plane: false, controller_manager: true, audit: false, images: Vec::new() }
    }

    /// etcd and the API server only, on the loopback. About 3 s.
    ///
    /// Nothing is collected (children stay when their owner goes) and deleted namespaces stay `Terminating`, unless
    /// [`Options::with_controller_manager`] is asked for.
    #[must_use]
    pub fn control_plane() -> Self {
        Self { control_plane: true, controller_manager: false, audit: false, images: Vec::new() }
    }

    /// Adds the controller manager to a control plane: garbage collection, namespaces, ServiceAccounts, ReplicaSets.
    #[must_use]
    pub fn with_controller_manager(mut self) -> Self {
        self.controller_manager = true;
        self
    }

    /// Has every request logged, see [`Cluster::audit`].
    #[must_use]
    pub fn with_audit(mut self) -> Self {
        self.audit = true;
        self
    }

    /// Imports an OCI archive.
    #[must_use]
    pub fn with_image(mut self, archive: impl Into<PathBuf>) -> Self {
        self.images.push(archive.into());
        self
    }

    /// Imports the images of the operator, the gateway and the service, made from the built programs.
    #[must_use]
    pub fn with_our_images(mut self) -> Self {
        // A foreign cluster has to have them already: there is no registry to push them to.
        if environment::kubeconfig().is_none() {
            self.images.extend(images::build());
        }
        self
    }
}

/// A running cluster; it ends when this is dropped or when the test process ends.
pub struct Cluster {
    folder: PathBuf,
    kubeconfig: PathBuf,
    addresses: Option<Addresses>,
    process: Option<Process>,
}

/// The file `ready` of `tests/cluster/up`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Addresses {
    pid: u32,
    slot: u8,
    host_ip: IpAddr,
    node_ip: IpAddr,
    audit: String,
}

impl Cluster {
    /// Starts a cluster of its own for the caller, or attaches to the one that `APERIUM_TEST_KUBECONFIG` names.
    ///
    /// # Panics
    /// When it does not come up, with the last lines of what it printed.
    #[must_use]
    pub fn start(options: &Options) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        if number == 0 {
            forget_earlier_runs();
        }
        let folder = process::log_folder().join(format!("cluster-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).expect("the cluster's folder can be made");
        if let Some(kubeconfig) = environment::kubeconfig() {
            return Self { folder, kubeconfig, addresses: None, process: None };
        }

        let kind = if options.control_plane { "control-plane" } else { "cluster" };
        let mut program = Program::new(kind, binaries::repository().join("tests/cluster/up"))
            .args(["--while-stdin-open", "--run-dir"])
            .arg(&folder)
            .with_stdin()
            // `up` sweeps up after itself on SIGTERM, and its janitor does after anything else.
            .end_with(Signal::TERM);
        for (wanted, flag) in [
            (options.control_plane, "--control-plane"),
            (options.control_plane && options.controller_manager, "--controller-manager"),
            (options.audit, "--audit"),
        ] {
            if wanted {
                program = program.arg(flag);
            }
        }
        for image in &options.images {
            program = program.arg("--image").arg(image);
        }
        binaries::tools(); // may take minutes, which do not count as the cluster's
        let mut process = program.spawn();
        let ready = folder.join("ready");
        wait::until_blocking("the test cluster is up", START_LIMIT, || {
            assert!(process.running(), "the test cluster did not start:\n{}", process.last_lines());
            ready.exists().then_some(())
        });
        let addresses =
            serde_json::from_slice(&fs::read(&ready).expect("the ready file")).expect("the ready file is JSON");
        Self { kubeconfig: folder.join("kubeconfig"), folder, addresses: Some(addresses), process: Some(process) }
    }

    /// The full cluster that all tests of one test program share: audited, with our images. The first caller starts it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&Options::full().with_audit().with_our_images()))
    }

    /// The control plane that all tests of one test program share: audited, with a controller manager.
    pub fn shared_control_plane() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&Options::control_plane().with_controller_manager().with_audit()))
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A new client of the administrator, as ours are: its writes leave at once. Each test needs one of its own: a client
    /// belongs to the runtime that made it.
    ///
    /// # Panics
    /// When the kubeconfig cannot be used.
    pub async fn client(&self) -> kube::Client {
        aperium_platform::egress::api_server::client(self.config().await).expect("a client of the test cluster")
    }

    /// The administrator's configuration, for a client with other settings or another identity.
    ///
    /// # Panics
    /// When the kubeconfig cannot be used.
    pub async fn config(&self) -> kube::Config {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig).expect("the kubeconfig can be read");
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .expect("the kubeconfig can be used")
    }

    /// The address at which pods reach servers of this test (10.211.x.1); bind PostgreSQL and fixtures to it.
    ///
    /// # Panics
    /// On a foreign cluster, unless `APERIUM_TEST_HOST_IP` names it.
    #[must_use]
    pub fn host_ip(&self) -> IpAddr {
        environment::host_ip()
            .or_else(|| Some(self.addresses.as_ref()?.host_ip))
            .expect("APERIUM_TEST_HOST_IP says at which address pods of the foreign cluster reach this machine")
    }

    /// The address of the node.
    ///
    /// # Panics
    /// On a foreign cluster.
    #[must_use]
    pub fn node_ip(&self) -> IpAddr {
        self.addresses.as_ref().expect("only the test bed has one known node").node_ip
    }

    /// Whether tests run on somebody's own cluster.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.addresses.is_none()
    }

    /// The process that holds the cluster; none of a foreign one.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.addresses.as_ref().map(|addresses| addresses.pid)
    }

    /// The number that tells this cluster's interface, cgroup and addresses from those of others; none of a foreign one.
    #[must_use]
    pub fn slot(&self) -> Option<u8> {
        self.addresses.as_ref().map(|addresses| addresses.slot)
    }

    /// The folder with logs (`logs/`), certificates (`pki/`) and data.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The API server's audit log.
    ///
    /// # Panics
    /// When the cluster was started without [`Options::with_audit`], or is a foreign one.
    #[must_use]
    pub fn audit(&self) -> AuditLog {
        let path = self.addresses.as_ref().map_or("", |addresses| &addresses.audit);
        assert!(!path.is_empty(), "this cluster writes no audit log");
        AuditLog::new(Path::new(path))
    }

    /// Imports image archives into the node of a running cluster.
    ///
    /// # Panics
    /// When it fails.
    pub fn load_images<P: AsRef<Path>>(&self, archives: &[P]) {
        let output = std::process::Command::new(binaries::repository().join("tests/cluster/load-image"))
            .arg(&self.folder)
            .args(archives.iter().map(AsRef::as_ref))
            .output()
            .expect("load-image starts");
        assert!(output.status.success(), "load-image: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Ends the cluster and waits until it is gone; dropping it does the same.
    pub fn stop(mut self) {
        self.process.take();
    }

    /// Ends it as a crash would: SIGKILL to the one process that holds it. Its janitor still sweeps, a moment later.
    pub fn kill(mut self) {
        if let Some(process) = self.process.take() {
            process.kill_alone();
        }
    }
}

/// Removes the folders of runs that are over: the logs of the last one are enough.
fn forget_earlier_runs() {
    for entry in fs::read_dir(process::log_folder()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let of_process =
            name.to_str().and_then(|name| name.strip_prefix("cluster-")?.split('-').next()?.parse::<u32>().ok());
        if entry.path().is_dir() && of_process.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            // What cannot be removed now is removed another time.
            let _left = fs::remove_dir_all(entry.path());
        }
    }
}
