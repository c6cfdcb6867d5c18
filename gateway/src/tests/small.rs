//! The future of a request, which is made and moved once for each, stays small.

use super::harness::*;
use aperium_platform::serve::App as _;
use serde_json::{Value, json};

/// Bytes, in a build without optimisations, where it takes a little more than in a release.
const LIMIT: usize = 12 * 1024;

#[tokio::test]
async fn the_future_of_a_request_stays_small() {
    let fake = Fake::stateless(&["echo"]).await;
    let gateway = Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
    let future =
        gateway.router.clone().answer(stateless_post("/v1/mcp", "tools/call", &json!({ "name": "odoo_echo" })));
    let bytes = size_of_val(&future);
    assert_eq!(future.await.status(), 200);
    assert!(bytes <= LIMIT, "{bytes} bytes; what few requests need belongs on the heap where it begins (Box::pin)");
}
