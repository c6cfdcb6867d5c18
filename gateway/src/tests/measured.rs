//! What a leased call costs the gateway: `make bench` runs it in the release build, and prints it beside the goals.

use super::harness::*;
use crate::broker::BrokerConfig;
use aperium_core::caller::{Caller, Principal};
use aperium_core::id::{ConnectorId, ConnectorName, TenantId};
use aperium_platform::lease::{Audience, LeaseSigner};
use aperium_platform::seal::{KeyRing, Sealer};
use aperium_store::{Store, Target};
use std::time::{Duration, Instant};

const MINTED: u32 = 20_000;
const REDEEMED: usize = 2_000;

#[tokio::test]
#[ignore = "a measurement"]
async fn measure_leased_calls() {
    let (fake, folder) = (Fake::stateless(&["search"]).await, tempfile::tempdir().unwrap());
    let target = Target::Sqlite(folder.path().join("aperium.db"));
    let store = Store::connect(&target, Sealer::ephemeral().unwrap()).await.unwrap();
    let (acme, odoo) = (TenantId::parse("acme").unwrap(), ConnectorId::parse("odoo").unwrap());
    let fields = [("password".to_owned(), "s3cret".to_owned().into())].into();
    store.tenant(&acme).put_credential(&odoo, &fields, None, "admin").await.unwrap();
    let signer = LeaseSigner::fixed(KeyRing::generate().unwrap());
    let broker = BrokerConfig::without_credentials(signer).with_store(store);
    let setup = Setup { broker, ..Setup::default() };
    let gateway = setup.service("odoo", fake.address, "service-token").grant("*", &["**"]).start().await;
    let snapshot = gateway.state.snapshot.load_full();
    let config = &snapshot.at(snapshot.position(&odoo).unwrap()).unwrap().config;
    let mut caller = Caller::new(Principal::Client("agent".to_owned()));
    caller.tenant = Some(acme);

    // Nothing is waited for but the version of the credential, every 2 s: what passes is CPU time.
    let (began, broker) = (Instant::now(), &gateway.state.broker);
    let mut leases = Vec::new();
    for number in 0..MINTED {
        let (_, lease) = broker.for_call(config, "search", &caller, "r-1").await.unwrap().unwrap();
        if number as usize >= MINTED as usize - REDEEMED {
            leases.push(lease.to_str().unwrap().to_owned());
        }
    }
    let minting = began.elapsed() / MINTED;
    let pod = Audience::of("aperium-system", &ConnectorName::parse("odoo").unwrap());
    let mut took: Vec<Duration> = Vec::new();
    for lease in &leases {
        let began = Instant::now();
        broker.redeem(&pod, lease, "").await.unwrap();
        took.push(began.elapsed());
    }
    took.sort_unstable();
    let at = |percent: usize| took[took.len() * percent / 100].as_secs_f64() * 1e3;
    println!("| leased calls: minting, CPU µs | ≤ 40 | {:.1} |", minting.as_secs_f64() * 1e6);
    println!("| leased calls: a redeem at the broker over SQLite, p50 ms | ≤ 1 | {:.2} (p99 {:.2}) |", at(50), at(99));
}
