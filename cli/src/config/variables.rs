//! The environment → the variables that a document may name.

use aperium_gateway::document::Macros;

/// All variables whose names start with `APERIUM_CONFIG_`: which of them a document names cannot be known beforehand,
/// so they are no arguments.
pub(crate) fn macros() -> Macros {
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    Macros::from_variables(std::env::vars_os().filter_map(text))
}
