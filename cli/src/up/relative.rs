//! A data lake's relative location → an absolute one: only the folder of the manifests knows what it is relative to.

use anyhow::Context;
use aperium_crds::Connector;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// Rewrites `file:<relative path>` in `spec.service.settings.location`.
pub(crate) fn resolve(connectors: &mut [Arc<Connector>], folder: &Path) -> anyhow::Result<()> {
    for connector in connectors {
        let Some(relative) = location(connector).and_then(|location| location.strip_prefix("file:")) else { continue };
        if relative.starts_with('/') {
            continue;
        }
        let path = folder.join(relative);
        let path =
            path.canonicalize().with_context(|| format!("settings.location: {} cannot be read", path.display()))?;
        let url =
            url::Url::from_file_path(&path).map_err(|()| anyhow::anyhow!("{} is no absolute path", path.display()))?;
        if let Some(Value::Object(settings)) =
            Arc::make_mut(connector).spec.service.as_mut().and_then(|s| s.settings.as_mut())
        {
            settings.insert("location".to_owned(), Value::String(url.to_string()));
        }
    }
    Ok(())
}

fn location(connector: &Connector) -> Option<&str> {
    connector.spec.service.as_ref()?.settings.as_ref()?.get("location")?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn lake(location: &str) -> Arc<Connector> {
        let manifest = json!({
            "apiVersion": "aperium.dev/v1alpha1", "kind": "Connector", "metadata": {"name": "lake"},
            "spec": {"protocol": "mcp", "service": {"module": "gcs_datalake", "settings": {"location": location}}},
        });
        Arc::new(aperium_crds::structural::connector(&manifest).unwrap())
    }

    #[test]
    fn a_relative_location_is_resolved_against_the_folder_and_an_absolute_one_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("lake")).unwrap();
        let mut connectors = [lake("file:lake"), lake("file:///srv/lake"), lake("gs://bucket")];
        resolve(&mut connectors, folder.path()).unwrap();
        assert!(
            location(&connectors[0]).unwrap().starts_with("file:///")
                && location(&connectors[0]).unwrap().ends_with("/lake")
        );
        assert_eq!(location(&connectors[1]), Some("file:///srv/lake"));
        assert_eq!(location(&connectors[2]), Some("gs://bucket"));
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = resolve(&mut [lake("file:nowhere")], Path::new("/tmp")).unwrap_err();
        assert!(format!("{error:#}").contains("nowhere"));
    }
}
