//! The examples about using: curl lines, credentials on their way, registration.

use crate::bed::{Bed, LIST, bash};
use crate::configuration::step_2;
use crate::upstreams::Upstream;
use serde_json::json;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn set_up_step_4_curl_lists_the_tools_with_their_prefixes() {
    let (mcp, api) = (Upstream::mcp(&["search", "query"], None), Upstream::api());
    let bed = Bed::start(&step_2(&mcp, &api));
    bed.until_tools(|tools| tools.len() >= 3);
    let list = bed.json(LIST);
    assert_eq!((&list["jsonrpc"], &list["id"]), (&json!("2.0"), &json!(1)));
    let names: Vec<_> = list["result"]["tools"].as_array().expect("a tools array").iter().map(|t| &t["name"]).collect();
    assert!(names.contains(&&json!("local_search")), "{list}");
}

#[test]
fn set_up_step_4_curl_through_the_proxy_path_with_the_token_injected() {
    let (mcp, api) = (Upstream::mcp(&["search"], None), Upstream::api());
    let bed = Bed::start(&step_2(&mcp, &api));
    let answer = bed.json("curl http://<aperture-hostname>/v1/connectors/github/user");
    assert_eq!(answer["asked"], "GET /user");
    let seen = api.last();
    assert_eq!(seen.header("authorization"), Some("Bearer github_pat_example"));
    // What the client itself sends of that kind does not get through.
    bed.run("curl -sS http://<aperture-hostname>/v1/connectors/github/user -H 'Authorization: Bearer mine' -H 'Cookie: a=b'");
    let seen = api.last();
    assert_eq!((seen.header("authorization"), seen.header("cookie")), (Some("Bearer github_pat_example"), None));
}

#[test]
fn connect_to_an_authenticated_mcp_server_by_client_credentials() {
    let auth = Upstream::start(|seen| {
        let good = seen.path == "/oauth2/token"
            && seen.body.contains("grant_type=client_credentials")
            && (seen.body.contains("scope=read%3Adata") || seen.body.contains("scope=read:data"))
            // client_secret_basic of "aperture-analytics" and "secret-example" (RFC 6749 §2.3.1).
            && seen.header("authorization") == Some("Basic YXBlcnR1cmUtYW5hbHl0aWNzOnNlY3JldC1leGFtcGxl");
        if good {
            (200, json!({ "access_token": "at-1", "token_type": "Bearer", "expires_in": 3600 }))
        } else {
            (401, json!({ "error": "invalid_client" }))
        }
    });
    let mcp = Upstream::mcp(&["report"], Some("Bearer at-1"));
    let example = r#"{
  "connectors": {
    "servers": {
      "analytics": {
        "protocol": "mcp",
        "url": "https://analytics.example.com/v1/mcp",
        "auth": {
          "type": "oauth2_client_credentials",
          "client_id": "aperture-analytics",
          "client_secret": "secret-example",
          "token_url": "https://auth.example.com/oauth2/token",
          "scopes": ["read:data"]
        }
      }
    }
  }
}"#
    .replace("https://analytics.example.com", &format!("http://{}", mcp.host()))
    .replace("https://auth.example.com", &format!("http://{}", auth.host()));
    let bed = Bed::start(&example);
    assert_eq!(bed.until_tools(|tools| !tools.is_empty()), ["analytics_report"]);
    assert_eq!(bed.call("analytics_report")["result"]["content"][0]["text"], "called report");
    assert_eq!(auth.seen().len(), 1, "one token serves them all: {:?}", auth.seen());
}

/// The example as it stands; `mcp` and `google` take the places of the hosts that only exist at Google.
fn per_user(mcp: &str, google: &str) -> String {
    r#"{
  "connectors": {
    "servers": {
      "google": {
        "protocol": "mcp",
        "url": "https://mcp.google.example.com/v1/mcp",
        "auth": {
          "type": "oauth2_authorization_code",
          "client_id": "example-client-id",
          "client_secret": "example-client-secret",
          "auth_url": "https://accounts.google.com/o/oauth2/v2/auth",
          "token_url": "https://oauth2.googleapis.com/token",
          "scopes": ["https://www.googleapis.com/auth/spreadsheets.readonly"],
          "auth_params": {"access_type": "offline", "prompt": "consent"}
        }
      }
    }
  }
}"#
    .replace("https://mcp.google.example.com", mcp)
    .replace("https://oauth2.googleapis.com", google)
}

#[test]
fn set_up_per_user_oauth_connect_consent_call_and_disconnect() {
    let google = Upstream::start(|seen| {
        let good = seen.path == "/token"
            && seen.body.contains("grant_type=authorization_code")
            && seen.body.contains("code_verifier=")
            // client_secret_basic of "example-client-id" and "example-client-secret".
            && seen.header("authorization") == Some("Basic ZXhhbXBsZS1jbGllbnQtaWQ6ZXhhbXBsZS1jbGllbnQtc2VjcmV0");
        if good {
            let token =
                json!({ "access_token": "at-1", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "rt-1" });
            (200, token)
        } else {
            (401, json!({ "error": "invalid_client" }))
        }
    });
    let mcp = Upstream::mcp(&["read_sheet"], Some("Bearer at-1"));
    let bed = Bed::start(&per_user(&format!("http://{}", mcp.host()), &format!("http://{}", google.host())));
    let status = || bed.json("curl -sS http://<aperture-hostname>/api/connectors/google")["status"].clone();
    assert_eq!(status(), "needs_auth");
    assert!(bed.tools().iter().all(|tool| !tool.starts_with("google_")), "nobody has authorised it yet");
    let begun = bed.json("curl -sS -X POST http://<aperture-hostname>/api/connectors/google/connect");
    let url = begun["auth_url"].as_str().expect("a URL").to_owned();
    let query: std::collections::BTreeMap<String, String> =
        url::Url::parse(&url).expect("a URL").query_pairs().into_owned().collect();
    assert!(url.starts_with("https://accounts.google.com/o/oauth2/v2/auth?"), "{url}");
    for (name, value) in [
        ("client_id", "example-client-id"),
        ("scope", "https://www.googleapis.com/auth/spreadsheets.readonly"),
        ("access_type", "offline"),
        ("prompt", "consent"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(query[name], value);
    }
    assert_eq!(query["redirect_uri"], bed.line("http://<aperture-hostname>/aperture/auth/google/callback"));
    let page = bed.run(&format!(
        "curl -sS 'http://<aperture-hostname>/aperture/auth/google/callback?code=4%2Fabc&state={}'",
        query["state"]
    ));
    assert!(page.contains("Connected"), "{page}");
    bed.until_tools(|tools| tools.iter().any(|tool| tool == "google_read_sheet"));
    assert_eq!(bed.call("google_read_sheet")["result"]["content"][0]["text"], "called read_sheet");
    assert_eq!(status(), "ready");
    bed.run("curl -sS -X POST http://<aperture-hostname>/api/connectors/google/disconnect");
    assert_eq!(status(), "needs_auth");
    assert_eq!(bed.call("google_read_sheet")["result"]["isError"], true);
}

#[test]
fn set_up_an_http_api_proxy_that_models_can_discover() {
    let api = Upstream::api();
    let example = r#"{
  "connectors": {
    "servers": {
      "github": {
        "protocol": "http",
        "url": "https://api.github.com",
        "description": "GitHub REST API (read-only)",
        "context": "Use this connector to look up repository metadata and pull request status.",
        "auth": {
          "type": "bearer_token",
          "secret": "github_pat_example"
        }
      }
    }
  }
}"#
    .replace("https://api.github.com", &format!("http://{}", api.host()));
    let bed = Bed::start(&example);
    assert_eq!(bed.until_tools(|tools| !tools.is_empty()), ["aperture_list_connectors"]);
    let text = bed.call("aperture_list_connectors").to_string();
    for told in ["github", "GitHub REST API (read-only)", "Use this connector to look up repository metadata"] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert!(!text.contains("github_pat_example") && !text.contains(&api.host()), "{text}");
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let line = format!(
            "curl -sS -X {method} -o /dev/null -w '%{{http_code}}' http://<aperture-hostname>/v1/connectors/github/a"
        );
        assert_eq!(bed.run(&line), "200", "{method}");
        assert_eq!(api.last().method, method);
    }
    let line = "curl -sS -X TRACE -o /dev/null -w '%{http_code}' http://<aperture-hostname>/v1/connectors/github/a";
    assert_eq!(bed.run(line), "405");
}

#[test]
fn use_the_context_field_and_basic_authentication() {
    let api = Upstream::api();
    let context = "Use this connector to look up issue status and sprint progress. Do not create or modify issues without explicit user approval.";
    let example = r#"{
  "connectors": {
    "servers": {
      "jira": {
        "protocol": "http",
        "url": "https://your-org.atlassian.net/rest/api/3",
        "description": "Jira Cloud API",
        "context": "CONTEXT",
        "auth": {
          "type": "basic",
          "username": "api-user@example.com",
          "password": "api-token-example"
        }
      }
    }
  }
}"#
    .replace("CONTEXT", context)
    .replace("https://your-org.atlassian.net", &format!("http://{}", api.host()));
    let bed = Bed::start(&example);
    let answer = bed.json("curl -sS http://<aperture-hostname>/v1/connectors/jira/issue/A-1");
    assert_eq!(answer["asked"], "GET /rest/api/3/issue/A-1");
    // api-user@example.com:api-token-example
    let wanted = "Basic YXBpLXVzZXJAZXhhbXBsZS5jb206YXBpLXRva2VuLWV4YW1wbGU=";
    assert_eq!(api.last().header("authorization"), Some(wanted));
    assert!(bed.call("aperture_list_connectors").to_string().contains(context));
}

#[test]
fn use_api_key_authentication() {
    let api = Upstream::api();
    let example = r#"{
  "connectors": {
    "servers": {
      "weather": {
        "protocol": "http",
        "url": "https://api.weather.example.com",
        "auth": {
          "type": "api_key",
          "secret": "wk-example-key",
          "name": "X-API-Key",
          "in": "header"
        }
      }
    }
  }
}"#
    .replace("https://api.weather.example.com", &format!("http://{}", api.host()));
    let bed = Bed::start(&example);
    bed.run("curl -sS http://<aperture-hostname>/v1/connectors/weather/today");
    assert_eq!(api.last().header("x-api-key"), Some("wk-example-key"));
    let bed = Bed::start(&example.replace("\"X-API-Key\"", "\"key\"").replace("\"header\"", "\"query\""));
    bed.run("curl -sS 'http://<aperture-hostname>/v1/connectors/weather/today?day=1&key=mine'");
    assert_eq!(api.last().path, "/today?day=1&key=wk-example-key");
}

#[test]
fn enable_dynamic_registration_and_register_by_curl_for_as_long_as_it_is_held() {
    let mcp = Upstream::mcp(&["search"], None);
    let settings = format!("registration: {{allowHosts: [\"{}\"]}}\n", mcp.host());
    let example = r#"{
  "mcp": {
    "accept_registrations": true
  }
}"#;
    let bed = Bed::with_settings(example, &settings);
    let line = "curl -X POST http://<aperture-hostname>/v1/mcp/register \\
  -H \"Content-Type: application/json\" \\
  -d '{\"url\": \"http://my-mcp-server:8080/v1/mcp\"}'"
        .replace("my-mcp-server:8080", &mcp.host());
    let line = bed.line(&line);
    let mut held = Command::new("bash")
        .args(["-c", &format!("exec {line}")])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("curl starts");
    assert_eq!(bed.until_tools(|tools| !tools.is_empty()), ["auto1_search"]);
    assert!(held.try_wait().expect("its status").is_none(), "the connection is held");
    held.kill().expect("curl is ended");
    let _status = held.wait();
    let gone = Instant::now();
    bed.until_tools(<[String]>::is_empty);
    assert!(gone.elapsed() < Duration::from_secs(10));
    // Without the field nobody registers.
    let closed = Bed::with_settings(r#"{"flags": {"connectors": {"value": true}}}"#, &settings);
    let status = bash(&closed.line(&format!(
        "{} -sS -o /dev/null -w '%{{http_code}}'",
        line.replace(&bed.line("<aperture-hostname>"), "<aperture-hostname>")
    )));
    assert_eq!(String::from_utf8_lossy(&status.stdout), "403");
}
