//! Settings and token files → the rules of who gets in: host names, origins, static clients. Swapped whole.

use crate::pipeline::authn::delegate::Delegates;
use crate::pipeline::authn::oidc::Oidc;
use crate::pipeline::authn::static_tokens::{Clients, TokenFiles};
use crate::pipeline::edge::is_loopback;
use aperium_crds::settings::{Login, ServiceAccounts, Settings};
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

/// What a gateway knows of itself: from its arguments, fixed for its life.
#[derive(Debug, Clone, Default)]
pub struct Own {
    /// The name of its Service: `aperium-gateway`.
    pub service: String,
    /// Its namespace, which is the system namespace.
    pub namespace: String,
    /// The addresses of its pod.
    pub addresses: Vec<IpAddr>,
    /// Under `aperium up`: whoever reaches the loopback listener is the person at the machine.
    pub loopback: bool,
}

/// The rules of who gets in.
#[derive(Debug)]
pub(crate) struct Access {
    own: Own,
    hosts: HashSet<String>,
    origins: HashSet<String>,
    /// Clients with a static token.
    pub(crate) clients: Clients,
    /// What the settings say of ServiceAccounts.
    pub(crate) service_accounts: ServiceAccounts,
    /// Issuers whose tokens are accepted.
    pub(crate) oidc: Arc<Oidc>,
    /// Who may act for persons.
    pub(crate) delegates: Delegates,
    /// How people sign in.
    pub(crate) login: Login,
    /// The base URL that callers outside use; empty where the settings say none.
    pub(crate) public_url: String,
}

impl Access {
    /// Compiles the settings. What `before` knows of issuers is kept where they are the same.
    pub(crate) fn new(own: &Own, settings: &Settings, tokens: &TokenFiles, before: Option<&Self>) -> Self {
        let mut hosts: HashSet<String> =
            settings.hosts.allowed_hosts.iter().map(|host| host.trim_end_matches('.').to_ascii_lowercase()).collect();
        if !own.loopback && !own.service.is_empty() {
            let (service, namespace) = (&own.service, &own.namespace);
            hosts.insert(service.clone());
            for suffix in ["", ".svc", ".svc.cluster.local"] {
                hosts.insert(format!("{service}.{namespace}{suffix}"));
            }
        }
        Self {
            own: own.clone(),
            hosts,
            origins: settings.hosts.allowed_origins.iter().cloned().collect(),
            clients: Clients::new(&settings.authentication.static_tokens, tokens),
            service_accounts: settings.authentication.service_accounts.clone(),
            oidc: Oidc::new(settings, before.map(|before| &before.oidc)),
            delegates: Delegates::new(&settings.authentication.delegates),
            login: settings.authentication.login.clone(),
            public_url: settings.hosts.public_url.clone(),
        }
    }

    /// The system namespace.
    pub(crate) fn namespace(&self) -> &str {
        &self.own.namespace
    }

    /// Whether whoever reaches the listener is the person at the machine.
    pub(crate) fn loopback(&self) -> bool {
        self.own.loopback
    }

    /// Whether browsers come over TLS. The settings allow another public URL on loopback alone.
    pub(crate) fn secure(&self) -> bool {
        !self.public_url.starts_with("http://")
    }

    /// Whether the gateway is reached under this name. A page cannot rebind the names of loopback, so these are fine.
    pub(crate) fn allows_host(&self, name: &str) -> bool {
        is_loopback(name)
            || self.hosts.contains(name)
            || (name.bytes().any(|b| b.is_ascii_uppercase()) && self.hosts.contains(&name.to_ascii_lowercase()))
            || name.parse().is_ok_and(|address: IpAddr| self.own.addresses.contains(&address))
    }

    /// Whether pages of this origin may call.
    pub(crate) fn allows_origin(&self, origin: &str) -> bool {
        self.origins.contains(origin)
    }

    #[cfg(test)]
    pub(crate) fn test(hosts: &[&str], origins: &[&str], loopback: bool) -> Self {
        let mut settings = Settings::default();
        settings.hosts.allowed_hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        settings.hosts.allowed_origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
        let own = Own {
            service: "aperium-gateway".into(),
            namespace: "aperium-system".into(),
            addresses: vec![IpAddr::from([10, 1, 2, 3])],
            loopback,
        };
        Self::new(&own, &settings, &TokenFiles::default(), None)
    }
}
