//! T1 and T2: no call ever sees the credential of another tenant or connector, while services are killed and both rings of
//! keys change. The full figures are run under `APERIUM_SOAK`, and a hundredth of them otherwise.

use super::world::{ASKED, CROSSINGS, TENANTS, World, canary, id, tenant};
use aperium_gateway::BrokerConfig;
use aperium_platform::lease::LeaseSigner;
use aperium_platform::seal::{KeyRing, Sealer};
use aperium_store::{Store, Target};
use secrecy::{ExposeSecret as _, SecretString};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const CONNECTORS: usize = 16;
const CLIENTS: usize = 64;
const ROTATIONS: usize = 2;
/// How long a change of a ring takes to be seen by all who read its file.
const SETTLES: Duration = Duration::from_millis(700);

#[expect(clippy::disallowed_methods, reason = "a test has no arguments")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The next number of a generator whose seed is printed.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap()
}

/// What the clients have done so far, and whether they may stop.
#[derive(Debug, Default)]
struct Progress {
    right: AtomicUsize,
    failed: AtomicUsize,
    rotated: AtomicUsize,
    over: AtomicBool,
}

fn write(path: &Path, ring: &KeyRing) {
    let next = path.with_extension("next");
    std::fs::write(&next, ring.to_text().expose_secret()).unwrap();
    std::fs::rename(next, path).unwrap();
}

/// A ring in a file, as an admin rotates it.
struct Ring<'p>(&'p Path, KeyRing);

impl<'p> Ring<'p> {
    fn new(path: &'p Path) -> Self {
        let ring = KeyRing::generate().unwrap();
        write(path, &ring);
        Self(path, ring)
    }

    /// The new key is known before it is used.
    async fn change(&mut self) {
        let kid = self.1.add_key().unwrap();
        write(self.0, &self.1);
        tokio::time::sleep(SETTLES).await;
        self.1.use_key(&kid).unwrap();
        write(self.0, &self.1);
        tokio::time::sleep(SETTLES).await;
    }

    fn retire(&mut self) {
        self.1.retire_others();
        write(self.0, &self.1);
    }
}

/// Every tenant has its own value for every connector, sealed in a database.
async fn sealed(folder: &Path, keys: &Path, connectors: &[&str]) -> Store {
    let target = Target::Sqlite(folder.join("aperium.db"));
    let store = Store::connect(&target, Sealer::file(keys)).await.unwrap();
    for connector in connectors {
        for number in 0..TENANTS {
            let fields = [("password".to_owned(), SecretString::from(canary(number, connector)))].into();
            store.tenant(&tenant(number)).put_credential(&id(connector), &fields, None, "admin").await.unwrap();
        }
    }
    store
}

/// Calls at random until all have been right, and for as long as services are killed.
async fn client(world: Arc<World>, connectors: Arc<[String]>, progress: Arc<Progress>, calls: usize, mut state: u64) {
    let mut right = 0;
    while right < calls || !progress.over.load(Ordering::Relaxed) {
        let (tenant, connector) = (next(&mut state) % TENANTS, &connectors[next(&mut state) % CONNECTORS]);
        let answer = world.call(tenant, connector, &canary(tenant, connector)).await;
        match answer["result"]["structuredContent"]["right"].as_bool() {
            Some(true) => {
                right += 1;
                progress.right.fetch_add(1, Ordering::Relaxed);
            }
            Some(false) => panic!("a crossing: tenant {tenant}, {connector}: {answer}"),
            // Its service was killed, or is not found again yet.
            None => {
                progress.failed.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t2_no_call_ever_sees_the_credential_of_another_tenant_or_connector() {
    let full = variable("APERIUM_SOAK").is_some();
    let calls_each = if full { 15_625 } else { 157 };
    let kill_every = Duration::from_millis(if full { 2000 } else { 500 });
    let seed = variable("APERIUM_SEED")
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs());
    println!("APERIUM_SEED={seed}");
    let connectors: Arc<[String]> = (0..CONNECTORS).map(|number| format!("c{number}")).collect();
    let names: Vec<&str> = connectors.iter().map(String::as_str).collect();
    let folder = tempfile::tempdir().unwrap();
    let (of_leases, of_rows) = (folder.path().join("leases.json"), folder.path().join("rows.json"));
    let (mut lease_keys, mut row_keys) = (Ring::new(&of_leases), Ring::new(&of_rows));
    let store = sealed(folder.path(), &of_rows, &names).await;
    let broker = BrokerConfig::without_credentials(LeaseSigner::file(&of_leases)).with_store(store.clone());
    let world = Arc::new(World::over(&names, broker, None).await);
    let progress = Arc::new(Progress::default());
    let asked_before = ASKED.load(Ordering::Relaxed);
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let state = seed ^ (u64::try_from(number).unwrap() << 32);
        clients.spawn(client(Arc::clone(&world), Arc::clone(&connectors), Arc::clone(&progress), calls_each, state));
    }
    let rotating = async {
        for rotation in 1..=ROTATIONS {
            // At a third and at two thirds of the way.
            while progress.right.load(Ordering::Relaxed) < CLIENTS * calls_each * rotation / (ROTATIONS + 1) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            tokio::join!(lease_keys.change(), row_keys.change());
            let tenants = u64::try_from(TENANTS).unwrap();
            assert_eq!(store.every_tenant().rewrap().await, Ok(tenants), "every data key is sealed anew");
            lease_keys.retire();
            row_keys.retire();
            progress.rotated.fetch_add(1, Ordering::Relaxed);
        }
    };
    let killing = async {
        let (mut state, mut killed) = (!seed, 0);
        while progress.rotated.load(Ordering::Relaxed) < ROTATIONS
            || progress.right.load(Ordering::Relaxed) < CLIENTS * calls_each
        {
            tokio::time::sleep(kill_every).await;
            let (world, victim) = (Arc::clone(&world), connectors[next(&mut state) % CONNECTORS].clone());
            tokio::task::spawn_blocking(move || world.kill(&victim)).await.unwrap();
            killed += 1;
        }
        progress.over.store(true, Ordering::Relaxed);
        killed
    };
    let ((), killed) = tokio::join!(rotating, killing);
    clients.join_all().await;
    let [right, failed, crossings] =
        [&progress.right, &progress.failed, &CROSSINGS].map(|count| count.load(Ordering::Relaxed));
    println!(
        "{right} calls: {crossings} crossings, {killed} services killed, both rings changed {ROTATIONS} times, {failed} calls failed meanwhile"
    );
    assert!(right >= CLIENTS * calls_each && killed >= 3, "it has really been done");
    assert!(ASKED.load(Ordering::Relaxed) - asked_before >= right, "the upstream has seen every one of them");
    assert_eq!(crossings, 0);
}
