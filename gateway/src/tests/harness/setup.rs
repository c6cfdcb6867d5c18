//! What a gateway is made of, put together as a test wants it, and its start.

use super::Gateway;
use crate::access::{Access, Own};
use crate::app;
use crate::audit::Audit;
use crate::broker::pods::Pods;
use crate::broker::{Broker, BrokerConfig};
use crate::catalog::{Catalog, ResourceKey, Resources};
use crate::changes::hub::Hub;
use crate::database::Database;
use crate::discovery::{Event, Manager, Placement, SecretSeen};
use crate::document::follow;
use crate::given;
use crate::login::Login;
use crate::metrics::Metrics;
use crate::pipeline::authn::static_tokens::TokenFiles;
use crate::pipeline::authn::token_review::Reviewer;
use crate::pipeline::credential::ServiceToken;
use crate::registration::{Numbers, Registrations};
use crate::secrets::Found;
use crate::session::Sessions;
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::writer::Writer;
use aperium_crds::Settings;
use aperium_platform::bearer::TokenSource;
use aperium_platform::egress::{ClusterEndpoint, ExternalClient};
use aperium_platform::lease::LeaseSigner;
use aperium_platform::seal::{KeyRing, Sealer};
use aperium_store::Store;
use arc_swap::ArcSwap;
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// The token of the static client `agent`.
pub(in crate::tests) const TOKEN: &str = "agent-token";

/// What a gateway is made of.
pub(in crate::tests) struct Setup {
    pub(in crate::tests) connectors: Vec<Value>,
    pub(in crate::tests) grants: Vec<Value>,
    pub(in crate::tests) services: HashMap<ResourceKey, Placement>,
    pub(in crate::tests) secrets: Vec<(String, SecretSeen)>,
    pub(in crate::tests) settings: Settings,
    pub(in crate::tests) loopback: bool,
    pub(in crate::tests) reviewer: Option<kube::Client>,
    pub(in crate::tests) sealer: Sealer,
    pub(in crate::tests) writer: Writer,
    pub(in crate::tests) broker: BrokerConfig,
    pub(in crate::tests) database: Option<Store>,
    pub(in crate::tests) login: Option<std::path::PathBuf>,
    /// The way to remote connectors, where it is not that of the settings.
    pub(in crate::tests) external: Option<ExternalClient>,
}

impl Default for Setup {
    fn default() -> Self {
        let mut settings = Settings::parse(&format!(
            "authentication:\n  staticTokens:\n  - {{name: agent, sha256: [\"{}\"], groups: [ops]}}\n  - {{name: other, sha256: [\"{}\"]}}\n",
            hash(TOKEN),
            hash("other-token")
        ))
        .unwrap();
        settings.egress.loopback = Some(aperium_core::egress::LoopbackOpening::default());
        Self {
            connectors: Vec::new(),
            grants: Vec::new(),
            services: HashMap::new(),
            secrets: Vec::new(),
            settings,
            loopback: false,
            reviewer: None,
            sealer: Sealer::ephemeral().unwrap(),
            writer: Writer::Fixed,
            broker: BrokerConfig::without_credentials(LeaseSigner::fixed(KeyRing::generate().unwrap())),
            database: None,
            login: None,
            external: None,
        }
    }
}

fn hash(token: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(token.as_bytes())))
}

pub(in crate::tests) fn connector(name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "aperium.dev/v1alpha1", "kind": "Connector", "metadata": { "name": name, "namespace": "aperium-system" }, "spec": spec })
}

/// A Secret that may be used.
pub(in crate::tests) fn secret(values: &[(&str, &str)]) -> SecretSeen {
    let values = values.iter().map(|(key, value)| ((*key).to_owned(), SecretString::from((*value).to_owned())));
    SecretSeen { secret: "s".into(), found: Found::Values(Arc::new(values.collect())), reader: Arc::default() }
}

impl Setup {
    /// A remote connector that is polled every second.
    pub(in crate::tests) fn url(mut self, name: &str, address: SocketAddr, extra: &Value) -> Self {
        let mut spec = json!({ "protocol": "mcp", "url": format!("http://{address}/mcp"), "discovery": { "periodSeconds": 1, "timeoutSeconds": 1 } });
        for (field, value) in extra.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        self.connectors.push(connector(name, &spec));
        self
    }

    /// An HTTP connector whose base is a path of that address.
    pub(in crate::tests) fn http(mut self, name: &str, address: SocketAddr, base: &str, extra: &Value) -> Self {
        let mut spec = json!({ "protocol": "http", "url": format!("http://{address}{base}") });
        for (field, value) in extra.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        self.connectors.push(connector(name, &spec));
        self
    }

    /// A managed service with a token.
    pub(in crate::tests) fn service(mut self, name: &str, address: SocketAddr, token: &str) -> Self {
        self.connectors.push(connector(
            name,
            &json!({ "protocol": "mcp", "service": { "module": name }, "discovery": { "periodSeconds": 1, "timeoutSeconds": 1 } }),
        ));
        let key = ResourceKey { namespace: "aperium-system".into(), name: name.into() };
        let token = ServiceToken::of(TokenSource::fixed(SecretString::from(token.to_owned())));
        self.services.insert(key, Placement { endpoint: ClusterEndpoint::local(address).unwrap(), token });
        self
    }

    /// What the Secret `s` says for a Connector.
    pub(in crate::tests) fn secret(mut self, connector: &str, values: &[(&str, &str)]) -> Self {
        self.secrets.push((connector.to_owned(), secret(values)));
        self
    }

    pub(in crate::tests) fn grant(mut self, subject: &str, patterns: &[&str]) -> Self {
        let name = format!("g{}", self.grants.len());
        self.grants.push(json!({
            "apiVersion": "aperium.dev/v1alpha1", "kind": "Grant", "metadata": { "name": name, "namespace": "aperium-system" },
            "spec": { "subjects": [subject], "connectors": patterns },
        }));
        self
    }

    /// Starts it and waits until each connector was polled.
    pub(in crate::tests) async fn start(self) -> Gateway {
        let own = Own {
            service: "aperium-gateway".into(),
            namespace: "aperium-system".into(),
            addresses: Vec::new(),
            loopback: self.loopback,
        };
        let settings = Arc::new(self.settings.clone());
        let catalog = Catalog::build(&Resources::default(), Arc::clone(&settings), "aperium-system");
        let ((events, receiver), stop) = (mpsc::channel(64), CancellationToken::new());
        let (changed, snapshots) = watch::channel(());
        let snapshot = Arc::new(ArcSwap::from_pointee(Snapshot::new(Arc::new(catalog), Vec::new(), None)));
        let metrics = Arc::new(Metrics::new());
        let spans = crate::spans::Spans::start(&settings, stop.clone()).unwrap();
        let pods = self.reviewer.clone().map(Pods::new);
        let audit = self.database.clone().map(|store| Audit::new(store, "gateway", metrics.audit()));
        let (audit, scribe) = audit.unzip();
        let state = Arc::new(State {
            access: ArcSwap::from_pointee(Access::new(&own, &settings, &TokenFiles::default(), None)),
            changes: Hub::new(Arc::clone(&snapshot), snapshots.clone(), Arc::clone(&metrics), stop.clone()),
            snapshot: Arc::clone(&snapshot),
            metrics,
            sessions: Sessions::new(self.sealer.clone()),
            parked: Arc::default(),
            events: events.clone(),
            registrations: Registrations::new(
                Numbers::in_memory(),
                events.clone(),
                "aperium-system",
                self.database.clone(),
                stop.clone(),
            ),
            writer: self.writer,
            changing: Mutex::default(),
            stopping: stop.clone(),
            reviewer: self.reviewer.map(Reviewer::new),
            login: Login::new(self.login),
            broker: Broker::new(self.broker, pods, snapshot, audit.clone().unwrap_or_default(), self.sealer.clone()),
            database: self.database.map(Database::new),
            audit: audit.unwrap_or_default(),
            spans,
            loaded: AtomicBool::new(false),
        });
        let mut manager = Manager::new(Arc::clone(&state), own, settings, events.clone(), changed);
        if let Some(external) = self.external {
            manager = manager.reaching(external);
        }
        tokio::spawn(manager.run(receiver, stop.clone()));
        if let Some(scribe) = scribe {
            tokio::spawn(scribe.run(stop.clone()));
        }
        tokio::spawn(Arc::clone(&state.registrations).run());
        if let Some(database) = &state.database {
            tokio::spawn(Arc::clone(database).run(stop.clone()));
        }
        let gateway = Gateway {
            router: app::public(&state),
            in_cluster: app::in_cluster(&state),
            admin: app::admin(&state),
            state,
            events,
            snapshots,
            stop,
        };
        gateway.tell(Event::Placements(self.services)).await;
        for (connector, seen) in self.secrets {
            gateway.secret(&connector, seen).await;
        }
        gateway.resources(&self.connectors, &self.grants).await;
        gateway
            .until(|snapshot| {
                // The first Snapshot is empty: wait for the one that the Manager makes.
                gateway.state.loaded.load(std::sync::atomic::Ordering::Acquire)
                    && snapshot.connectors().len() == self.connectors.len()
                    && snapshot.connectors().iter().all(|entry| entry.health != crate::snapshot::Health::Pending)
            })
            .await;
        if let Writer::Document(store) = gateway.state.writer.clone() {
            let (events, stop) = (gateway.events.clone(), gateway.stop.clone());
            tokio::spawn(given::forward(store.given(), "aperium-system".to_owned(), events.clone(), stop.clone()));
            tokio::spawn(follow::run(store, self.settings, TokenFiles::default(), events, stop));
        }
        gateway
    }
}
