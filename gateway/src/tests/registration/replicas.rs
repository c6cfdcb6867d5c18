//! Two replicas over one database: whichever a server registers with, both serve it.

use super::*;
use aperium_platform::seal::{KeyRing, Sealer};
use aperium_store::{Store, Target};

struct World {
    folder: tempfile::TempDir,
    ring: Sealer,
    fake: Fake,
}

impl World {
    async fn start() -> Self {
        let ring = Sealer::fixed(KeyRing::generate().unwrap());
        Self { folder: tempfile::tempdir().unwrap(), ring, fake: Fake::stateless(&["search"]).await }
    }

    fn url(&self) -> String {
        format!("http://{}/mcp", self.fake.address)
    }

    async fn replica(&self, limit: usize) -> Gateway {
        let mut setup = setup(&[self.fake.address.to_string()]);
        let target = Target::Sqlite(self.folder.path().join("db"));
        setup.database = Some(Store::connect(&target, self.ring.clone()).await.unwrap());
        setup.settings.registration.max_per_caller = limit;
        setup.start().await
    }
}

async fn called(gateway: &Gateway, tool: &str) -> Value {
    let params = json!({ "name": tool, "arguments": {} });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    gateway.send(post_as("other-token", "/v1/mcp", &body.to_string())).await.json()
}

#[tokio::test]
async fn what_is_registered_with_one_replica_is_served_by_all_and_leaves_all() {
    let world = World::start().await;
    let (one, other) = (world.replica(1).await, world.replica(1).await);
    let mut held = register(&one, TOKEN, &world.url()).await;
    assert_eq!(line(&mut held).await, json!({ "id": "auto1", "tools": 1 }));
    other.until(|snapshot| snapshot.connectors().iter().any(|entry| entry.registered())).await;
    assert_eq!(tools(&other, "other-token").await, ["auto1_search"]);
    assert_eq!(called(&other, "auto1_search").await["result"]["content"][0]["text"], "search");
    let another = refused(&other, TOKEN, &format!("{}?another", world.url())).await;
    assert_eq!(another.0, 429, "the share of a caller is that of all replicas: {another:?}");
    drop(held);
    for gateway in [&one, &other] {
        gateway.until(|snapshot| snapshot.connectors().is_empty()).await;
    }
    let mut next = register(&other, TOKEN, &world.url()).await;
    assert_eq!(line(&mut next).await["id"], "auto2", "no replica gives a number again");
}

#[tokio::test]
async fn a_registrant_whose_replica_is_gone_goes_on_at_another_under_the_same_number() {
    let world = World::start().await;
    let (one, other) = (world.replica(10).await, world.replica(10).await);
    let mut held = register(&one, TOKEN, &world.url()).await;
    assert_eq!(line(&mut held).await["id"], "auto1");
    other.until(|snapshot| snapshot.connectors().iter().any(|entry| entry.registered())).await;
    // It stops: the connection ends, and its row stays for a while.
    one.stop.cancel();
    while held.body_mut().frame().await.is_some() {}
    drop((held, one));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(tools(&other, "other-token").await, ["auto1_search"], "nobody notices");
    let mut again = register(&other, TOKEN, &world.url()).await;
    assert_eq!(line(&mut again).await["id"], "auto1");
    // The row of the replica that is gone ends after fifteen seconds; the new one is put off.
    for _ in 0..17 {
        assert_eq!(line(&mut again).await, json!({ "keepalive": true }));
        assert_eq!(called(&other, "auto1_search").await["result"]["content"][0]["text"], "search");
    }
    drop(again);
    other.until(|snapshot| snapshot.connectors().is_empty()).await;
}

#[tokio::test]
async fn a_server_that_does_not_come_back_leaves_with_the_row_of_its_replica() {
    let world = World::start().await;
    let (one, other) = (world.replica(10).await, world.replica(10).await);
    let mut held = register(&one, TOKEN, &world.url()).await;
    line(&mut held).await;
    other.until(|snapshot| snapshot.connectors().iter().any(|entry| entry.registered())).await;
    one.stop.cancel();
    while held.body_mut().frame().await.is_some() {}
    let gone = async {
        while !tools(&other, "other-token").await.is_empty() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("it leaves");
}
