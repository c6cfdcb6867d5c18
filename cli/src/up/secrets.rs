//! Secret manifests of the folder → the credential fields of one service, under the same rule as in a cluster: the
//! Secret must carry the Connector's label.

use anyhow::{Context, bail};
use aperium_gateway::folder::Folder;
use aperium_mcp_service::connector::Fields;

/// The fields of the Secret that a Connector refers to.
pub(crate) fn fields(folder: &Folder, connector: &str, secret: &str) -> anyhow::Result<Fields> {
    let found = folder
        .secrets
        .get(secret)
        .with_context(|| format!("Connector \"{connector}\": Secret \"{secret}\" is not in the folder"))?;
    let label = format!("connector.aperium.dev/{connector}");
    if found.labels.get(&label).map(String::as_str) != Some("true") {
        bail!("Connector \"{connector}\": Secret \"{secret}\" must carry the label {label}: \"true\"");
    }
    Ok(found.data.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aperium_gateway::folder::FolderSecret;

    fn folder(label: &str) -> Folder {
        let secret = FolderSecret {
            labels: [(label.to_owned(), "true".to_owned())].into(),
            data: [("password".to_owned(), "hunter2".into())].into(),
        };
        let mut folder = Folder::default();
        folder.secrets.insert("db".to_owned(), secret);
        folder
    }

    #[test]
    fn a_secret_is_used_only_with_the_label_of_its_connector() {
        assert!(fields(&folder("connector.aperium.dev/postgres"), "postgres", "db").unwrap().get("password").is_some());
        let error = fields(&folder("connector.aperium.dev/other"), "postgres", "db").unwrap_err().to_string();
        assert!(error.contains("must carry the label connector.aperium.dev/postgres") && !error.contains("hunter2"));
        assert!(fields(&folder("x"), "postgres", "none").is_err());
    }
}
