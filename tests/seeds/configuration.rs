//! The examples about configuring: flag, sections, messages, migration.

use crate::bed::{Bed, bash, document};
use crate::upstreams::Upstream;
use aperium_tests::binaries;
use serde_json::{Value, json};

/// Step 1 of the set-up.
const FLAG: &str = r#"{
  "flags": {
    "connectors": {"value": true}
  }
}"#;

/// Step 2, with the scripted upstreams' addresses.
pub(crate) fn step_2(mcp: &Upstream, api: &Upstream) -> String {
    r#"{
  "connectors": {
    "servers": {
      "local": {
        "protocol": "mcp",
        "url": "http://localhost:8185/v1/mcp"
      },
      "github": {
        "protocol": "http",
        "url": "https://api.github.com",
        "description": "GitHub REST API (read-only)",
        "auth": {
          "type": "bearer_token",
          "secret": "github_pat_example"
        }
      }
    }
  }
}"#
    .replace("localhost:8185", &mcp.host())
    .replace("https://api.github.com", &format!("http://{}", api.host()))
}

#[test]
fn set_up_step_1_the_feature_flag_opens_the_way_for_step_2() {
    let (mcp, api) = (Upstream::mcp(&["search", "query"], None), Upstream::api());
    let bed = Bed::start("{}");
    let step_2 = document(&step_2(&mcp, &api));
    let (status, answer) = bed.save(&step_2);
    assert!(status == 422 && answer["error"].as_str().is_some_and(|e| e.contains("feature flag")), "{status} {answer}");
    let mut merged = document(FLAG);
    let (status, answer) = bed.save(&merged);
    assert!(status == 200 && answer["success"] == true, "{status} {answer}");
    merged["connectors"] = step_2["connectors"].clone();
    assert_eq!(bed.save(&merged).0, 200);
    bed.until_tools(|tools| tools.iter().any(|tool| tool == "local_search"));
    // Connectors that are there go on without the flag.
    merged["flags"]["connectors"]["value"] = json!(false);
    assert_eq!(bed.save(&merged).0, 200);
    assert!(bed.tools().contains(&"local_query".to_owned()));
}

#[test]
fn set_up_step_2_an_mcp_server_without_and_an_http_api_with_authentication() {
    let (mcp, api) = (Upstream::mcp(&["search", "query"], None), Upstream::api());
    let bed = Bed::start(&step_2(&mcp, &api));
    let tools = bed.until_tools(|tools| tools.len() >= 3);
    assert_eq!(tools, ["aperture_list_connectors", "local_query", "local_search"]);
    let text = bed.call("local_search")["result"]["content"][0]["text"].clone();
    assert_eq!(text, "called search", "the prefix is stripped on the way");
    assert!(mcp.seen().iter().all(|seen| seen.path == "/v1/mcp"), "the URL's path is kept");
}

#[test]
fn set_up_step_3_without_grants_nothing_is_visible() {
    let (mcp, api) = (Upstream::mcp(&["search"], None), Upstream::api());
    let mut example: Value = serde_json::from_str(&step_2(&mcp, &api)).expect("JSON");
    example["grants"] = json!([
        { "src": ["(loopback)"], "app": { "tailscale.com/cap/aperture": [{ "role": "admin" }] } }
    ]);
    let bed = Bed::start(&example.to_string());
    assert_eq!(bed.tools(), Vec::<String>::new());
    let status =
        bed.run("curl -sS -o /dev/null -w '%{http_code}' http://<aperture-hostname>/v1/connectors/github/user");
    assert_eq!(status, "403");
    // Each pattern of the list opens what the seeds say, and nothing else.
    for (pattern, tools, proxied) in [
        ("local/tools/*", vec!["local_search"], "403"),
        ("local/**", vec!["local_search"], "403"),
        ("github/proxy", vec![], "200"),
        ("github/**", vec![], "200"),
        ("**", vec!["aperture_list_connectors", "local_search"], "200"),
    ] {
        let mut granted = example.clone();
        let grants = granted["grants"].as_array_mut().expect("grants");
        grants.push(json!({ "src": ["*"], "app": { "tailscale.com/cap/aperture": [{ "connectors": [pattern] }] } }));
        assert_eq!(bed.save(&granted).0, 200, "{pattern}");
        assert_eq!(bed.until_tools(|seen| seen == tools), tools, "{pattern}");
        let line = "curl -sS -o /dev/null -w '%{http_code}' http://<aperture-hostname>/v1/connectors/github/user";
        assert_eq!(bed.run(line), proxied, "{pattern}");
    }
}

#[test]
fn migration_before_and_after_serve_the_same() {
    let mcp = Upstream::mcp(&["search"], None);
    for section in [
        r#"{ "mcp": { "servers": { "local": { "url": "http://localhost:8185/v1/mcp" } } } }"#,
        r#"{ "connectors": { "servers": { "local": { "protocol": "mcp", "url": "http://localhost:8185/v1/mcp" } } } }"#,
    ] {
        let bed = Bed::start(&section.replace("localhost:8185", &mcp.host()));
        assert_eq!(bed.until_tools(|tools| !tools.is_empty()), ["local_search"], "{section}");
    }
}

#[test]
fn troubleshooting_each_validation_error_is_said_in_the_words_of_the_page() {
    let mcp = "\"protocol\": \"mcp\", \"url\": \"http://a.example/mcp\"";
    for (sections, message) in [
        (
            "\"connectors\": {\"servers\": {\"a\": {\"url\": \"http://a.example/mcp\"}}}".to_owned(),
            "protocol is required (e.g. \"mcp\" or \"http\")",
        ),
        (
            format!("\"connectors\": {{\"servers\": {{\"my-server\": {{{mcp}}}}}}}"),
            "invalid ID \"my-server\"; connector IDs must match [a-zA-Z][a-zA-Z0-9]*",
        ),
        (
            format!("\"connectors\": {{\"servers\": {{\"tailscale\": {{{mcp}}}}}}}"),
            "\"tailscale\" is a reserved identifier",
        ),
        (
            format!(
                "\"mcp\": {{\"servers\": {{\"a\": {{\"url\": \"http://b.example\"}}}}}}, \"connectors\": {{\"servers\": {{\"a\": {{{mcp}}}}}}}"
            ),
            "server ID \"a\" is defined in both 'mcp.servers' and 'connectors.servers'",
        ),
        (
            format!(
                "\"connectors\": {{\"servers\": {{\"a\": {{{mcp}, \"auth\": {{\"type\": \"bearer_token\", \"secert\": \"hunter2\"}}}}}}}}"
            ),
            "json: unknown field \"secert\"",
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("config.json");
        std::fs::write(&file, format!("{{{sections}}}")).expect("a document");
        for verb in ["config validate", "up --listen 127.0.0.1:0 --config"] {
            let output = bash(&format!("{} {verb} {}", binaries::aperium().display(), file.display()));
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{verb}: {said}");
            assert!(said.contains(message) && !said.contains("hunter2"), "{verb}: {said}");
        }
    }
}

#[test]
fn secrets_are_never_shown_and_come_back_unharmed() {
    let (mcp, api) = (Upstream::mcp(&["search"], None), Upstream::api());
    let bed = Bed::start(&step_2(&mcp, &api));
    let (config, _) = bed.shown();
    assert!(config.contains("\"***\"") && !config.contains("github_pat_example"), "{config}");
    let mut changed: Value = serde_json::from_str(&config).expect("JSON");
    changed["connectors"]["servers"]["github"]["description"] = json!("changed");
    assert_eq!(bed.save(&changed).0, 200);
    bed.run("curl -sS http://<aperture-hostname>/v1/connectors/github/user");
    assert_eq!(api.last().header("authorization"), Some("Bearer github_pat_example"));
    assert!(std::fs::read_to_string(bed.file()).expect("the file").contains("github_pat_example"));
}

#[test]
fn import_and_export_give_the_same_configuration_back() {
    let (mcp, api) = (Upstream::mcp(&["search"], None), Upstream::api());
    let folder = tempfile::tempdir().expect("a folder");
    let (file, out) = (folder.path().join("config.json"), folder.path().join("resources"));
    std::fs::write(&file, document(&step_2(&mcp, &api)).to_string()).expect("a document");
    let aperium = binaries::aperium().display().to_string();
    let done = bash(&format!("{aperium} config import {} --out {}", file.display(), out.display()));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let again = bash(&format!("{aperium} config export {}", out.display()));
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    let again: Value = serde_json::from_slice(&again.stdout).expect("JSON");
    let wanted = document(&step_2(&mcp, &api));
    assert_eq!((&again["connectors"], &again["grants"]), (&wanted["connectors"], &wanted["grants"]));
}
