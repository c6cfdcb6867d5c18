//! A loopback proxy that adds a bearer token and passes everything else through, streams included.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use hyper_util::rt::TokioIo;
use std::sync::Arc;

struct Behind {
    port: u16,
    bearer: HeaderValue,
}

/// Starts the proxy; it ends with the test. Returns its port.
#[expect(clippy::disallowed_methods, reason = "a test's own proxy on loopback")]
pub(crate) async fn with_bearer(port: u16, token: &str) -> u16 {
    let bearer = HeaderValue::from_str(&format!("Bearer {token}")).expect("a token of visible characters");
    let app = axum::Router::new().fallback(forward).with_state(Arc::new(Behind { port, bearer }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let own = listener.local_addr().expect("an address").port();
    tokio::spawn(async move { axum::serve(listener, app).await });
    own
}

async fn forward(State(behind): State<Arc<Behind>>, mut request: Request) -> Response {
    request.headers_mut().insert(header::AUTHORIZATION, behind.bearer.clone());
    match send(behind.port, request).await {
        Ok(response) => response,
        Err(error) => {
            let mut response = Response::new(Body::from(error.to_string()));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own proxy on loopback")]
async fn send(port: u16, request: Request) -> anyhow::Result<Response> {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?.map(Body::new))
}
