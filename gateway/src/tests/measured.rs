//! What a leased call costs the gateway. `make bench` runs it in the release build with a PostgreSQL in `DATABASE_URL`, and
//! puts the lines that it prints beside the goals.

use super::broker::{api_server, redeem};
use super::harness::*;
use crate::broker::BrokerConfig;
use aperium_core::caller::{Caller, Principal};
use aperium_core::id::{ConnectorId, TenantId};
use aperium_platform::lease::{LeaseSigner, Now};
use aperium_platform::seal::{KeyRing, Sealer};
use aperium_store::{Store, Target};
use secrecy::SecretString;
use std::time::{Duration, Instant};

const MINTED: usize = 20_000;
const REDEEMED: usize = 2_000;

#[tokio::test]
#[ignore = "a measurement"]
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no arguments: whoever runs it names the database in the environment"
)]
async fn measure_leased_calls() {
    let (fake, folder) = (Fake::stateless(&["search"]).await, tempfile::tempdir().unwrap());
    let (kind, target) = match std::env::var("DATABASE_URL") {
        Ok(url) => ("PostgreSQL", Target::postgres(&SecretString::from(url)).unwrap()),
        Err(_) => ("SQLite", Target::Sqlite(folder.path().join("aperium.db"))),
    };
    let store = Store::connect(&target, Sealer::ephemeral().unwrap()).await.unwrap();
    let (acme, odoo) = (TenantId::parse("acme").unwrap(), ConnectorId::parse("odoo").unwrap());
    let fields = [("host", "db"), ("username", "reader"), ("password", "s3cret")]
        .map(|(field, value)| (field.to_owned(), value.to_owned().into()));
    store.tenant(&acme).put_credential(&odoo, &fields.into(), None, "admin").await.unwrap();
    let signer = LeaseSigner::fixed(KeyRing::generate().unwrap());
    let broker = BrokerConfig::without_credentials(signer.clone()).with_store(store.clone());
    let setup = Setup { broker, reviewer: Some(api_server()), database: Some(store), ..Setup::default() };
    let gateway = setup.service("odoo", fake.address, "service-token").grant("*", &["**"]).start().await;
    let snapshot = gateway.state.snapshot.load_full();
    let config = &snapshot.at(snapshot.position(&odoo).unwrap()).unwrap().config;
    let mut caller = Caller::new(Principal::Client("agent".to_owned()));
    caller.tenant = Some(acme);

    // Nothing is waited for but the version of the credential, every 2 s: what passes is CPU time.
    let began = Instant::now();
    let mut leases = Vec::new();
    for _ in 0..MINTED {
        let (_, lease) = gateway.state.broker.for_call(config, "search", &caller, "r-1").await.unwrap().unwrap();
        leases.push(lease.to_str().unwrap().to_owned());
    }
    let minting = began.elapsed().as_secs_f64() * 1e6 / MINTED as f64;
    println!("\nmeasured: minting, CPU µs | 40 | {minting:.1}");
    assert!(signer.open(&leases[0], Now::clock()).is_ok(), "the leases still hold");

    // As a pod does it, TLS and the network aside: its token, the lease, the record, the fields.
    let mut took: Vec<Duration> = Vec::new();
    for lease in &leases[MINTED - REDEEMED..] {
        let began = Instant::now();
        let answer = redeem(&gateway, "pod-of-odoo", &[lease]).await;
        took.push(began.elapsed());
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    took.sort_unstable();
    let at = |percent: usize| took[took.len() * percent / 100].as_secs_f64() * 1e3;
    println!("measured: a redeem at the broker over {kind}, p50 ms | 1 | {:.3}", at(50));
    println!("a redeem: p90 {:.3} ms, p99 {:.3} ms", at(90), at(99));
}
