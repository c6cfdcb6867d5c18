use super::harness::*;
use axum::body::BodyDataStream;
use axum::response::Response;
use futures::StreamExt as _;
use serde_json::{Value, json};
use std::time::Duration;

/// One open stream of a client.
struct Listening {
    body: BodyDataStream,
    text: String,
}

impl Listening {
    /// Opens it and takes the acknowledgement off, which must come first.
    async fn open(gateway: &Gateway, path: &str, filter: &Value) -> (Self, Value) {
        let request = stateless_post(path, "subscriptions/listen", &json!({ "notifications": filter }));
        Self::of(gateway.router.clone().oneshot(request).await.unwrap()).await
    }

    async fn of(response: Response) -> (Self, Value) {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        let mut listening = Self { body: response.into_body().into_data_stream(), text: String::new() };
        let first = listening.next().await.expect("no acknowledgement");
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
        assert_eq!(first["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "a");
        (listening, first["params"]["notifications"].clone())
    }

    /// The next message; `None` when the stream has ended.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let message = event.split_once("data: ").map(|(_, data)| serde_json::from_str(data).unwrap());
                self.text = rest.to_owned();
                if message.is_some() {
                    return message;
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(10), self.body.next()).await.expect("nothing came")?;
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
        }
    }

    /// The next message is this one, tagged with the subscription.
    async fn expect(&mut self, method: &str) -> Value {
        let message = self.next().await.expect("the stream has ended");
        assert_eq!(message["method"], method, "{message}");
        assert_eq!(message["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "a", "{message}");
        message
    }

    /// Nothing comes for a while.
    async fn silent(&mut self) {
        assert!(self.text.is_empty());
        let chunk = tokio::time::timeout(Duration::from_millis(1300), self.body.next()).await;
        assert!(chunk.is_err(), "{chunk:?}");
    }
}

const ALL: &str = r#"{"toolsListChanged":true,"promptsListChanged":true,"resourcesListChanged":true}"#;

fn all() -> Value {
    serde_json::from_str(ALL).unwrap()
}

fn rarely() -> Value {
    json!({ "discovery": { "periodSeconds": 3600, "timeoutSeconds": 5 } })
}

async fn gateway(upstream: &Changing) -> Gateway {
    let gateway =
        Setup::default().url("odoo", upstream.fake.address, &rarely()).grant("client:agent", &["**"]).start().await;
    soon(|| upstream.open() == 1).await;
    gateway
}

#[tokio::test]
async fn a_client_hears_of_the_lists_that_it_asked_for_and_of_no_other() {
    let upstream = Changing::stateless().await;
    let gateway = gateway(&upstream).await;
    for path in ["/v1/mcp", "/v1/mcp/odoo"] {
        upstream.tools(&["first"]);
        upstream.say_tools_changed();
        soon_tools(&gateway, &["odoo_first"]).await;
        let (mut tools, honoured) = Listening::open(&gateway, path, &json!({ "toolsListChanged": true })).await;
        assert_eq!(honoured, json!({ "toolsListChanged": true }));
        let (mut others, _) =
            Listening::open(&gateway, path, &json!({ "promptsListChanged": true, "toolsListChanged": false })).await;
        upstream.tools(&["second"]);
        upstream.say_tools_changed();
        tools.expect("notifications/tools/list_changed").await;
        assert_eq!(gateway.tools("/v1/mcp").await, ["odoo_second"], "what is told can be seen");
        others.silent().await;
    }
}

async fn soon_tools(gateway: &Gateway, names: &[&str]) {
    let wait = async {
        while gateway.tools("/v1/mcp").await != names {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("the tools did not become these");
}

#[tokio::test]
async fn a_client_hears_only_of_what_changed_for_it() {
    let (odoo, slack) = (Changing::stateless().await, Changing::stateless().await);
    let gateway = Setup::default()
        .url("odoo", odoo.fake.address, &rarely())
        .url("slack", slack.fake.address, &rarely())
        .grant("client:agent", &["odoo/tools/*"])
        .grant("client:other", &["slack/tools/visible*"])
        .start()
        .await;
    soon(|| odoo.open() == 1 && slack.open() == 1).await;
    let (mut agent, _) = Listening::open(&gateway, "/v1/mcp", &all()).await;
    let listen = json!({ "jsonrpc": "2.0", "id": "a", "method": "subscriptions/listen", "params": { "notifications": all(), "_meta": { "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {} } } });
    let mut request = post_as("other-token", "/v1/mcp", &listen.to_string());
    for (name, value) in [
        ("accept", "text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "subscriptions/listen"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let (mut other, _) = Listening::of(gateway.router.clone().oneshot(request).await.unwrap()).await;
    slack.tools(&["first", "hidden"]);
    slack.say_tools_changed();
    tokio::join!(agent.silent(), other.silent());
    slack.tools(&["visible"]);
    slack.say_tools_changed();
    other.expect("notifications/tools/list_changed").await;
    agent.silent().await;
}

#[tokio::test]
async fn many_changes_are_told_once_a_second_and_the_last_one_is_told() {
    let upstream = Changing::stateless().await;
    let gateway = gateway(&upstream).await;
    let (mut tools, _) = Listening::open(&gateway, "/v1/mcp", &all()).await;
    let grants = |n: usize| {
        [
            json!({ "apiVersion": "aperium.dev/v1alpha1", "kind": "Grant", "metadata": { "name": "g", "namespace": "aperium-system" }, "spec": { "subjects": ["client:agent"], "connectors": if n.is_multiple_of(2) { ["**"] } else { ["odoo/tools/none"] } } }),
        ]
    };
    let connectors = [connector(
        "odoo",
        &json!({ "protocol": "mcp", "url": format!("http://{}/mcp", upstream.fake.address), "discovery": { "periodSeconds": 3600, "timeoutSeconds": 5 } }),
    )];
    let start = std::time::Instant::now();
    let mut told = 0;
    for n in 1..=29 {
        gateway.resources(&connectors, &grants(n)).await;
        gateway.state.settled().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        while let Ok(Some(Ok(chunk))) = tokio::time::timeout(Duration::from_millis(1), tools.body.next()).await {
            told += std::str::from_utf8(&chunk).unwrap().matches("tools/list_changed").count();
        }
    }
    let seconds = usize::try_from(start.elapsed().as_secs()).unwrap() + 1;
    assert!((1..=seconds).contains(&told), "{told} in {seconds} s");
    assert!(gateway.tools("/v1/mcp").await.is_empty());
    // What came too soon after the last one is told a second later, if it is still news.
    while tokio::time::timeout(Duration::from_millis(1500), tools.body.next()).await.is_ok() {}
    gateway.resources(&connectors, &grants(0)).await;
    tools.expect("notifications/tools/list_changed").await;
}

#[tokio::test]
async fn resources_are_followed_as_long_as_somebody_does_and_updates_carry_the_callers_uri() {
    for (upstream, legacy) in [(Changing::stateless().await, false), (Changing::legacy().await, true)] {
        let gateway = gateway(&upstream).await;
        let filter =
            json!({ "resourceSubscriptions": ["odoo-test://a", "odoo-test://nowhere/../x", "slack-test://a"] });
        let (mut first, honoured) = Listening::open(&gateway, "/v1/mcp", &filter).await;
        assert_eq!(honoured, json!({ "resourceSubscriptions": ["odoo-test://a"] }));
        let own = json!({ "resourceSubscriptions": ["test://a", "test://b"] });
        let (mut second, honoured) = Listening::open(&gateway, "/v1/mcp/odoo", &own).await;
        assert_eq!(honoured, own);
        let following = |uri: &str| {
            if legacy {
                upstream.fake.count("resources/subscribe") >= 2
            } else {
                let last = upstream.fake.last("subscriptions/listen").json();
                last["params"]["notifications"]["resourceSubscriptions"].to_string().contains(uri)
            }
        };
        soon(|| following("test://a") && following("test://b") && upstream.open() == 1).await;
        upstream.say_updated("test://a");
        let updated = "notifications/resources/updated";
        assert_eq!(first.expect(updated).await["params"]["uri"], "odoo-test://a");
        assert_eq!(second.expect(updated).await["params"]["uri"], "test://a");
        upstream.say_updated("test://b");
        upstream.say_updated("test://other");
        assert_eq!(second.expect(updated).await["params"]["uri"], "test://b");
        first.silent().await;
        drop((first, second));
        if legacy {
            soon(|| upstream.fake.count("resources/unsubscribe") == 2).await;
            assert_eq!(upstream.fake.count("resources/subscribe"), 2, "once each, however many follow");
        } else {
            soon(|| !following("test://a") && !following("test://b") && upstream.open() == 1).await;
        }
    }
}

#[tokio::test]
async fn one_that_is_not_granted_cannot_be_followed_and_reads_like_one_that_is_not_there() {
    let upstream = Changing::stateless().await;
    let gateway = Setup::default()
        .url("odoo", upstream.fake.address, &rarely())
        .grant("client:agent", &["odoo/tools/*", "odoo/resources/test://b"])
        .start()
        .await;
    let filter = json!({ "toolsListChanged": true, "resourceSubscriptions": ["odoo-test://a", "odoo-test://b"] });
    let (_listening, honoured) = Listening::open(&gateway, "/v1/mcp", &filter).await;
    assert_eq!(honoured, json!({ "toolsListChanged": true, "resourceSubscriptions": ["odoo-test://b"] }));
}

#[tokio::test]
async fn after_a_break_all_that_are_followed_are_said_to_be_updated() {
    let upstream = Changing::stateless().await;
    let gateway = gateway(&upstream).await;
    let (mut listening, _) =
        Listening::open(&gateway, "/v1/mcp", &json!({ "resourceSubscriptions": ["odoo-test://a"] })).await;
    soon(|| upstream.opened() == 2 && upstream.open() == 1).await;
    upstream.cut();
    assert_eq!(listening.expect("notifications/resources/updated").await["params"]["uri"], "odoo-test://a");
}

#[tokio::test]
async fn a_caller_who_loses_all_access_hears_the_end_and_so_does_everyone_at_shutdown() {
    let upstream = Changing::stateless().await;
    let gateway = gateway(&upstream).await;
    let (mut one, _) = Listening::open(&gateway, "/v1/mcp", &all()).await;
    gateway.resources(&[], &[]).await;
    let end = one.next().await.unwrap();
    assert_eq!((&end["id"], &end["result"]["resultType"]), (&json!("a"), &json!("complete")));
    assert_eq!(end["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "a");
    assert!(one.next().await.is_none());
    let gateway = Setup::default().grant("client:agent", &["**"]).start().await;
    let (mut two, _) = Listening::open(&gateway, "/v1/mcp", &all()).await;
    drop(gateway);
    assert_eq!(two.next().await.unwrap()["result"]["resultType"], "complete");
    assert!(two.next().await.is_none());
}

#[tokio::test]
async fn there_are_limits_and_what_is_over_makes_room() {
    let mut setup = Setup::default().grant("client:agent", &["**"]);
    setup.settings.limits.max_subscriptions_per_caller = 2;
    let gateway = setup.start().await;
    let open = || async { Listening::open(&gateway, "/v1/mcp", &json!({})).await.0 };
    let (first, _second) = (open().await, open().await);
    let request = || stateless_post("/v1/mcp", "subscriptions/listen", &json!({ "notifications": {} }));
    let refused = gateway.send(request()).await;
    assert_eq!((refused.status, refused.code()), (429, -32603), "{}", refused.text);
    drop(first);
    open().await;
}

#[tokio::test]
async fn listening_takes_events_a_filter_and_the_era_that_has_it() {
    let gateway = Setup::default().grant("client:agent", &["**"]).start().await;
    let mut json_only = stateless_post("/v1/mcp", "subscriptions/listen", &json!({ "notifications": {} }));
    json_only.headers_mut().insert("accept", "application/json".parse().unwrap());
    assert_eq!(gateway.send(json_only).await.status, 406);
    let no_filter = gateway.send(stateless_post("/v1/mcp", "subscriptions/listen", &json!({}))).await;
    assert_eq!(no_filter.code(), -32602);
    let legacy = gateway.rpc("/v1/mcp", "subscriptions/listen", &json!({ "notifications": {} })).await;
    assert_eq!(legacy["error"]["code"], -32601);
    let about = gateway.send(stateless_post("/v1/mcp", "server/discover", &json!({}))).await.json();
    assert_eq!(about["result"]["capabilities"]["tools"]["listChanged"], true);
    assert_eq!(about["result"]["capabilities"]["resources"]["subscribe"], true);
}

/// One message of a client with a session; its result, or its error.
async fn say(gateway: &Gateway, session: &str, method: &str, params: &Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let answer = gateway.send(super::sessions::within(session, &body)).await.json();
    if answer["error"].is_null() { answer["result"].clone() } else { answer["error"].clone() }
}

#[tokio::test]
async fn a_session_hears_on_its_stream_of_lists_and_of_the_resources_that_it_follows() {
    let upstream = Changing::legacy().await;
    let gateway = gateway(&upstream).await;
    let session = super::sessions::session(&gateway, "/v1/mcp", &json!({})).await;
    let a = json!({ "uri": "odoo-test://a" });
    assert_eq!(say(&gateway, &session, "resources/subscribe", &a).await, json!({}), "before there is a stream");
    let get = super::sessions::with_method(http::Method::GET, Some(&session));
    let response = gateway.router.clone().oneshot(get).await.unwrap();
    let mut stream = Listening { body: response.into_body().into_data_stream(), text: String::new() };
    let b = json!({ "uri": "odoo-test://b" });
    let follow_b = async {
        soon(|| upstream.fake.count("resources/subscribe") == 1).await;
        assert_eq!(say(&gateway, &session, "resources/subscribe", &b).await, json!({}));
        soon(|| upstream.fake.count("resources/subscribe") == 2).await;
        upstream.say_updated("test://a");
        upstream.say_updated("test://b");
    };
    let (first, ()) = tokio::join!(stream.next(), follow_b);
    let second = stream.next().await;
    let updated =
        |uri: &str| json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": { "uri": uri } });
    assert_eq!([first.unwrap(), second.unwrap()], [updated("odoo-test://a"), updated("odoo-test://b")]);
    upstream.tools(&["second"]);
    upstream.say_tools_changed();
    let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
    assert_eq!(stream.next().await.unwrap(), changed);
    let quiet = async {
        assert_eq!(say(&gateway, &session, "resources/unsubscribe", &a).await, json!({}));
        soon(|| upstream.fake.count("resources/unsubscribe") == 1).await;
        upstream.say_updated("test://a");
        upstream.say_updated("test://b");
    };
    let (next, ()) = tokio::join!(stream.next(), quiet);
    assert_eq!(next.unwrap(), updated("odoo-test://b"), "of what is followed no longer nothing is told");
}

#[tokio::test]
async fn a_session_follows_only_what_it_may_read_and_without_a_session_nobody_follows() {
    let upstream = Changing::legacy().await;
    let gateway = gateway(&upstream).await;
    let session = super::sessions::session(&gateway, "/v1/mcp", &json!({})).await;
    let denied = say(&gateway, &session, "resources/subscribe", &json!({ "uri": "slack-test://a" })).await;
    let unknown = say(&gateway, &session, "resources/read", &json!({ "uri": "slack-test://a" })).await;
    assert_eq!(denied["code"], unknown["code"]);
    assert!(denied["code"].is_i64(), "{denied}");
    assert_eq!(say(&gateway, &session, "resources/subscribe", &json!({})).await["code"], -32602);
    let long = json!({ "uri": format!("odoo-test://a/{}", "x".repeat(8 * 1024)) });
    let long = say(&gateway, &session, "resources/subscribe", &long).await;
    assert!(long["message"].as_str().unwrap().contains("at most 8192 bytes"), "{long}");
    let alone = gateway.rpc("/v1/mcp", "resources/subscribe", &json!({ "uri": "odoo-test://a" })).await;
    assert!(alone["error"]["message"].as_str().unwrap().contains("initialize first"), "{alone}");
    let fake = Fake::start(|seen: Seen| async move {
        match seen.json()["method"].as_str() {
            Some("server/discover") => {
                result(&seen, &json!({ "supportedVersions": ["2026-07-28"], "capabilities": { "resources": {} } }))
            }
            Some("resources/list") => result(&seen, &json!({ "resources": [{ "uri": "test://a", "name": "a" }] })),
            _ => stateless(&seen, &json!([])),
        }
    })
    .await;
    let mute = Setup::default().url("mute", fake.address, &rarely()).grant("client:agent", &["**"]).start().await;
    let session = super::sessions::session(&mute, "/v1/mcp", &json!({})).await;
    let refused = say(&mute, &session, "resources/subscribe", &json!({ "uri": "mute-test://a" })).await;
    assert!(refused["message"].as_str().unwrap().contains("does not tell of updates"), "{refused}");
}
