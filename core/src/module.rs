//! The built-in modules: resource name, module, default port (blueprint §3).
//!
//! The operator plans Services from this table; the conformance test of mcp-service holds every connector's own
//! `Info` against it.

use crate::id::ModuleName;

/// One built-in module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Module {
    /// Folder name, `--connector`, in snake case.
    pub module: &'static str,
    /// The resource name in examples and charts.
    pub resource: &'static str,
    /// The prefix of its tools, with the underscore.
    pub tool_prefix: &'static str,
    /// The port a service listens on unless the Connector says otherwise.
    pub port: u16,
}

/// The port of a service whose module has none of its own.
pub const CUSTOM_PORT: u16 = 8095;

/// All built-in modules, in the order of their ports.
pub const MODULES: [Module; 14] = [
    module("odoo", "odoo", "odoo_", 8081),
    module("salesforce", "salesforce", "salesforce_", 8082),
    module("netsuite", "netsuite", "netsuite_", 8083),
    module("arena", "arena", "arena_", 8084),
    module("malbek", "malbek", "malbek_", 8085),
    module("prefect", "prefect", "prefect_", 8086),
    module("bigquery", "bigquery", "bigquery_", 8087),
    module("postgres", "postgres", "postgres_", 8088),
    module("atlassian", "atlassian", "atlassian_", 8089),
    module("google_workspace", "google-workspace", "google_", 8090),
    module("slack", "slack", "slack_", 8091),
    module("microsoft365", "microsoft365", "m365_", 8092),
    module("epic", "epic", "epic_", 8093),
    module("gcs_datalake", "gcs-datalake", "gcs_", 8094),
];

const fn module(module: &'static str, resource: &'static str, tool_prefix: &'static str, port: u16) -> Module {
    Module { module, resource, tool_prefix, port }
}

/// The default port of a module.
#[must_use]
pub fn default_port(module: &ModuleName) -> u16 {
    MODULES.iter().find(|m| m.module == module.as_str()).map_or(CUSTOM_PORT, |m| m.port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ConnectorName;
    use crate::name::effective_id;

    #[test]
    fn every_module_has_its_own_port_and_a_usable_name() {
        let mut ports: Vec<_> = MODULES.iter().map(|m| m.port).collect();
        ports.dedup();
        assert_eq!(ports.len(), MODULES.len());
        for module in MODULES {
            let name = ConnectorName::parse(module.resource).unwrap();
            assert!(effective_id(None, &name).is_ok(), "{name}");
            assert_eq!(default_port(&ModuleName::parse(module.module).unwrap()), module.port);
        }
        assert_eq!(default_port(&ModuleName::parse("custom").unwrap()), CUSTOM_PORT);
    }
}
