//! What is an operator-owned service, and what only looks like one.

use serde_json::{Value, json};

use super::{
    canary::{Canary, keep},
    *,
};

const UID: &str = "5f2c0a9e-0000-4000-8000-000000000001";

fn service() -> Value {
    json!({
        "metadata": {
            "name": "aperium-mcp-odoo", "namespace": "erp", "uid": "svc-1",
            "labels": {"app.kubernetes.io/managed-by": "aperium-operator"},
            "ownerReferences": [{"apiVersion": "aperium.dev/v1alpha1", "kind": "Connector", "name": "odoo", "uid": UID, "controller": true}],
        },
        "spec": {"type": "ClusterIP", "clusterIP": "10.96.7.7", "ports": [{"name": "metrics", "port": 9}, {"name": "http", "port": 8081}]},
    })
}

fn slice() -> Value {
    json!({
        "metadata": {
            "name": "aperium-mcp-odoo-x7", "namespace": "erp",
            "labels": {
                "app.kubernetes.io/managed-by": "aperium-operator", "kubernetes.io/service-name": "aperium-mcp-odoo",
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
            "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "aperium-mcp-odoo", "uid": "svc-1", "controller": true}],
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8081}],
        "endpoints": [
            {"addresses": ["10.42.0.5"], "conditions": {"ready": true}, "targetRef": {"kind": "Pod", "name": "odoo-a"}},
            {"addresses": ["10.42.0.6"], "conditions": {"ready": false}, "targetRef": {"kind": "Pod", "name": "odoo-b"}},
            {"addresses": ["10.42.0.7"], "conditions": {}},
        ],
    })
}

/// The object with the value at this JSON pointer replaced.
fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    *object.pointer_mut(pointer).unwrap() = value;
    object
}

fn from_service(object: Value) -> Result<ClusterEndpoint, EndpointError> {
    ClusterEndpoint::from_service(&serde_json::from_value(object).unwrap(), UID)
}

fn from_slice(object: Value) -> Result<Vec<SliceEndpoint>, EndpointError> {
    let name = aperium_core::id::ConnectorName::parse("odoo").unwrap();
    ClusterEndpoint::from_endpoint_slice(&serde_json::from_value(object).unwrap(), &name, "svc-1")
}

#[test]
fn an_operator_owned_service_is_an_endpoint() {
    assert_eq!(from_service(service()).unwrap().to_string(), "10.96.7.7:8081");
    assert_eq!(
        from_service(with(service(), "/spec/clusterIP", json!("fd00::7"))).unwrap().to_string(),
        "[fd00::7]:8081"
    );
    assert_eq!(from_service(with(service(), "/spec/clusterIP", json!("5.6.7.8"))).unwrap().to_string(), "5.6.7.8:8081");
}

#[test]
fn a_service_that_only_looks_like_one_is_refused() {
    let owner = "/metadata/ownerReferences/0";
    let table = [
        (format!("{owner}/uid"), json!("another"), "NotOwned"),
        (format!("{owner}/kind"), json!("Deployment"), "NotOwned"),
        (format!("{owner}/controller"), json!(false), "NotOwned"),
        (format!("{owner}/apiVersion"), json!("evil.dev/v1"), "NotOwned"),
        (format!("{owner}/apiVersion"), json!("aperium.dev.evil/v1"), "NotOwned"),
        ("/metadata/ownerReferences".into(), json!([]), "NotOwned"),
        ("/metadata/ownerReferences".into(), json!(null), "NotOwned"),
        (format!("{owner}/name"), json!("slack"), "WrongName"),
        ("/metadata/name".into(), json!("aperium-mcp-other"), "WrongName"),
        ("/metadata/name".into(), json!("odoo"), "WrongName"),
        ("/metadata/labels".into(), json!({}), "LabelMissing"),
        ("/metadata/labels".into(), json!({"app.kubernetes.io/managed-by": "Helm"}), "LabelMissing"),
        ("/spec/type".into(), json!("ExternalName"), "WrongType"),
        ("/spec/type".into(), json!("LoadBalancer"), "WrongType"),
        (
            "/spec".into(),
            json!({"type": "ClusterIP", "clusterIP": "10.96.7.7", "externalName": "evil.example"}),
            "WrongType",
        ),
        ("/spec".into(), json!(null), "WrongType"),
        ("/spec/clusterIP".into(), json!("None"), "WrongType"),
        ("/spec/clusterIP".into(), json!(""), "WrongType"),
        ("/spec/clusterIP".into(), json!("evil.example"), "WrongAddress"),
        ("/spec/clusterIP".into(), json!("127.0.0.1"), "WrongAddress"),
        ("/spec/clusterIP".into(), json!("169.254.169.254"), "WrongAddress"),
        ("/spec/clusterIP".into(), json!("100.100.100.200"), "WrongAddress"),
        ("/spec/clusterIP".into(), json!("::ffff:127.0.0.1"), "WrongAddress"),
        ("/spec/ports".into(), json!([{"name": "metrics", "port": 9}]), "PortMissing"),
        ("/spec/ports".into(), json!([{"name": "http", "port": 70000}]), "PortMissing"),
        ("/spec/ports".into(), json!([{"name": "http", "port": 0}]), "WrongAddress"),
    ];
    for (pointer, value, reason) in table {
        let error = from_service(with(service(), &pointer, value.clone())).unwrap_err();
        assert_eq!(error.reason(), reason, "{pointer} = {value}");
    }
    let nobody = with(service(), "/metadata/ownerReferences/0/uid", json!(""));
    assert!(
        ClusterEndpoint::from_service(&serde_json::from_value(nobody).unwrap(), "").is_err(),
        "an empty uid owns nothing"
    );
}

#[test]
fn a_slice_lists_its_pods_ready_or_not() {
    let found = from_slice(slice()).unwrap();
    let seen: Vec<_> = found.iter().map(|pod| (pod.endpoint.to_string(), pod.ready, pod.pod.as_deref())).collect();
    assert_eq!(
        seen,
        [
            ("10.42.0.5:8081".to_owned(), true, Some("odoo-a")),
            ("10.42.0.6:8081".to_owned(), false, Some("odoo-b")),
            ("10.42.0.7:8081".to_owned(), true, None),
        ]
    );
}

#[test]
fn a_slice_that_somebody_else_made_is_refused() {
    let label = |key: &str| format!("/metadata/labels/{}", key.replace('/', "~1"));
    let table = [
        ("/metadata/ownerReferences/0/uid".into(), json!("another"), "NotOwned"),
        ("/metadata/ownerReferences/0/name".into(), json!("aperium-mcp-slack"), "NotOwned"),
        ("/metadata/ownerReferences/0/kind".into(), json!("Pod"), "NotOwned"),
        (label("kubernetes.io/service-name"), json!("aperium-mcp-slack"), "LabelMissing"),
        (label("endpointslice.kubernetes.io/managed-by"), json!("me"), "LabelMissing"),
        (label("app.kubernetes.io/managed-by"), json!("me"), "LabelMissing"),
        ("/addressType".into(), json!("FQDN"), "WrongType"),
        ("/ports/0/name".into(), json!("x"), "PortMissing"),
        ("/endpoints/1/addresses/0".into(), json!("127.0.0.1"), "WrongAddress"),
        ("/endpoints/2/addresses/0".into(), json!("169.254.169.254"), "WrongAddress"),
        ("/endpoints/2/addresses/0".into(), json!("evil.example"), "WrongAddress"),
    ];
    for (pointer, value, reason) in table {
        let pointer: String = pointer;
        let error = from_slice(with(slice(), &pointer, value.clone())).unwrap_err();
        assert_eq!(error.reason(), reason, "{pointer} = {value}");
    }
}

#[test]
fn a_local_endpoint_is_on_loopback() {
    for good in ["127.0.0.1:8081", "[::1]:8081"] {
        assert_eq!(ClusterEndpoint::local(good.parse().unwrap()).unwrap().to_string(), good);
    }
    for bad in ["0.0.0.0:8081", "10.0.0.1:8081", "[::]:8081", "[::ffff:127.0.0.1]:8081", "127.0.0.1:0"] {
        assert_eq!(ClusterEndpoint::local(bad.parse().unwrap()).unwrap_err().reason(), "NotLoopback", "{bad}");
    }
}

#[tokio::test]
async fn of_a_request_only_path_and_query_count() {
    let canary = Canary::start(vec![keep("302 Found", "location: http://evil.example/\r\n", "hi")]).await;
    let client = ClusterClient::new();
    let endpoint = ClusterEndpoint::local(canary.address).unwrap();
    for url in ["http://evil.example:1/mcp?a=1", "/mcp?a=1", "https://user:pw@evil.example/mcp?a=1"] {
        let mut request = get(url);
        request.headers_mut().insert("host", "evil.example".parse().unwrap());
        let response = client.send(&endpoint, request).await.unwrap();
        assert_eq!(response.status(), 302);
        assert_eq!(exchange::text(response).await, "hi");
    }
    for request in canary.requests() {
        assert!(request.starts_with("GET /mcp?a=1 HTTP/1.1\r\n") && !request.contains("evil"), "{request}");
        assert!(request.contains(&format!("host: {}\r\n", canary.address)), "{request}");
    }
    assert_eq!((canary.connections(), canary.requests().len()), (1, 3));
}
