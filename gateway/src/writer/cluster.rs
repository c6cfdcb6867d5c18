//! A change → the API server, by server-side apply under a field manager of its own. What another manager owns is
//! read-only here: a change would only last until that manager comes by.

use super::{Change, Kind, Object, WriteError, check_name};
use aperium_crds::{Connector, Grant};
use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::time::Duration;

/// Our field manager.
const MANAGER: &str = "aperium-dashboard";
/// For each request to the API server.
const LIMIT: Duration = Duration::from_secs(10);

/// The way to the API server.
#[derive(Clone)]
pub(crate) struct ClusterWriter {
    client: Client,
    namespaces: Vec<String>,
}

impl Debug for ClusterWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterWriter").field("namespaces", &self.namespaces).finish_non_exhaustive()
    }
}

impl ClusterWriter {
    /// Writes to the namespaces that are watched.
    pub(crate) fn new(client: Client, namespaces: Vec<String>) -> Self {
        Self { client, namespaces }
    }

    /// Makes a change.
    ///
    /// # Errors
    /// [`WriteError`].
    pub(crate) async fn write(&self, change: &Change) -> Result<Option<String>, WriteError> {
        if !self.namespaces.contains(&change.key.namespace) {
            let message = format!("namespace {} is not watched by this gateway", change.key.namespace);
            return Err(WriteError::Invalid(message));
        }
        check_name(&change.key.name)?;
        let spec = match &change.object {
            Some(Object::Connector(connector)) => Some(json!(connector.spec)),
            Some(Object::Grant(grant)) => Some(json!(grant.spec)),
            None => None,
        };
        match change.kind {
            Kind::Connector => self.one::<Connector>(change, spec).await,
            Kind::Grant => self.one::<Grant>(change, spec).await,
        }
    }

    async fn one<K>(&self, change: &Change, spec: Option<Value>) -> Result<Option<String>, WriteError>
    where
        K: Resource<Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug + Serialize,
        K::DynamicType: Default,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &change.key.namespace);
        let name = &change.key.name;
        let found = within(api.get_metadata_opt(name)).await?;
        let version = match (&found, &change.version) {
            (None, Some(_)) => return Err(WriteError::Stale),
            (None, None) if spec.is_none() => return Err(WriteError::Missing),
            (None, None) => None,
            (Some(_), None) => return Err(WriteError::Exists),
            (Some(found), Some(version)) => {
                if let Some(manager) = foreign_manager(found.managed_fields()) {
                    return Err(WriteError::ReadOnly(manager));
                }
                if found.resource_version().as_ref() != Some(version) {
                    return Err(WriteError::Stale);
                }
                Some(version.clone())
            }
        };
        let Some(spec) = spec else {
            let uid = found.and_then(|found| found.uid());
            let preconditions = Some(Preconditions { resource_version: version, uid });
            within(api.delete(name, &DeleteParams { preconditions, ..DeleteParams::default() })).await?;
            return Ok(None);
        };
        let mut manifest = json!({
            "apiVersion": "aperium.dev/v1alpha1", "kind": change.kind.as_str(), "metadata": { "name": name }, "spec": spec,
        });
        if let Some(version) = version {
            manifest["metadata"]["resourceVersion"] = json!(version);
        }
        // Without force: whoever took a field in the meantime keeps it.
        let written = within(api.patch(name, &PatchParams::apply(MANAGER), &Patch::Apply(&manifest))).await?;
        Ok(written.resource_version())
    }
}

/// Who else has written the resource; status has managers of its own.
fn foreign_manager(managed: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry]) -> Option<String> {
    let others = managed.iter().filter(|entry| entry.subresource.as_deref().unwrap_or_default().is_empty());
    others.filter_map(|entry| entry.manager.clone()).find(|manager| manager != MANAGER)
}

async fn within<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, WriteError> {
    match tokio::time::timeout(LIMIT, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) => Err(match status.code {
            404 => WriteError::Missing,
            409 => WriteError::Stale,
            // What the schema and its rules say about the resource; nothing else is in there.
            400 | 422 => WriteError::Invalid(status.message.clone()),
            _ => WriteError::Unavailable(status.message.clone()),
        }),
        Ok(Err(error)) => Err(WriteError::Unavailable(error.to_string())),
        Err(_) => Err(WriteError::Unavailable("no answer of the API server in time".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ResourceKey;
    use aperium_crds::structural;
    use http::{Request, Response};
    use http_body_util::BodyExt as _;
    use std::sync::{Arc, Mutex};

    type Seen = Arc<Mutex<Vec<(String, String, Value)>>>;

    /// An API server that knows one Grant, managed by `manager`.
    fn server(manager: &'static str) -> (ClusterWriter, Seen) {
        let seen: Seen = Arc::default();
        let record = Arc::clone(&seen);
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let record = Arc::clone(&record);
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let path = parts.uri.path_and_query().unwrap().to_string();
                record.lock().unwrap().push((parts.method.to_string(), path.clone(), body));
                let metadata = json!({ "name": "a", "namespace": "system", "resourceVersion": "7", "uid": "u",
                    "managedFields": [{ "manager": "aperium-operator", "subresource": "status" }, { "manager": manager }] });
                let (status, answer) = match (parts.method.as_str(), path.contains("/grants/a")) {
                    ("GET", false) => (
                        404,
                        json!({ "kind": "Status", "status": "Failure", "message": "no", "reason": "NotFound", "code": 404 }),
                    ),
                    ("GET", true) => (
                        200,
                        json!({ "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata }),
                    ),
                    ("PATCH", _) => (
                        200,
                        json!({ "apiVersion": "aperium.dev/v1alpha1", "kind": "Grant",
                        "metadata": { "name": "a", "namespace": "system", "resourceVersion": "8" }, "spec": { "subjects": ["*"] } }),
                    ),
                    _ => (200, json!({ "kind": "Status", "apiVersion": "v1", "status": "Success", "metadata": {} })),
                };
                let body = kube::client::Body::from(answer.to_string().into_bytes());
                Ok::<_, std::convert::Infallible>(Response::builder().status(status).body(body).unwrap())
            }
        });
        (ClusterWriter::new(Client::new(service, "system"), vec!["system".into()]), seen)
    }

    fn change(name: &str, version: Option<&str>, put: bool) -> Change {
        let manifest = json!({ "apiVersion": "aperium.dev/v1alpha1", "kind": "Grant", "metadata": { "name": name }, "spec": { "subjects": ["*"] } });
        let key = ResourceKey { namespace: "system".into(), name: name.into() };
        let object = put.then(|| Object::Grant(Box::new(structural::grant(&manifest).unwrap())));
        Change { kind: Kind::Grant, key, version: version.map(str::to_owned), object }
    }

    #[tokio::test]
    async fn a_change_is_applied_under_our_name_and_with_the_version_that_was_read() {
        let (writer, seen) = server(MANAGER);
        assert_eq!(writer.write(&change("a", Some("7"), true)).await.unwrap(), Some("8".into()));
        let (method, path, body) = seen.lock().unwrap().last().unwrap().clone();
        assert_eq!(method, "PATCH");
        assert!(path.ends_with("/namespaces/system/grants/a?&fieldManager=aperium-dashboard"), "{path}");
        assert_eq!((&body["metadata"]["resourceVersion"], &body["spec"]["subjects"][0]), (&json!("7"), &json!("*")));
        assert!(writer.write(&change("b", None, true)).await.is_ok(), "a new one has no version");
        assert!(writer.write(&change("a", Some("7"), false)).await.is_ok());
        let (method, _, body) = seen.lock().unwrap().last().unwrap().clone();
        assert_eq!((method.as_str(), &body["preconditions"]["resourceVersion"]), ("DELETE", &json!("7")));
    }

    #[tokio::test]
    async fn a_name_that_leads_to_another_resource_is_never_asked_for() {
        let (writer, seen) = server(MANAGER);
        for name in ["../../../../../api/v1/namespaces/system/secrets/s", "a/status", "a?force=true", ".."] {
            for put in [true, false] {
                let refused = writer.write(&change(name, None, put)).await;
                assert!(matches!(refused, Err(WriteError::Invalid(_))), "{name}: {refused:?}");
            }
        }
        assert!(seen.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_is_stale_unread_missing_or_managed_elsewhere_is_left_alone() {
        let (writer, seen) = server(MANAGER);
        assert!(matches!(writer.write(&change("a", Some("6"), true)).await, Err(WriteError::Stale)));
        assert!(matches!(writer.write(&change("a", None, true)).await, Err(WriteError::Exists)));
        assert!(matches!(writer.write(&change("b", Some("7"), true)).await, Err(WriteError::Stale)));
        assert!(matches!(writer.write(&change("b", None, false)).await, Err(WriteError::Missing)));
        let (argo, also) = server("argocd-controller");
        let error = argo.write(&change("a", Some("7"), true)).await.unwrap_err();
        assert_eq!(error.to_string(), "it is managed by argocd-controller: change it there");
        for (method, ..) in seen.lock().unwrap().iter().chain(also.lock().unwrap().iter()) {
            assert_eq!(method, "GET");
        }
    }
}
