//! What a client has to do in each scenario so that the suite's server sees what it wants to judge.

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value, json};

use aperium_tests::mcp::Client;

/// A revision whose client needs no session and sends no headers about its arguments: the gateway has to make them.
const BARE: &str = "2025-06-18";

/// Plays a scenario through the gateway at `url`, as a client of `version`.
pub(crate) async fn play(scenario: &str, version: &str, context: &Value, url: &str) -> anyhow::Result<()> {
    let bare = Client::stateless(url, BARE, defaults);
    match scenario {
        // What the server has to see is what the gateway does by itself: it finds out what there is.
        "initialize" | "request-metadata" | "json-schema-ref-no-deref" => Ok(()),
        "tools_call" => {
            let result = client(url, version).await?.call("add_numbers", json!({"a": 5, "b": 3})).await?;
            ensure!(result["content"][0]["text"] == "The sum of 5 and 3 is 8", "{result}");
            Ok(())
        }
        "elicitation-sep1034-client-defaults" => {
            let result = client(url, version).await?.call("test_client_elicitation_defaults", json!({})).await?;
            let text = result["content"][0]["text"].as_str().unwrap_or_default();
            ensure!(text.starts_with("Elicitation completed"), "{result}");
            Ok(())
        }
        "sse-retry" => {
            let result = client(url, version).await?.call("test_reconnection", json!({})).await?;
            ensure!(result["content"][0]["text"] == "Reconnection test completed successfully", "{result}");
            Ok(())
        }
        "sep-2322-client-request-state" => several_rounds(client(url, version).await?).await,
        "http-standard-headers" => every_method(client(url, version).await?).await,
        "http-custom-headers" => calls_of(context, bare).await,
        "http-invalid-tool-headers" => every_tool(bare).await,
        "json-schema-2020-12-preservation" => echo_a_schema(client(url, version).await?).await,
        unknown => anyhow::bail!("no such scenario here: {unknown}"),
    }
}

/// A client of the suite's own revision.
async fn client(url: &str, version: &str) -> anyhow::Result<Client> {
    match version {
        "2026-07-28" => Ok(Client::stateless(url, version, defaults)),
        _ => Client::with_session(url, version, defaults).await,
    }
}

/// Accepts every form with the defaults of its fields.
fn defaults(request: &Value) -> Value {
    let properties = request["params"]["requestedSchema"]["properties"].as_object().into_iter().flatten();
    let content: Map<String, Value> =
        properties.filter_map(|(name, field)| Some((name.clone(), field.get("default")?.clone()))).collect();
    json!({"action": "accept", "content": content})
}

/// Two calls that need a second round, another call in between, and one that is complete although it does not say so.
async fn several_rounds(mut client: Client) -> anyhow::Result<()> {
    let first = client.call("test_mrtr_echo_state", json!({})).await?;
    client.call("test_mrtr_unrelated", json!({})).await?;
    let answered = retry(&mut client, "test_mrtr_echo_state", &first).await?;
    ensure!(answered["content"][0]["text"] == "echo-state-ok", "{answered}");
    let first = client.call("test_mrtr_no_state", json!({})).await?;
    let answered = retry(&mut client, "test_mrtr_no_state", &first).await?;
    ensure!(answered["content"][0]["text"] == "no-state-ok", "{answered}");
    let at_once = client.call("test_mrtr_no_result_type", json!({})).await?;
    ensure!(at_once["content"][0]["text"] == "no-result-type-test-ok", "{at_once}");
    Ok(())
}

async fn retry(client: &mut Client, name: &str, asked: &Value) -> anyhow::Result<Value> {
    ensure!(asked["resultType"] == "input_required", "{asked}");
    let questions = asked["inputRequests"].as_object().context("questions")?;
    let confirmed = json!({"action": "accept", "content": {"confirmed": true}});
    let responses: Map<String, Value> = questions.keys().map(|key| (key.clone(), confirmed.clone())).collect();
    let mut params = json!({"name": name, "arguments": {}, "inputResponses": responses});
    if let Some(state) = asked.get("requestState") {
        params["requestState"] = state.clone();
    }
    client.request("tools/call", params).await
}

/// Each method that has a `Mcp-Name`, on everything that is listed.
async fn every_method(mut client: Client) -> anyhow::Result<()> {
    for name in entries(&client.request("tools/list", json!({})).await?["tools"], "name")? {
        client.call(&name, json!({})).await?;
    }
    for uri in entries(&client.request("resources/list", json!({})).await?["resources"], "uri")? {
        client.request("resources/read", json!({"uri": uri})).await?;
    }
    for name in entries(&client.request("prompts/list", json!({})).await?["prompts"], "name")? {
        client.request("prompts/get", json!({"name": name})).await?;
    }
    Ok(())
}

/// The calls that the scenario prescribes.
async fn calls_of(context: &Value, mut client: Client) -> anyhow::Result<()> {
    for call in context["toolCalls"].as_array().context("prescribed calls")? {
        client.call(call["name"].as_str().context("a name")?, call["arguments"].clone()).await?;
    }
    Ok(())
}

/// Every tool that is still listed: those with bad annotations must not be.
async fn every_tool(mut client: Client) -> anyhow::Result<()> {
    let names = entries(&client.request("tools/list", json!({})).await?["tools"], "name")?;
    ensure!(names == ["valid_tool"], "{names:?}");
    client.call("valid_tool", json!({"region": "us-west1"})).await.map(drop)
}

/// Sends back the schema of one tool as an argument of another.
async fn echo_a_schema(mut client: Client) -> anyhow::Result<()> {
    let listed = client.request("tools/list", json!({})).await?;
    let tools = listed["tools"].as_array().context("tools")?;
    let tool = tools.iter().find(|tool| tool["name"] == "json_schema_2020_12_tool").context("the tool")?;
    client.call("json_schema_echo", json!({"schema": tool["inputSchema"]})).await.map(drop)
}

/// One field of all entries of a list, which must not be empty.
fn entries(list: &Value, field: &str) -> anyhow::Result<Vec<String>> {
    let entries = list.as_array().filter(|entries| !entries.is_empty()).context("an empty list")?;
    Ok(entries.iter().filter_map(|entry| entry[field].as_str()).map(str::to_owned).collect())
}
