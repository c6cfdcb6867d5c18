//! What the gateway does not have to understand arrives as it left: byte for byte, but for names, URIs and ids.

use super::harness::*;
use crate::era::Era;
use crate::snapshot::Kind;
use serde_json::json;

/// Unknown fields, integers beyond 64 bits, spellings of numbers, the order of keys, escapes, and whitespace.
const ODD: &str =
    r#""zeta":123456789012345678901234567890,"alpha":{"y":[1,  2.50e+3,-0],"x":"\u00e9\/"},"Ünïcode":null"#;

fn with(head: &str, tail: &str) -> String {
    format!("{{{head},{ODD}{tail}}}")
}

#[tokio::test]
async fn definitions_arrive_as_they_left_under_their_exposed_names() {
    let lists = [
        (Kind::Tools, with(r#""name":"look","inputSchema":{"z":1,"a":18446744073709551617}"#, "")),
        (Kind::Prompts, with(r#""arguments":[{"name":"x","vendor":1}],"name":"look""#, "")),
        (Kind::Resources, with(r#""uri":"file:///look","size":99999999999999999999"#, "")),
        (Kind::Templates, with(r#""name":"n","uriTemplate":"file:///{look}""#, "")),
    ];
    for era in [Era::Stateless, Era::Legacy] {
        let mut offering = Offering::new(era);
        for (kind, definition) in &lists {
            offering = offering.with(kind.list_method(), &format!(r#"{{"{}":[{definition}]}}"#, kind.list_field()));
        }
        let fake = offering.start().await;
        let gateway =
            Setup::default().url("odoo", fake.address, &json!({})).grant("client:agent", &["**"]).start().await;
        for (kind, definition) in &lists {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#, kind.list_method());
            let own = gateway.post("/v1/mcp/odoo", &body).await.text;
            assert_eq!(
                own,
                format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"{}":[{definition}]}}}}"#, kind.list_field())
            );
            let exposed = definition
                .replace(r#""name":"look""#, r#""name":"odoo_look""#)
                .replace(r#""uri":"file"#, r#""uri":"odoo-file"#)
                .replace(r#""uriTemplate":"file"#, r#""uriTemplate":"odoo-file"#);
            let all = gateway.post("/v1/mcp", &body).await.text;
            assert_eq!(all, format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"{}":[{exposed}]}}}}"#, kind.list_field()));
        }
    }
}

#[tokio::test]
async fn results_arrive_as_they_left() {
    let block = r#"{"type":"hologram","uri":"file:///look","frames":[1,  2],"n":123456789012345678901234567890}"#;
    let results = [
        ("tools/call", r#""name":"look""#, with(&format!(r#""content":[{block}],"structuredContent":[{block}]"#), "")),
        ("prompts/get", r#""name":"look""#, with(&format!(r#""messages":[{{"role":"user","content":{block}}}]"#), "")),
        (
            "resources/read",
            r#""uri":"file:///look""#,
            with(r#""contents":[{"mimeType":"x/y","uri":"file:///look","z":1,"a":18446744073709551617}]"#, ""),
        ),
        (
            "completion/complete",
            r#""ref":{"type":"ref/prompt","name":"look","vendor":  1}"#,
            with(r#""completion":{"values":["a"],"total":99999999999999999999}"#, ""),
        ),
    ];
    let mut offering = Offering::new(Era::Legacy)
        .with("prompts/list", r#"{"prompts":[{"name":"look"}]}"#)
        .with("resources/list", r#"{"resources":[{"uri":"file:///look"}]}"#);
    for (method, _, result) in &results {
        offering = offering.with(method, result);
    }
    let fake = offering.start().await;
    let gateway = Setup::default().url("odoo", fake.address, &json!({})).grant("client:agent", &["**"]).start().await;
    for (method, subject, result) in &results {
        let params = with(subject, r#","arguments":{"b":1,"a":340282366920938463463374607431768211456}"#);
        let call = |params: &str| format!(r#"{{"jsonrpc":"2.0","id":"me","method":"{method}","params":{params}}}"#);
        let own = gateway.post("/v1/mcp/odoo", &call(&params)).await.text;
        assert_eq!(own, format!(r#"{{"jsonrpc":"2.0","id":"me","result":{result}}}"#));
        let sent = fake.last(method).text;
        assert!(sent.ends_with(&format!(r#","method":"{method}","params":{params}}}"#)), "{sent}");

        let exposed = params
            .replace(r#""name":"look""#, r#""name":"odoo_look""#)
            .replace(r#""uri":"file"#, r#""uri":"odoo-file"#);
        let all = gateway.post("/v1/mcp", &call(&exposed)).await.text;
        let expected =
            if *method == "resources/read" { result.replace("file:///", "odoo-file:///") } else { result.clone() };
        assert_eq!(all, format!(r#"{{"jsonrpc":"2.0","id":"me","result":{expected}}}"#), "{method}");
        let sent = fake.last(method).text;
        assert!(sent.ends_with(&format!(r#","method":"{method}","params":{params}}}"#)), "{sent}");
    }
}

#[tokio::test]
async fn between_the_eras_only_what_the_eras_differ_in_is_added() {
    let result = with(r#""content":[{"type":"hologram","n":123456789012345678901234567890}]"#, "");
    for (era, added) in [(Era::Legacy, r#""resultType":"complete","#), (Era::Stateless, "")] {
        let fake = Offering::new(era).with("tools/call", &result).start().await;
        let gateway =
            Setup::default().url("odoo", fake.address, &json!({})).grant("client:agent", &["**"]).start().await;
        let answer = gateway.send(stateless_post("/v1/mcp", "tools/call", &json!({ "name": "odoo_look" }))).await;
        let expected = result.replacen('{', &format!("{{{added}"), 1);
        assert_eq!(answer.text, format!(r#"{{"jsonrpc":"2.0","id":"a","result":{expected}}}"#));
        let legacy = gateway
            .post("/v1/mcp", r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"odoo_look"}}"#)
            .await;
        assert_eq!(legacy.text, format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#));
    }
}

#[tokio::test]
async fn a_result_that_comes_as_an_event_arrives_as_it_left() {
    let result = with(r#""content":[{"type":"hologram","n":123456789012345678901234567890}]"#, "");
    let sent = result.clone();
    let fake = Fake::start(move |seen: Seen| {
        let result = sent.clone();
        async move {
            let message = seen.json();
            if message["method"] != "tools/call" {
                return Offering::new(Era::Stateless).answer(&seen);
            }
            let event = format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{result}}}\n\n", message["id"]);
            let mut response = axum::response::Response::new(event.into());
            response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
            response
        }
    })
    .await;
    let gateway = Setup::default().url("odoo", fake.address, &json!({})).grant("client:agent", &["**"]).start().await;
    let answer = gateway.send(stateless_post("/v1/mcp", "tools/call", &json!({ "name": "odoo_look" }))).await;
    assert!(answer.text.contains(&format!(r#"{{"jsonrpc":"2.0","id":"a","result":{result}}}"#)), "{}", answer.text);
}
