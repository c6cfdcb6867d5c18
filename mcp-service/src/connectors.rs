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
