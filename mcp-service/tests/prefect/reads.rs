//! What only looks.

use std::collections::BTreeSet;
use std::time::Duration;

use aperium_mcp_service::connector::ErrorCode;
use aperium_tests::wait;
use http::Method;
use serde_json::{Value, json};

use crate::upstream::{Prefect, items, texts};

/// A well-formed id that belongs to nothing.
const NOTHING: &str = "00000000-0000-4000-8000-000000000000";

pub(crate) async fn flows_and_deployments_are_listed_and_shown(prefect: Prefect) {
    let flows = prefect.call("prefect_list_flows", json!({"name": "ET"})).await.unwrap();
    assert!(texts(&flows, "name").contains(&"etl"), "{flows}");
    let none = prefect.call("prefect_list_flows", json!({"name": "no such flow"})).await.unwrap();
    assert_eq!(none, json!({"items": [], "truncated": false}));

    let all = json!({"name": "NIGHT", "flow": "etl", "tags": ["prod", "night"], "paused": false});
    let listed = prefect.call("prefect_list_deployments", all).await.unwrap();
    assert_eq!(texts(&listed, "name"), ["nightly"]);
    assert_eq!(texts(&listed, "flow_name"), ["etl"]);
    for none in [
        json!({"flow": "et"}),
        json!({"name": "nightly", "tags": ["prod", "other"]}),
        json!({"name": "nightly", "paused": true}),
        json!({"work_pool": "no such pool"}),
    ] {
        let page = prefect.call("prefect_list_deployments", none.clone()).await.unwrap();
        assert!(items(&page).is_empty(), "{none}: {page}");
    }

    let by_name = prefect.call("prefect_get_deployment", json!({"deployment": "etl/nightly"})).await.unwrap();
    assert_eq!(by_name["parameter_openapi_schema"]["properties"]["number"]["type"], "integer");
    assert_eq!(by_name["parameters"], json!({"number": 5}));
    assert_eq!(by_name["description"], "Loads the numbers");
    let by_id = prefect.call("prefect_get_deployment", json!({"deployment": by_name["id"]})).await.unwrap();
    assert_eq!((&by_id["name"], &by_id["flow_name"]), (&json!("nightly"), &json!("etl")));
}

pub(crate) async fn a_name_may_hold_any_character(prefect: Prefect) {
    let (flow, name) = ("näch tly #1? +x", "..v1.0 \\ ;=@:");
    let id = prefect.deploy(flow, name, json!({})).await;
    let found = prefect.call("prefect_get_deployment", json!({"deployment": format!("{flow}/{name}")})).await.unwrap();
    assert_eq!(found["id"], id.as_str());
    let runs = json!({"deployment": format!("{flow}/{name}")});
    let none = prefect.call("prefect_list_flow_runs", runs.clone()).await.unwrap();
    assert!(items(&none).is_empty());
    let run = prefect.call("prefect_run_deployment", runs.clone()).await.unwrap();
    let one = prefect.call("prefect_list_flow_runs", runs).await.unwrap();
    assert_eq!(texts(&one, "id"), [run["flow_run"]["id"].as_str().unwrap()]);
    assert_eq!(texts(&one, "flow_name"), [flow]);
}

pub(crate) async fn a_list_of_more_than_one_request_is_paged_to_its_end(prefect: Prefect) {
    let deployment = prefect.deploy("paged", "many", json!({})).await;
    for part in [100, 100, 5] {
        let runs: Vec<Value> = (0..part).map(|_| json!({})).collect();
        let path = format!("/deployments/{deployment}/create_flow_run/bulk");
        prefect.rest(Method::POST, &path, Value::Array(runs)).await;
    }
    let mut seen = BTreeSet::new();
    let mut arguments = json!({"deployment": deployment, "limit": 200});
    let first = prefect.call("prefect_list_flow_runs", arguments.clone()).await.unwrap();
    seen.extend(texts(&first, "id").into_iter().map(str::to_owned));
    assert_eq!((seen.len(), &first["truncated"]), (200, &json!(true)));
    arguments["cursor"] = first["next_cursor"].clone();
    let rest = prefect.call("prefect_list_flow_runs", arguments).await.unwrap();
    seen.extend(texts(&rest, "id").into_iter().map(str::to_owned));
    assert_eq!((seen.len(), &rest["truncated"], rest.get("next_cursor")), (205, &json!(false), None));
}

pub(crate) async fn work_pools_and_automations_are_listed_without_their_secrets(prefect: Prefect) {
    let pool = json!({"name": "wards", "type": "process", "description": "East and west", "base_job_template": {
        "job_configuration": {"env": "{{ env }}"},
        "variables": {"properties": {"env": {"type": "object", "default": {"PASSWORD": "geheim"}}}},
    }});
    prefect.rest(Method::POST, "/work_pools/", pool).await;
    let variables = json!({"work_pool_name": "wards", "job_variables": {"env": {"PASSWORD": "geheim"}}});
    let deployment = prefect.deploy("pooled", "on-wards", variables).await;

    let pools = prefect.call("prefect_list_work_pools", json!({})).await.unwrap();
    assert!(texts(&pools, "name").contains(&"wards"), "{pools}");
    let of_pool = prefect.call("prefect_list_deployments", json!({"work_pool": "wards"})).await.unwrap();
    assert_eq!(texts(&of_pool, "id"), [&deployment]);
    let shown = prefect.call("prefect_get_deployment", json!({"deployment": deployment})).await.unwrap();
    assert_eq!(shown["work_pool_name"], "wards");
    for answer in [&pools, &of_pool, &shown] {
        assert!(!answer.to_string().contains("geheim"), "{answer}");
    }

    let automation = json!({
        "name": "page someone", "enabled": false, "actions": [{"type": "do-nothing"}],
        "trigger": {"type": "event", "posture": "Reactive", "expect": ["prefect.flow-run.Crashed"], "threshold": 1, "within": 0},
    });
    prefect.rest(Method::POST, "/automations/", automation).await;
    let found = prefect.call("prefect_list_automations", json!({"name": "page someone"})).await.unwrap();
    assert_eq!(items(&found)[0]["trigger"]["expect"], json!(["prefect.flow-run.Crashed"]));
    assert_eq!(items(&found)[0]["enabled"], false);
    let none = prefect.call("prefect_list_automations", json!({"name": "page some"})).await.unwrap();
    assert!(items(&none).is_empty());
}

pub(crate) async fn the_dashboard_counts_what_is_there(prefect: Prefect) {
    let deployment = prefect.deploy("forgotten", "late", json!({})).await;
    prefect.call("prefect_run_deployment", json!({"deployment": deployment})).await.unwrap();
    wait::until("the run nobody picks up is late", Duration::from_secs(90), || async {
        let late = json!({"deployment": deployment, "states": ["SCHEDULED"], "state_names": ["Late"]});
        let page = prefect.call("prefect_list_flow_runs", late).await.unwrap();
        (items(&page).len() == 1).then_some(())
    })
    .await;
    let board = prefect.call("prefect_get_dashboard", json!({"hours": 1})).await.unwrap();
    assert!(board["late_flow_runs"].as_u64().unwrap() >= 1, "{board}");
    assert!(board["flow_runs"]["SCHEDULED"].as_u64().unwrap() >= 1, "{board}");
    assert!(board["flows"].as_u64().unwrap() >= 2 && board["deployments"].as_u64().unwrap() >= 2, "{board}");
    assert_eq!(board["work_pools_truncated"], false);
}

pub(crate) async fn what_does_not_exist_is_not_found_and_never_an_empty_list(prefect: Prefect) {
    let run = json!({"flow_run": NOTHING});
    for (tool, arguments) in [
        ("prefect_get_flow_run", run.clone()),
        ("prefect_get_flow_run_logs", run.clone()),
        ("prefect_list_task_runs", run.clone()),
        ("prefect_cancel_flow_run", run.clone()),
        ("prefect_retry_flow_run", run),
        ("prefect_get_deployment", json!({"deployment": NOTHING})),
        ("prefect_get_deployment", json!({"deployment": "etl/weekly"})),
        ("prefect_run_deployment", json!({"deployment": NOTHING})),
        ("prefect_run_deployment", json!({"deployment": "no flow/nightly"})),
        ("prefect_pause_deployment", json!({"deployment": NOTHING})),
        ("prefect_resume_deployment", json!({"deployment": "etl/weekly"})),
    ] {
        let error = prefect.call(tool, arguments).await.unwrap_err();
        assert_eq!((error.code, error.upstream_status), (ErrorCode::NotFound, Some(404)), "{tool}: {error}");
    }
}

pub(crate) async fn refused_credentials_are_auth_failed(prefect: Prefect) {
    let url = &prefect.api_url;
    for fields in [&[][..], &[("auth_string", "admin:wr0ng-secret")], &[("api_key", "pnu_wr0ng-secret")]] {
        let refused = Prefect::with(url, fields);
        let errors = [
            refused.probe().await.unwrap_err(),
            refused.call("prefect_list_flows", json!({})).await.unwrap_err(),
            refused.call("prefect_run_deployment", json!({"deployment": "etl/nightly"})).await.unwrap_err(),
            refused.call("prefect_cancel_flow_run", json!({"flow_run": NOTHING})).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!((error.code, error.upstream_status), (ErrorCode::AuthFailed, Some(401)), "{error}");
            assert!(!error.to_string().contains("wr0ng"), "{error}");
        }
    }
    prefect.probe().await.unwrap();
}
