//! What changes something.

use std::collections::BTreeSet;

use aperium_core::id::RequestId;
use aperium_mcp_service::connector::ErrorCode;
use aperium_tests::wait;
use http::Method;
use serde_json::{Value, json};

use crate::upstream::{Prefect, items, texts};

pub(crate) async fn a_deployment_runs_to_its_end_once_however_often_the_call_arrives(prefect: Prefect) {
    let id = RequestId::accept(None);
    let arguments =
        json!({"deployment": "etl/nightly", "parameters": {"number": 7, "lines": 450}, "tags": ["by-agent"]});
    let first = prefect.call_as(&id, "prefect_run_deployment", arguments.clone()).await.unwrap();
    let again = prefect.call_as(&id, "prefect_run_deployment", arguments).await.unwrap();
    assert_eq!((&first["created"], &again["created"]), (&json!(true), &json!(false)));
    assert_eq!(first["flow_run"]["id"], again["flow_run"]["id"]);
    assert_eq!(first["flow_run"]["idempotency_key"], id.as_str());

    let run_id = first["flow_run"]["id"].as_str().unwrap();
    let run = prefect.wait_for(run_id, "COMPLETED").await;
    assert_eq!(run["parameters"]["number"], 7);
    assert_eq!(run["run_count"], 1);
    assert_eq!(run["flow_name"], "etl");
    let mut tags = run["tags"].as_array().unwrap().clone();
    tags.sort_by_key(ToString::to_string);
    assert_eq!(tags, ["by-agent", "night", "prod"]);

    let listed = json!({"states": ["COMPLETED"], "deployment": "etl/nightly", "tags": ["by-agent"], "since": run["expected_start_time"]});
    let listed = prefect.call("prefect_list_flow_runs", listed).await.unwrap();
    assert_eq!(texts(&listed, "id"), [run_id]);
    let before = json!({"tags": ["by-agent"], "until": "2000-01-01T00:00:00Z"});
    assert!(items(&prefect.call("prefect_list_flow_runs", before).await.unwrap()).is_empty());

    the_task_is_shown(&prefect, run_id).await;
    the_log_is_shown_whole_and_in_parts(&prefect, run_id).await;
    the_events_are_shown_in_both_orders(&prefect, run_id).await;
}

/// Task runs are recorded a moment after they ran.
async fn the_task_is_shown(prefect: &Prefect, run_id: &str) {
    wait::until("the task run is listed", std::time::Duration::from_secs(60), || async {
        let done = json!({"flow_run": run_id, "states": ["COMPLETED"]});
        let page = prefect.call("prefect_list_task_runs", done).await.unwrap();
        texts(&page, "name").first().is_some_and(|name| name.starts_with("double")).then_some(())
    })
    .await;
    let failed = json!({"flow_run": run_id, "states": ["FAILED"]});
    assert!(items(&prefect.call("prefect_list_task_runs", failed).await.unwrap()).is_empty());
}

/// Logs arrive in batches, the last a moment after the end.
async fn the_log_is_shown_whole_and_in_parts(prefect: &Prefect, run_id: &str) {
    let log = |extra: Value| async move {
        let mut arguments = json!({"flow_run": run_id});
        arguments.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        prefect.call("prefect_get_flow_run_logs", arguments).await.unwrap()
    };
    let whole = wait::until("the whole log has arrived", std::time::Duration::from_secs(60), || async {
        let page = log(json!({"limit": 1000})).await;
        texts(&page, "message").iter().any(|message| message.contains("Finished in state")).then_some(page)
    })
    .await;
    assert_eq!(whole["truncated"], false);
    let messages: Vec<&str> = texts(&whole, "message");
    let lines: Vec<String> = messages.iter().filter(|m| m.starts_with("line ")).map(ToString::to_string).collect();
    assert_eq!(lines, (0..450).map(|n| format!("line {n}")).collect::<Vec<_>>());
    assert!(messages.contains(&"number is 7"));

    let mut seen = Vec::new();
    let mut arguments = json!({"limit": 300});
    loop {
        let page = log(arguments.clone()).await;
        seen.extend(texts(&page, "message").into_iter().map(str::to_owned));
        match page.get("next_cursor") {
            Some(cursor) => arguments["cursor"] = cursor.clone(),
            None => break,
        }
    }
    assert_eq!(seen, messages);

    let warnings = log(json!({"min_level": "warning", "limit": 1000})).await;
    assert_eq!(items(&warnings).len(), 225);
    let last = log(json!({"min_level": "warning", "order": "newest_first", "limit": 1})).await;
    assert_eq!(texts(&last, "message"), ["line 449"]);
    assert_eq!(last["truncated"], true);
}

/// Events, too, are recorded a moment later.
async fn the_events_are_shown_in_both_orders(prefect: &Prefect, run_id: &str) {
    let about = json!([format!("prefect.flow-run.{run_id}")]);
    let newest = wait::until("the event of the end is listed", std::time::Duration::from_secs(60), || async {
        let arguments = json!({"events": ["prefect.flow-run."], "resources": about, "limit": 50});
        let page = prefect.call("prefect_list_events", arguments).await.unwrap();
        texts(&page, "event").contains(&"prefect.flow-run.Completed").then_some(page)
    })
    .await;
    let mut expected = texts(&newest, "id");
    expected.reverse();
    assert!(expected.len() >= 3, "scheduled, pending, running, completed: {newest}");

    let mut seen = Vec::new();
    let mut arguments =
        json!({"events": ["prefect.flow-run."], "resources": about, "order": "oldest_first", "limit": 1});
    loop {
        let page = prefect.call("prefect_list_events", arguments.clone()).await.unwrap();
        seen.extend(texts(&page, "id").into_iter().map(str::to_owned));
        assert_eq!(page["truncated"], page.get("next_cursor").is_some());
        match page.get("next_cursor") {
            Some(cursor) => arguments["cursor"] = cursor.clone(),
            None => break,
        }
    }
    let distinct: BTreeSet<&String> = seen.iter().collect();
    assert_eq!(distinct.len(), seen.len(), "no event comes twice");
    assert_eq!(
        seen.iter().collect::<BTreeSet<_>>(),
        expected.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>().iter().collect()
    );
}

pub(crate) async fn a_failed_run_shows_why_and_can_be_retried(prefect: Prefect) {
    let run_id = prefect.run(json!({"fail": true})).await;
    let run = prefect.wait_for(&run_id, "FAILED").await;
    assert!(run["state"]["message"].as_str().unwrap().contains("broken on purpose"), "{run}");
    let listed = prefect.call("prefect_list_flow_runs", json!({"states": ["FAILED"]})).await.unwrap();
    assert!(texts(&listed, "id").contains(&run_id.as_str()));

    let retried = prefect.call("prefect_retry_flow_run", json!({"flow_run": run_id})).await.unwrap();
    assert_eq!((&retried["state"]["type"], &retried["state"]["name"]), (&json!("SCHEDULED"), &json!("AwaitingRetry")));
    wait::until("the run has failed once more", std::time::Duration::from_secs(180), || async {
        let run = prefect.call("prefect_get_flow_run", json!({"flow_run": run_id})).await.unwrap();
        (run["state"]["type"] == "FAILED" && run["run_count"] == 2).then_some(())
    })
    .await;

    let error = prefect.call("prefect_cancel_flow_run", json!({"flow_run": run_id})).await.unwrap_err();
    assert_eq!((error.code, error.upstream_code.as_deref()), (ErrorCode::Conflict, Some("ABORT")), "{error}");
    assert!(error.message.contains("terminal state FAILED"), "{error}");
}

pub(crate) async fn a_running_run_is_cancelled_and_cannot_be_retried(prefect: Prefect) {
    let run_id = prefect.run(json!({"wait": 600.0})).await;
    prefect.wait_for(&run_id, "RUNNING").await;
    let error = prefect.call("prefect_retry_flow_run", json!({"flow_run": run_id})).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict, "{error}");
    let cancelling = prefect.call("prefect_cancel_flow_run", json!({"flow_run": run_id})).await.unwrap();
    assert_eq!(cancelling["state"]["type"], "CANCELLING");
    let run = prefect.wait_for(&run_id, "CANCELLED").await;
    assert!(run["total_run_time"].as_f64().unwrap() < 600.0, "{run}");
}

pub(crate) async fn a_run_that_nobody_picked_up_is_cancelled_at_once(prefect: Prefect) {
    let deployment = prefect.deploy("unserved", "waiting", json!({})).await;
    let started = prefect.call("prefect_run_deployment", json!({"deployment": deployment})).await.unwrap();
    let run = json!({"flow_run": started["flow_run"]["id"]});
    let cancelled = prefect.call("prefect_cancel_flow_run", run.clone()).await.unwrap();
    assert_eq!(cancelled["state"]["type"], "CANCELLED");
    assert_eq!(prefect.call("prefect_get_flow_run", run).await.unwrap()["state"]["type"], "CANCELLED");

    // A run that no deployment made cannot be retried: nobody would pick it up.
    let flow = prefect.rest(Method::POST, "/flows/", json!({"name": "unserved"})).await;
    let body = json!({"flow_id": flow["id"], "state": {"type": "FAILED"}});
    let alone = prefect.rest(Method::POST, "/flow_runs/", body).await;
    let error = prefect.call("prefect_retry_flow_run", json!({"flow_run": alone["id"]})).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Conflict, "{error}");
}

pub(crate) async fn schedules_are_paused_and_resumed(prefect: Prefect) {
    let schedules = json!({"schedules": [{"active": true, "schedule": {"interval": 3600.0}}]});
    let id = prefect.deploy("hourly", "paused", schedules).await;
    let paused = || async {
        let page = prefect.call("prefect_list_deployments", json!({"flow": "hourly", "paused": true})).await.unwrap();
        items(&page).len() == 1
    };
    for (tool, deployment, expected) in [
        ("prefect_pause_deployment", "hourly/paused", true),
        ("prefect_pause_deployment", &id, true),
        ("prefect_resume_deployment", &id, false),
        ("prefect_resume_deployment", "hourly/paused", false),
    ] {
        let answer = prefect.call(tool, json!({"deployment": deployment})).await.unwrap();
        assert_eq!(answer, json!({"deployment_id": id, "paused": expected}));
        assert_eq!(paused().await, expected);
    }
    let shown = prefect.call("prefect_get_deployment", json!({"deployment": id})).await.unwrap();
    assert_eq!(shown["schedules"][0]["schedule"]["interval"], 3600.0);
}

pub(crate) async fn a_variable_is_made_and_then_replaced(prefect: Prefect) {
    for (value, tags, created, kept) in [
        (json!({"size": [1, 2.5, null]}), json!(["etl"]), true, json!(["etl"])),
        (json!("text"), Value::Null, false, json!(["etl"])),
        (json!(null), json!(["other"]), false, json!(["other"])),
    ] {
        let mut arguments = json!({"name": "batch_size", "value": value});
        if !tags.is_null() {
            arguments["tags"] = tags;
        }
        let set = prefect.call("prefect_set_variable", arguments).await.unwrap();
        assert_eq!((&set["name"], &set["created"]), (&json!("batch_size"), &json!(created)));
        let stored = prefect.rest(Method::GET, "/variables/name/batch_size", Value::Null).await;
        assert_eq!((&stored["value"], &stored["tags"]), (&value, &kept));
    }
}

/// The server closes connections that were idle for 5 s; the client keeps them for longer.
pub(crate) async fn a_write_finds_a_connection_after_the_server_closed_the_idle_ones(prefect: Prefect) {
    let prefect = Prefect::with(&prefect.api_url, &[("auth_string", &prefect.auth)]);
    for value in 1..=3 {
        prefect.call("prefect_set_variable", json!({"name": "now_and_then", "value": value})).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    }
}

pub(crate) async fn wrong_arguments_are_the_callers_to_change(prefect: Prefect) {
    for (tool, arguments, upstream) in [
        ("prefect_run_deployment", json!({"deployment": "etl/nightly", "parameters": {"number": "x"}}), Some(409)),
        ("prefect_run_deployment", json!({"deployment": "etl"}), None),
        ("prefect_list_flow_runs", json!({"limit": 201}), None),
        ("prefect_list_flow_runs", json!({"states": ["DONE"]}), None),
        ("prefect_get_flow_run", json!({"flow_run": "../admin/version"}), None),
        ("prefect_get_flow_run_logs", json!({"flow_run": "c09661f1-d8e9-4bbf-aa8f-731c82f5d445", "limit": 1001}), None),
        ("prefect_list_events", json!({"since": "yesterday"}), None),
        ("prefect_set_variable", json!({"name": "Bad Name", "value": 1}), None),
    ] {
        let error = prefect.call(tool, arguments).await.unwrap_err();
        assert_eq!((error.code, error.upstream_status), (ErrorCode::InvalidArgument, upstream), "{tool}: {error}");
    }
}
