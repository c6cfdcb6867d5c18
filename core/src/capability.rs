//! What a request wants: `id/category/resource`, as a type.

use crate::id::ConnectorId;
use std::fmt;

/// The kinds of thing a grant can open.
///
/// Seed 002 names tools, resources, templates and proxy. Prompts follow the tools (`id/prompts/name`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    /// MCP tools.
    Tools,
    /// MCP prompts.
    Prompts,
    /// MCP resources.
    Resources,
    /// MCP resource templates.
    Templates,
    /// The raw proxy path `/v1/connectors/<id>/…`.
    Proxy,
}

impl Category {
    /// All categories, in the order of their names in a grant.
    pub const ALL: [Self; 5] = [Self::Tools, Self::Prompts, Self::Resources, Self::Templates, Self::Proxy];

    /// The segment that names the category in a grant.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "templates",
            Self::Proxy => "proxy",
        }
    }
}

/// One thing that a caller wants to see or use. The resource is the upstream's own name, never the exposed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability<'a> {
    /// The connector.
    pub connector: &'a ConnectorId,
    /// The kind of thing.
    pub category: Category,
    /// The tool's, prompt's or template's own name or the resource's URI; empty for the proxy.
    pub resource: &'a str,
}

impl fmt::Display for Capability<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.connector, self.category.as_str())?;
        if self.category == Category::Proxy { Ok(()) } else { write!(f, "/{}", self.resource) }
    }
}
