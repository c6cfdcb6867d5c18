//! Names in, addresses out. A trait, so that tests can play a hostile DNS.

use std::{future::Future, io, net::IpAddr, pin::Pin};

/// The answer of a resolver.
pub type Answer = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Resolves a name once. The name is handed over exactly as it is to be asked (with a trailing dot if it is fully
/// qualified); the policy judges the answer.
pub trait Resolve: Send + Sync + 'static {
    /// All addresses of the name, in the order of preference.
    fn resolve(&self, name: &str) -> Answer;
}

/// The system's resolver (`getaddrinfo`): DNS, hosts file, and the order of RFC 6724.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where names are resolved; the policy judges the answer"
    )]
    fn resolve(&self, name: &str) -> Answer {
        let name = name.to_owned();
        Box::pin(async move {
            let answer = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(answer.map(|address| address.ip()).collect())
        })
    }
}
