//! The whole contract between a connector and the service around it.
//!
//! A connector says what it is ([`Info`]), which tools it has ([`Tool`]) and whether its upstream answers
//! ([`Connector::probe`]). It receives an [`Upstream`], already bound to one set of credentials, to its settings and
//! to the guarded clients; it can reach no credential store, no environment and no socket of its own.

mod bounds;
mod error;
mod http;
mod info;
mod page;
mod tool;
mod upstream;

pub use bounds::{Count, Items, Text};
pub use error::{ErrorCode, ToolError};
pub use http::Reply;
pub(crate) use http::failed_at;
pub use info::{CredentialField, Info, SettingsSpec};
pub use page::{Cursor, Page};
pub use tool::{Args, Handler, NoArgs, Tool};
pub use upstream::{Fields, Upstream, UpstreamParts};

/// One kind of company system that agents can reach.
#[async_trait::async_trait]
pub trait Connector: Send + Sync + 'static {
    /// What this connector is: constant, and readable without any credentials.
    fn info(&self) -> &'static Info;

    /// All its tools, writes included; the service decides which of them are listed and callable.
    fn tools(&self) -> &[Tool];

    /// Asks the upstream something cheap and real that needs the credentials, never a constant.
    ///
    /// # Errors
    /// [`ErrorCode::AuthFailed`] when the upstream refuses the credentials, [`ErrorCode::UpstreamUnavailable`] or
    /// [`ErrorCode::Timeout`] when it does not answer, any other code when the credentials are not fit for use.
    async fn probe(&self, up: &Upstream) -> Result<(), ToolError>;

    /// How the upstream is reached with these credentials: what a trial of them can say of its steps.
    fn way(&self, _up: &Upstream) -> Way {
        Way::Encrypted
    }
}

/// How an upstream is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Over TLS.
    Encrypted,
    /// Over a connection in clear.
    Plain,
    /// Without a connection: files of this machine.
    Local,
}
