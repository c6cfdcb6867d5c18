//! What a definition hides from whom, and what one caller could take of another: lists, sessions.

use super::*;
use crate::era::Era;
use crate::tests::sessions::{session, with_method, within};
use http::Method;
use std::collections::BTreeMap;

#[tokio::test]
async fn m1_a_poisoned_tool_is_neither_listed_nor_called_and_admins_read_its_name_and_hash() {
    let html = "<b onclick=\"alert(1)\">adds</b> <!-- & -->";
    let nested = json!({ "type": "object", "properties": { "a": { "enum": ["x", "y\u{200b}z"] } } });
    let tools = json!([
        { "name": "plain", "description": html },
        { "name": "tag", "description": "adds\u{e0041}\u{e0042}" },
        { "name": "bidi", "title": "a\u{202e}b" },
        { "name": "escape", "description": "\u{1b}[8mhidden" },
        { "name": "nested", "inputSchema": nested },
        { "name": "output", "outputSchema": { "description": "\u{2066}x" } },
        { "name": "noted", "annotations": { "title": "\u{feff}x" } },
    ]);
    let fake = Fake::start(move |seen: Seen| {
        let tools = tools.clone();
        async move { stateless(&seen, &tools) }
    })
    .await;
    let mut setup = Setup::default()
        .url("odoo", fake.address, &Value::Null)
        .grant("client:agent", &["**"])
        .grant("client:other", &["**"]);
    setup.grants[1]["spec"]["role"] = json!("admin");
    let (lines, _guard) = Lines::here();
    let gateway = setup.start().await;
    assert_eq!(gateway.names("/v1/mcp", Kind::Tools).await, ["odoo_plain"]);
    let list = gateway.rpc("/v1/mcp", "tools/list", &json!({})).await;
    assert_eq!(list["result"]["tools"][0]["description"], html, "what everybody sees is passed on as it is");
    let poisoned = ["bidi", "escape", "nested", "noted", "output", "tag"];
    let unknown = gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": "odoo_nothing" })).await.to_string();
    for name in poisoned {
        let called = gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": format!("odoo_{name}") })).await.to_string();
        assert_eq!(called.replace(name, "nothing"), unknown, "as if it were not there");
    }
    assert_eq!(fake.count("tools/call"), 0);
    let shown = async |token: &str| {
        let mut request = post_as(token, "/api/connectors/odoo", "");
        *request.method_mut() = Method::GET;
        gateway.send(request).await.json()
    };
    let told = shown("other-token").await;
    let held = told["admin"]["quarantined"].as_array().unwrap();
    assert_eq!(held.iter().map(|one| one["name"].as_str().unwrap()).collect::<Vec<_>>(), poisoned);
    for one in held {
        let hash = one["hash"].as_str().unwrap();
        assert!(hash.starts_with("sha256:") && lines.text().contains(hash), "{one}");
    }
    assert!(shown(TOKEN).await["admin"].is_null(), "only admins are told");
}

#[tokio::test]
async fn m11_no_session_id_but_the_own_one_does_anything_by_any_method() {
    let (anyone, fake) = (["**"], Fake::stateless(&["echo"]).await);
    let setup = Setup::default().url("odoo", fake.address, &Value::Null);
    let gateway = setup.grant("client:agent", &anyone).grant("client:other", &anyone).start().await;
    let id = session(&gateway, "/v1/mcp", &json!({})).await;
    let ping = json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" });
    // Whoever could guess one would have to guess each of its characters.
    for at in 0..id.len() {
        let other = if &id[at..=at] == "A" { "B" } else { "A" };
        let changed = format!("{}{other}{}", &id[..at], &id[at + 1..]);
        assert_eq!(gateway.send(within(&changed, &ping)).await.status, 404, "character {at}");
    }
    assert!(id.len() * 6 >= 256, "{id}");
    let stolen = |mut request: axum::extract::Request| {
        request.headers_mut().insert("authorization", "Bearer other-token".parse().unwrap());
        gateway.send(request)
    };
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "odoo_echo" } });
    for request in [within(&id, &call), with_method(Method::GET, Some(&id)), with_method(Method::DELETE, Some(&id))] {
        assert_eq!(stolen(request).await.status, 404);
    }
    assert_eq!(fake.count("tools/call"), 0);
    assert_eq!(gateway.send(within(&id, &ping)).await.status, 200, "nobody else has ended it");
    let ids: std::collections::BTreeSet<_> =
        futures::future::join_all((0..100).map(|_| async { session(&gateway, "/v1/mcp", &json!({})).await }))
            .await
            .into_iter()
            .collect();
    assert_eq!(ids.len(), 100, "no two are alike");
}

#[tokio::test]
async fn m20_callers_who_list_at_once_each_get_what_they_are_granted() {
    let tools = json!({ "tools": definitions(&["look", "touch"]) }).to_string();
    let public = json!({ "contents": [], "ttlMs": 3_600_000, "cacheScope": "public" }).to_string();
    let offering = Offering::new(Era::Stateless).with("tools/list", &tools).with("resources/read", &public);
    let (fake, other) = (offering.clone().start().await, offering.start().await);
    let gateway = Setup::default()
        .url("odoo", fake.address, &Value::Null)
        .url("hr", other.address, &Value::Null)
        .grant("client:agent", &["odoo/tools/look", "odoo/prompts/*", "odoo/resources/file:///a.md"])
        .grant("client:other", &["hr/**"])
        .start()
        .await;
    let listed = async |token: &'static str, kind: Kind, era: Era| {
        let mut request = match era {
            Era::Stateless => stateless_post("/v1/mcp", kind.list_method(), &json!({})),
            Era::Legacy => {
                post("/v1/mcp", &json!({ "jsonrpc": "2.0", "id": 1, "method": kind.list_method() }).to_string())
            }
        };
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        (token, gateway.send(request).await)
    };
    // Each alone first, then all at once in both eras and in any order.
    let mut alone = BTreeMap::new();
    for (token, theirs) in [(TOKEN, "hr"), ("other-token", "odoo")] {
        for kind in Kind::ALL {
            for era in [Era::Stateless, Era::Legacy] {
                let answer = listed(token, kind, era).await.1;
                let cached = answer.headers.get("cache-control").map(|value| value.to_str().unwrap().to_owned());
                assert!(cached.is_none_or(|said| said.contains("no-store") || said.contains("private")));
                assert!(!answer.text.contains(&format!("\"{theirs}")), "{token}: {}", answer.text);
                alone.insert((token, format!("{kind:?} {era:?}")), answer.text);
            }
        }
    }
    assert!(!alone.values().any(|text| text.contains("odoo_touch")), "{alone:?}");
    let all = (0..400_usize).map(|at| {
        let token = if at % 3 == 0 { TOKEN } else { "other-token" };
        let (kind, era) = (Kind::ALL[at % Kind::ALL.len()], if at % 7 < 3 { Era::Stateless } else { Era::Legacy });
        let (listed, alone) = (&listed, &alone);
        async move {
            let (token, answer) = listed(token, kind, era).await;
            assert_eq!(answer.text, alone[&(token, format!("{kind:?} {era:?}"))]);
        }
    });
    futures::future::join_all(all).await;
    // What an upstream calls public was read by one who may.
    let read = stateless_post("/v1/mcp", "resources/read", &json!({ "uri": "odoo-file:///a.md" }));
    let read = gateway.send(read).await.json();
    assert_eq!(read["result"]["cacheScope"], "private", "{read}");
    let mut theirs = stateless_post("/v1/mcp", "resources/read", &json!({ "uri": "odoo-file:///a.md" }));
    theirs.headers_mut().insert("authorization", "Bearer other-token".parse().unwrap());
    assert!(gateway.send(theirs).await.json()["error"].is_object());
}
