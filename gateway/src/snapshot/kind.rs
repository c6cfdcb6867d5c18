//! The four kinds of thing that an MCP server offers, and how each is spelled in the protocol.

use aperium_core::capability::Category;

/// A kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// What a model calls.
    Tools,
    /// What a person picks.
    Prompts,
    /// What is read by its URI.
    Resources,
    /// What stands for many URIs.
    Templates,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Tools, Self::Prompts, Self::Resources, Self::Templates];

    /// The category that a grant names.
    pub(crate) fn category(self) -> Category {
        match self {
            Self::Tools => Category::Tools,
            Self::Prompts => Category::Prompts,
            Self::Resources => Category::Resources,
            Self::Templates => Category::Templates,
        }
    }

    /// The kind that a category is about; `None` for the proxy.
    pub(crate) fn of_category(category: Category) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.category() == category)
    }

    /// The capability that a server declares for it.
    pub(crate) fn capability(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources | Self::Templates => "resources",
        }
    }

    /// The method that lists it.
    pub(crate) fn list_method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
        }
    }

    /// The field of that method's result.
    pub(crate) fn list_field(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    /// The field of a definition that identifies the thing.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
        }
    }

    /// One of them, in messages for people.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Tools => "tool",
            Self::Prompts => "prompt",
            Self::Resources => "resource",
            Self::Templates => "resource template",
        }
    }
}

/// One value for each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PerKind<T>([T; 4]);

impl<T> PerKind<T> {
    /// Makes each.
    pub(crate) fn from_fn(make: impl FnMut(Kind) -> T) -> Self {
        Self(Kind::ALL.map(make))
    }

    /// The value of a kind.
    pub(crate) fn of(&self, kind: Kind) -> &T {
        let [tools, prompts, resources, templates] = &self.0;
        match kind {
            Kind::Tools => tools,
            Kind::Prompts => prompts,
            Kind::Resources => resources,
            Kind::Templates => templates,
        }
    }

    /// The value of a kind, to be changed.
    pub(crate) fn of_mut(&mut self, kind: Kind) -> &mut T {
        let [tools, prompts, resources, templates] = &mut self.0;
        match kind {
            Kind::Tools => tools,
            Kind::Prompts => prompts,
            Kind::Resources => resources,
            Kind::Templates => templates,
        }
    }
}
