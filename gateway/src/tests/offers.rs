use super::harness::*;
use crate::era::Era;
use crate::snapshot::{Health, Kind};
use axum::response::Response;
use serde_json::{Value, json};

async fn gateway(fake: &Fake, patterns: &[&str]) -> Gateway {
    Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", patterns).start().await
}

fn hash_of(name: &str) -> String {
    use sha2::{Digest as _, Sha256};
    hex::encode(Sha256::digest(name.as_bytes()))[..8].to_owned()
}

#[tokio::test]
async fn everything_that_an_upstream_offers_is_listed_under_exposed_and_under_own_names() {
    for era in [Era::Stateless, Era::Legacy] {
        let fake = Offering::new(era).start().await;
        let gateway = gateway(&fake, &["**"]).await;
        let shown = format!("odoo_a_b_{}", hash_of("a.b"));
        assert_eq!(gateway.names("/v1/mcp", Kind::Prompts).await, [shown.as_str(), "odoo_review"]);
        assert_eq!(gateway.names("/v1/mcp/odoo", Kind::Prompts).await, ["a.b", "review"]);
        assert_eq!(gateway.names("/v1/mcp", Kind::Resources).await, ["odoo-file:///a.md", "odoo-file:///b.md"]);
        assert_eq!(gateway.names("/v1/mcp/odoo", Kind::Resources).await, ["file:///a.md", "file:///b.md"]);
        assert_eq!(gateway.names("/v1/mcp", Kind::Templates).await, ["odoo-db://{table}/{id}", "odoo-log://{+path}"]);
        assert_eq!(gateway.names("/v1/mcp/odoo", Kind::Templates).await, ["db://{table}/{id}", "log://{+path}"]);
    }
}

#[tokio::test]
async fn m20_every_list_is_private_to_its_caller_in_the_stateless_era() {
    let fake = Offering::new(Era::Stateless).start().await;
    let gateway = gateway(&fake, &["**"]).await;
    for kind in Kind::ALL {
        let list = gateway.send(stateless_post("/v1/mcp", kind.list_method(), &json!({}))).await.json();
        assert!(list["result"][kind.list_field()].is_array(), "{kind:?}");
        assert_eq!(
            (&list["result"]["cacheScope"], &list["result"]["resultType"]),
            (&json!("private"), &json!("complete"))
        );
        assert!(list["result"]["ttlMs"].is_u64());
        let cursor = gateway.rpc("/v1/mcp", kind.list_method(), &json!({ "cursor": "x" })).await;
        assert_eq!(cursor["error"]["code"], -32602, "no cursor was handed out");
    }
}

#[tokio::test]
async fn each_method_reaches_the_upstream_in_its_own_words_between_all_eras() {
    for era in [Era::Stateless, Era::Legacy] {
        let fake = Offering::new(era).start().await;
        let gateway = gateway(&fake, &["**"]).await;
        let cases = [
            ("prompts/get", "name", "odoo_review", "review"),
            ("resources/read", "uri", "odoo-file:///a.md", "file:///a.md"),
            ("resources/read", "uri", "odoo-db://orders/7", "db://orders/7"),
        ];
        for (method, field, exposed, own) in cases {
            for (path, name) in [("/v1/mcp", exposed), ("/v1/mcp/odoo", own)] {
                let params = json!({ field: name, "vendor": [1] });
                let legacy = gateway.rpc(path, method, &params).await;
                assert_eq!(legacy["result"]["echo"][field], own, "{path} {legacy}");
                assert_eq!(legacy["result"]["echo"]["vendor"], json!([1]));
                let stateless = gateway.send(stateless_post(path, method, &params)).await.json();
                assert_eq!(stateless["result"]["echo"][field], own, "{path} {stateless}");
            }
            if era == Era::Stateless {
                assert_eq!(fake.last(method).headers["mcp-name"], own);
            }
        }
        for (reference, own) in [
            (
                json!({ "type": "ref/prompt", "name": "odoo_review", "title": "t" }),
                json!({ "type": "ref/prompt", "name": "review", "title": "t" }),
            ),
            (
                json!({ "type": "ref/resource", "uri": "odoo-db://{table}/{id}" }),
                json!({ "type": "ref/resource", "uri": "db://{table}/{id}" }),
            ),
            (
                json!({ "type": "ref/resource", "uri": "odoo-file:///a.md" }),
                json!({ "type": "ref/resource", "uri": "file:///a.md" }),
            ),
        ] {
            let params = json!({ "ref": reference, "argument": { "name": "id", "value": "1" } });
            let answer = gateway.send(stateless_post("/v1/mcp", "completion/complete", &params)).await.json();
            assert_eq!(answer["result"]["echo"]["ref"], own);
            assert_eq!(answer["result"]["echo"]["argument"], params["argument"]);
            assert!(!fake.last("completion/complete").headers.contains_key("mcp-name"));
        }
    }
}

#[tokio::test]
async fn what_is_not_granted_is_not_listed_and_answers_as_if_it_were_not_there() {
    let fake = Offering::new(Era::Stateless).start().await;
    let gateway = gateway(&fake, &["odoo/prompts/rev*", "odoo/resources/file:///a*", "odoo/templates/db:*"]).await;
    assert!(gateway.tools("/v1/mcp").await.is_empty());
    assert_eq!(gateway.names("/v1/mcp", Kind::Prompts).await, ["odoo_review"]);
    assert_eq!(gateway.names("/v1/mcp", Kind::Resources).await, ["odoo-file:///a.md"]);
    assert_eq!(gateway.names("/v1/mcp", Kind::Templates).await, ["odoo-db://{table}/{id}"]);
    let ask = async |method: &str, field: &str, name: &str| {
        let answer = gateway.send(stateless_post("/v1/mcp", method, &json!({ field: name }))).await;
        (answer.status, answer.text.replace(name, "NAME"))
    };
    let unknown = ask("prompts/get", "name", "odoo_nothing").await;
    assert!(unknown.1.contains("-32602") && unknown.1.contains("Unknown prompt: NAME"), "{unknown:?}");
    assert_eq!(ask("prompts/get", "name", &format!("odoo_a_b_{}", hash_of("a.b"))).await, unknown);
    let unknown = ask("resources/read", "uri", "other-file:///x").await;
    assert!(unknown.1.contains("-32602") && unknown.1.contains(r#""data":{"uri":"NAME"}"#), "{unknown:?}");
    for denied in [
        "odoo-file:///b.md",
        "odoo-log://x/y",
        "odoo-db://orders/7/8",
        "ODOO-file:///a.md",
        "file:///a.md",
        "odoo-file:///a/../b.md",
        "odoo-file:///a/%2e%2e/b.md",
        "odoo-db://orders/..",
    ] {
        assert_eq!(ask("resources/read", "uri", denied).await, unknown, "{denied}");
    }
    assert_eq!(fake.count("resources/read"), 0);
    for granted in ["odoo-file:///a.md", "odoo-file:///a/not-listed.md", "odoo-db://orders/7"] {
        assert_eq!(ask("resources/read", "uri", granted).await.0, 200);
    }
    assert_eq!(fake.count("resources/read"), 3);
    let reference = json!({ "ref": { "type": "ref/resource", "uri": "odoo-log://{+path}" }, "argument": { "name": "path", "value": "" } });
    let denied = gateway.rpc("/v1/mcp", "completion/complete", &reference).await;
    assert_eq!(denied["error"]["code"], -32602);
    assert_eq!(fake.count("completion/complete"), 0);
}

#[tokio::test]
async fn a_resource_that_is_not_there_has_the_code_of_the_callers_era() {
    let fake = Offering::new(Era::Legacy).with("resources/read", "error -32002").start().await;
    let gateway = gateway(&fake, &["**"]).await;
    for uri in ["odoo-file:///gone", "nobody-file:///gone"] {
        let legacy = gateway.rpc("/v1/mcp", "resources/read", &json!({ "uri": uri })).await;
        assert_eq!((&legacy["error"]["code"], &legacy["error"]["data"]["uri"]), (&json!(-32002), &json!(uri)));
        let stateless = gateway.send(stateless_post("/v1/mcp", "resources/read", &json!({ "uri": uri }))).await.json();
        assert_eq!((&stateless["error"]["code"], &stateless["error"]["data"]["uri"]), (&json!(-32602), &json!(uri)));
    }
}

#[tokio::test]
async fn uris_in_results_are_those_of_the_endpoint() {
    let content = json!([{ "type": "resource_link", "uri": "file:///x" }, { "type": "resource", "resource": { "uri": "ui://app/y", "text": "t" } }]);
    let fake = Offering::new(Era::Legacy)
        .with("tools/call", &json!({ "content": content }).to_string())
        .with("prompts/get", &json!({ "messages": [{ "role": "user", "content": content[0] }] }).to_string())
        .with("resources/read", &json!({ "contents": [{ "uri": "file:///a.md", "text": "t" }] }).to_string())
        .start()
        .await;
    let gateway = gateway(&fake, &["**"]).await;
    let ask =
        async |path: &str, method: &str, params: Value| gateway.rpc(path, method, &params).await["result"].clone();
    let called = ask("/v1/mcp", "tools/call", json!({ "name": "odoo_look" })).await;
    assert_eq!(called["content"][0]["uri"], "odoo-file:///x");
    assert_eq!(called["content"][1]["resource"]["uri"], "ui://odoo-app/y");
    let got = ask("/v1/mcp", "prompts/get", json!({ "name": "odoo_review" })).await;
    assert_eq!(got["messages"][0]["content"]["uri"], "odoo-file:///x");
    let read = ask("/v1/mcp", "resources/read", json!({ "uri": "odoo-file:///a.md" })).await;
    assert_eq!(read["contents"][0]["uri"], "odoo-file:///a.md");
    let linked = ask("/v1/mcp", "resources/read", json!({ "uri": "odoo-file:///x" })).await;
    assert!(linked["contents"].is_array(), "a link that is not listed can be read");
    let own = ask("/v1/mcp/odoo", "tools/call", json!({ "name": "look" })).await;
    assert_eq!(own["content"], content);
}

#[tokio::test]
async fn only_declared_kinds_are_asked_for_and_a_broken_list_takes_nothing_else_away() {
    let mut offering = Offering::new(Era::Legacy).with("prompts/list", "error -32603");
    offering.capabilities = json!({ "prompts": {} });
    let fake = offering.start().await;
    let gateway = gateway(&fake, &["**"]).await;
    assert_eq!(gateway.tools("/v1/mcp").await, ["odoo_look"], "tools are asked for whatever is declared");
    assert!(gateway.names("/v1/mcp", Kind::Prompts).await.is_empty());
    assert_eq!((fake.count("prompts/list"), fake.count("resources/list")), (1, 0));
    assert_eq!(gateway.state.snapshot.load().connectors()[0].health, Health::Registered);
    let undeclared = gateway.rpc("/v1/mcp", "resources/read", &json!({ "uri": "odoo-file:///x" })).await;
    assert_eq!(undeclared["error"]["code"], -32002, "nothing is read where there are no resources");
    assert_eq!(fake.count("resources/read"), 0);
}

#[tokio::test]
async fn m1_hostile_texts_put_prompts_and_resources_in_quarantine_too() {
    let hidden = "see\u{202e}me";
    let fake = Offering::new(Era::Stateless)
        .with(
            "prompts/list",
            &json!({ "prompts": [{ "name": "fine" }, { "name": "bad", "title": hidden }] }).to_string(),
        )
        .with("resources/list", &json!({ "resources": [{ "uri": "file:///bad", "description": hidden }] }).to_string())
        .with(
            "resources/templates/list",
            &json!({ "resourceTemplates": [{ "uriTemplate": "file:///{+any}", "name": "n" }] }).to_string(),
        )
        .start()
        .await;
    let gateway = gateway(&fake, &["**"]).await;
    assert_eq!(gateway.names("/v1/mcp", Kind::Prompts).await, ["odoo_fine"]);
    assert!(gateway.names("/v1/mcp", Kind::Resources).await.is_empty());
    let got = gateway.rpc("/v1/mcp", "prompts/get", &json!({ "name": "odoo_bad" })).await;
    assert_eq!(got["error"]["code"], -32602);
    let read = gateway.rpc("/v1/mcp", "resources/read", &json!({ "uri": "odoo-file:///bad" })).await;
    assert_eq!(read["error"]["code"], -32002, "{read}");
    assert_eq!(fake.count("resources/read") + fake.count("prompts/get"), 0);
}

#[tokio::test]
async fn an_upstream_that_is_gone_is_an_error_for_what_is_no_tool() {
    let fake = Offering::new(Era::Stateless).start().await;
    let gateway = gateway(&fake, &["**"]).await;
    drop(fake);
    gateway.until(|snapshot| !snapshot.connectors()[0].registered()).await;
    assert!(gateway.names("/v1/mcp", Kind::Resources).await.is_empty());
    let answer = gateway.rpc("/v1/mcp", "resources/read", &json!({ "uri": "odoo-file:///a.md" })).await;
    assert_eq!(
        (&answer["error"]["code"], &answer["error"]["data"]["code"]),
        (&json!(-32603), &json!("upstream_unavailable"))
    );
    assert!(answer["error"]["message"].as_str().unwrap().starts_with("connector odoo is unavailable ("), "{answer}");
}

#[tokio::test]
async fn a_uri_that_no_header_can_hold_is_wrapped_in_both_directions() {
    use base64::Engine as _;
    let fake = Offering::new(Era::Stateless).start().await;
    let gateway = gateway(&fake, &["**"]).await;
    let wrapped = |text: &str| format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(text));
    let mut request = stateless_post("/v1/mcp", "resources/read", &json!({ "uri": "odoo-file:///ü" }));
    request.headers_mut().insert("mcp-name", wrapped("odoo-file:///ü").parse().unwrap());
    assert_eq!(gateway.send(request).await.json()["result"]["echo"]["uri"], "file:///ü");
    assert_eq!(fake.last("resources/read").headers["mcp-name"], wrapped("file:///ü").as_str());
    let mut other = stateless_post("/v1/mcp", "resources/read", &json!({ "uri": "odoo-file:///ü" }));
    other.headers_mut().insert("mcp-name", wrapped("odoo-file:///u").parse().unwrap());
    assert_eq!(gateway.send(other).await.code(), -32020);
}

#[tokio::test]
async fn a_list_that_changes_says_so_in_the_digest_of_its_kind_alone() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    let changed = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&changed);
    let fake = Fake::start(move |seen: Seen| {
        let prompts = if now.load(Ordering::SeqCst) { r#"{"prompts":[{"name":"new"}]}"# } else { r#"{"prompts":[]}"# };
        let offering = Offering::new(Era::Stateless).with("prompts/list", prompts);
        async move { offering.answer(&seen) }
    })
    .await;
    let gateway = gateway(&fake, &["**"]).await;
    let digests = || {
        let snapshot = gateway.state.snapshot.load_full();
        Kind::ALL.map(|kind| snapshot.connectors()[0].offers.of(kind).digest.clone())
    };
    let before = digests();
    changed.store(true, Ordering::SeqCst);
    gateway.until(|snapshot| snapshot.exposed(Kind::Prompts, "odoo_new").is_some()).await;
    let after = digests();
    let differ: Vec<bool> = before.iter().zip(&after).map(|(before, after)| before != after).collect();
    assert_eq!(differ, [false, true, false, false]);
}

#[tokio::test]
async fn a_server_that_asks_while_it_lists_is_told_that_nobody_is_there() {
    use std::sync::Arc;
    let told = Arc::new(tokio::sync::Notify::new());
    let fake = Fake::start(move |seen: Seen| {
        let told = Arc::clone(&told);
        async move {
            let message = seen.json();
            if message["id"] == json!("ask-1") {
                assert_eq!(message["error"]["code"], -32601);
                told.notify_one();
                return Response::default();
            }
            if message["method"] != "tools/list" {
                return Offering::new(Era::Legacy).answer(&seen);
            }
            let list = json!({ "jsonrpc": "2.0", "id": message["id"], "result": { "tools": definitions(&["look"]) } });
            let frames = futures::stream::unfold(0, move |step| {
                let (told, list) = (Arc::clone(&told), list.clone());
                async move {
                    let event = match step {
                        0 => json!({ "jsonrpc": "2.0", "id": "ask-1", "method": "roots/list" }),
                        1 => {
                            told.notified().await;
                            list
                        }
                        _ => return None,
                    };
                    Some((Ok::<_, std::convert::Infallible>(format!("data: {event}\n\n")), step + 1))
                }
            });
            let mut response = Response::new(axum::body::Body::from_stream(frames));
            response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
            response
        }
    })
    .await;
    let gateway = gateway(&fake, &["**"]).await;
    assert_eq!(gateway.tools("/v1/mcp").await, ["odoo_look"]);
}
