//! The one list of connectors: a module name comes in, the connector goes out.
//!
//! To add one, make a folder here and add one `mod` line and one line in [`all`]; ports, charts, dashboard and the
//! conformance test follow from its `Info`.

use std::sync::Arc;

use aperium_core::id::ModuleName;

use crate::connector::Connector;

pub mod gcs_datalake;
pub mod postgres;
pub mod prefect;

/// Every connector of this build, in the order of their names.
#[must_use]
pub fn all() -> Vec<Arc<dyn Connector>> {
    vec![
        Arc::new(gcs_datalake::GcsDatalake::new()),
        Arc::new(postgres::Postgres::new()),
        Arc::new(prefect::Prefect::new()),
    ]
}

/// The connector of a module, if this build has it.
#[must_use]
pub fn find(module: &ModuleName) -> Option<Arc<dyn Connector>> {
    all().into_iter().find(|connector| connector.info().module == module.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::path::Path;

    /// The gateway knows what to ask an admin for without knowing this crate. To write the file anew:
    /// `APERIUM_WRITE=1 cargo test --package aperium-mcp-service the_fields`.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a switch of this test alone")]
    fn the_fields_that_the_gateway_asks_for_are_those_of_the_connectors() {
        let modules: Vec<_> = all()
            .iter()
            .map(|connector| {
                let info = connector.info();
                let field = |field: &crate::connector::CredentialField| {
                    json!({
                        "name": field.name, "title": field.title, "help": field.help,
                        "required": field.required, "secret": field.secret,
                    })
                };
                json!({ "module": info.module, "credentials": info.credentials.iter().map(field).collect::<Vec<_>>() })
            })
            .collect();
        let now = serde_json::Value::from(modules);
        let file = Path::new("../gateway/src/registry/modules.json");
        if std::env::var_os("APERIUM_WRITE").is_some() {
            std::fs::write(file, format!("{now:#}\n")).unwrap();
        }
        let committed: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        assert!(committed == now, "modules.json is not up to date: run this test with APERIUM_WRITE=1");
    }
}
