//! Prefect Cloud as far as it differs from a server: a path with account and workspace, a bearer key, no `/admin`. The
//! proxy asks for all three and hands the request to the real server.

use aperium_mcp_service::connector::ErrorCode;
use aperium_platform::serve::{ServerLimits, serve};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use http::{StatusCode, header};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::upstream::{Prefect, http, texts};

const PREFIX: &str = "/api/accounts/9a0b/workspaces/77cd";
const KEY: &str = "pnb_key-of-the-test";

pub(crate) async fn a_workspace_of_the_cloud_is_reached_below_its_path_with_its_key(prefect: Prefect) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{PREFIX}/", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let app = Router::new().fallback(forward).with_state(prefect);
    let proxy = tokio::spawn(serve(listener, app, ServerLimits::default(), stop.clone()));

    let cloud = Prefect::with(&url, &[("api_key", KEY)]);
    cloud.probe().await.unwrap();
    let flows = cloud.call("prefect_list_flows", json!({"name": "etl"})).await.unwrap();
    assert!(texts(&flows, "name").contains(&"etl"));
    let set = cloud.call("prefect_set_variable", json!({"name": "from_the_cloud", "value": true})).await.unwrap();
    assert_eq!(set["created"], true);
    let refused = Prefect::with(&url, &[("api_key", "pnb_another")]).probe().await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::AuthFailed);

    stop.cancel();
    proxy.await.unwrap().unwrap();
}

async fn forward(State(prefect): State<Prefect>, mut request: Request) -> Response {
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    let Some(rest) = path.strip_prefix(PREFIX) else { return StatusCode::NOT_FOUND.into_response() };
    if rest.starts_with("/admin") || rest.starts_with("/csrf-token") {
        return StatusCode::NOT_FOUND.into_response();
    }
    let key = format!("Bearer {KEY}");
    if request.headers().get(header::AUTHORIZATION).is_none_or(|given| given != key.as_str()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let basic = base64::engine::general_purpose::STANDARD.encode(&prefect.auth);
    *request.uri_mut() = format!("{}{rest}", prefect.api_url).parse().unwrap();
    request.headers_mut().insert(header::AUTHORIZATION, format!("Basic {basic}").parse().unwrap());
    http().send(request).await.unwrap().map(Body::new)
}
