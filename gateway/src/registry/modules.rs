//! What the built-in connectors ask an admin for, as data: their own descriptions, written into `modules.json` by a test
//! of mcp-service. Pure.

use serde::Deserialize;
use std::sync::LazyLock;

/// A built-in connector.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Module {
    /// Folder name, in snake case.
    module: String,
    /// What an admin enters, in the order of the form.
    credentials: Vec<Field>,
}

/// One field of its credentials.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Field {
    /// Key, in snake case.
    pub(crate) name: String,
    /// Label in forms.
    pub(crate) title: String,
    /// What it is, its form, its default.
    pub(crate) help: String,
    /// Whether the service is not ready without it.
    pub(crate) required: bool,
    /// Whether forms hide what is typed.
    pub(crate) secret: bool,
}

// The file is part of this program, and a test reads it.
static MODULES: LazyLock<Vec<Module>> =
    LazyLock::new(|| serde_json::from_str(include_str!("modules.json")).unwrap_or_default());

/// The fields of a module, in either spelling of `spec.service.module`; none for one that is not built in.
pub(crate) fn fields(module: &str) -> Option<&'static [Field]> {
    let alias = module.strip_prefix("mcp_servers.").and_then(|rest| rest.strip_suffix("_http"));
    let name = alias.unwrap_or(module);
    MODULES.iter().find(|known| known.module == name).map(|known| known.credentials.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_module_are_found_in_both_spellings() {
        let names =
            |module| fields(module).map(|fields| fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>());
        assert!(names("postgres").unwrap().contains(&"password"));
        assert_eq!(names("postgres"), names("mcp_servers.postgres_http"));
        assert_eq!(names("somebodys"), None);
    }
}
