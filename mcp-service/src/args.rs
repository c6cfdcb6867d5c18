//! The command line and environment of `aperium-mcp`: text comes in, a [`ServiceConfig`] goes out.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use aperium_core::id::{ConnectorId, ConnectorName, IdError, ModuleName, TenantId};
use aperium_platform::bearer::TokenSource;
use aperium_platform::egress::{
    BrokerAddress, BrokerClient, EgressError, EgressPolicy, EgressRules, FactsFile, PolicyError,
};
use aperium_platform::lease::{Audience, BROKER_CA, LeaseVerifier, PublicKeys};
use aperium_platform::serve::ServerLimits;
use clap::Parser;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::broker::{HttpBroker, Platform};
use crate::calls::{CallRules, CallRulesError};
use crate::config::{DEFAULT_MAX_BODY, ServiceConfig};
use crate::connectors;
use crate::credentials::CredentialsSource;

/// Where the operator mounts the token when nothing else is said.
const TOKEN_FILE: &str = "/var/run/aperium/token/mcp_auth_token";

/// One MCP service: one connector in front of one company system.
///
/// Serves /mcp (Streamable HTTP, behind the service token), /metrics (behind it too), /healthz and /readyz.
/// In a cluster the operator sets all of this; `aperium up` needs none of it.
#[derive(Debug, Parser)]
#[command(name = "aperium-mcp", version)]
pub struct Args {
    /// The module to serve, such as `postgres`; `mcp_servers.<module>_http` means the same.
    #[arg(long, env = "APERIUM_CONNECTOR", value_name = "MODULE", required_unless_present = "list_connectors")]
    connector: Option<String>,

    /// Print the modules of this build and exit.
    #[arg(long)]
    list_connectors: bool,

    /// Where to listen; the default is port of the module on all addresses.
    #[arg(long, env = "APERIUM_LISTEN", value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,

    /// File with the service token; read again when it changes. Two lines: new and old during a rotation.
    #[arg(long, env = "MCP_AUTH_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// The service token itself (prefer the file). Environment only, so that it is in no process list.
    #[arg(skip)]
    token: Option<SecretString>,

    /// Directory with one file per credential field; read again when it changes.
    #[arg(long, env = "APERIUM_CREDENTIALS_DIR", value_name = "DIR", default_value = "/var/run/aperium/credentials")]
    credentials_dir: PathBuf,

    /// `spec.service.settings` of the Connector.
    #[arg(long, env = "APERIUM_SETTINGS", value_name = "JSON", default_value = "{}")]
    settings: String,

    /// The name of the Connector, for the logs.
    #[arg(long, env = "APERIUM_CONNECTOR_NAME", value_name = "NAME")]
    connector_name: Option<String>,

    /// The id of the Connector, for the logs, and the one that leases must be for.
    #[arg(long, env = "APERIUM_CONNECTOR_ID", value_name = "ID")]
    connector_id: Option<String>,

    /// The broker of the platform. With it credentials come from there, and every call needs a lease; the directory of
    /// credentials is not read.
    #[arg(long, env = "APERIUM_BROKER", value_name = "HOST:PORT")]
    broker: Option<String>,

    /// Who this service is in a lease: its namespace and ServiceAccount.
    #[arg(long, env = "APERIUM_LEASE_AUDIENCE", value_name = "NAMESPACE/NAME")]
    lease_audience: Option<String>,

    /// Directory with the public keys of leases and the CA of the broker; read again when they change.
    #[arg(long, env = "APERIUM_LEASE_KEYS_DIR", value_name = "DIR", default_value = "/var/run/aperium/broker")]
    lease_keys_dir: PathBuf,

    /// File with the ServiceAccount token that the broker is shown (audience `aperium-broker`).
    #[arg(
        long,
        env = "APERIUM_BROKER_TOKEN_FILE",
        value_name = "FILE",
        default_value = "/var/run/aperium/identity/token"
    )]
    broker_token_file: PathBuf,

    /// `spec.service.tenant` of the Connector: the one tenant of this service.
    #[arg(long, env = "APERIUM_TENANT", value_name = "TENANT")]
    tenant: Option<String>,

    /// `spec.calls` of the Connector: {"timeoutSeconds":30,"maxConcurrent":64,"writes":"Disabled"}.
    #[arg(long, env = "APERIUM_CALLS", value_name = "JSON", default_value = "{}")]
    calls: String,

    /// `spec.tools.hide` of the Connector: ["tool", …].
    #[arg(long, env = "APERIUM_TOOLS_HIDE", value_name = "JSON", default_value = "[]")]
    hide: String,

    /// What may be reached (egress rules).
    #[arg(long, env = "APERIUM_EGRESS", value_name = "JSON", default_value = "{}")]
    egress: String,

    /// Facts of the cluster, which the operator publishes; they complete the egress rules. May be missing.
    #[arg(long, env = "APERIUM_CLUSTER_FACTS", value_name = "FILE")]
    cluster_facts: Option<PathBuf>,

    /// Host headers that are accepted on /mcp beside those of loopback.
    #[arg(long, env = "APERIUM_ALLOWED_HOSTS", value_name = "HOST,HOST", value_delimiter = ',')]
    allowed_hosts: Vec<String>,

    /// Serve /metrics without the token.
    #[arg(long, env = "APERIUM_METRICS_OPEN", value_parser = clap::builder::BoolishValueParser::new(), default_value = "false", action = clap::ArgAction::Set)]
    metrics_open: bool,

    /// The largest request body, in bytes.
    #[arg(long, env = "APERIUM_MAX_BODY_BYTES", value_name = "BYTES", default_value_t = DEFAULT_MAX_BODY)]
    max_body_bytes: usize,
}

/// What is wrong with the arguments.
#[derive(Debug, thiserror::Error)]
pub enum ArgsError {
    /// There is no such module.
    #[error("unknown connector {module:?}; this build has: {known}")]
    UnknownConnector {
        /// What was asked for.
        module: String,
        /// What there is.
        known: String,
    },
    /// The name of the Connector is malformed.
    #[error("APERIUM_CONNECTOR_NAME is malformed")]
    Name(#[source] IdError),
    /// The tenant is malformed.
    #[error("APERIUM_TENANT is malformed")]
    Tenant(#[source] IdError),
    /// The address of the broker is none.
    #[error("APERIUM_BROKER is no host:port")]
    Broker(#[source] EgressError),
    /// Without knowing who it is a service can verify no lease.
    #[error("with APERIUM_BROKER, APERIUM_LEASE_AUDIENCE must be <namespace>/<ServiceAccount>")]
    Audience,
    /// The same of its Connector.
    #[error("with APERIUM_BROKER, APERIUM_CONNECTOR_ID must be the Connector's id")]
    ConnectorId,
    /// The settings are no JSON.
    #[error("APERIUM_SETTINGS is not JSON")]
    Settings(#[source] serde_json::Error),
    /// The call rules are wrong.
    #[error(transparent)]
    Calls(#[from] CallRulesError),
    /// The list of hidden tools is no JSON array of names.
    #[error("APERIUM_TOOLS_HIDE is not a JSON array of tool names")]
    Hide(#[source] serde_json::Error),
    /// The egress rules are no JSON.
    #[error("APERIUM_EGRESS cannot be read")]
    Egress(#[source] serde_json::Error),
    /// The egress rules contradict themselves.
    #[error("APERIUM_EGRESS is not a usable policy")]
    Policy(#[source] PolicyError),
}

/// What the arguments ask for.
pub enum Command {
    /// Print this and exit.
    Print(String),
    /// Serve this on that address.
    Serve(Box<ServiceConfig>, SocketAddr),
}

impl Args {
    /// The arguments and environment of this process.
    #[must_use]
    pub fn from_process() -> Self {
        let mut args = Self::parse();
        args.token = token_from_environment();
        args
    }

    /// Checks everything.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn resolve(self) -> Result<Command, ArgsError> {
        let Self {
            connector,
            list_connectors,
            listen,
            token_file,
            token,
            credentials_dir,
            settings,
            connector_name,
            connector_id,
            broker,
            lease_audience,
            lease_keys_dir,
            broker_token_file,
            tenant,
            calls,
            hide,
            egress,
            cluster_facts,
            allowed_hosts,
            metrics_open,
            max_body_bytes,
        } = self;
        if list_connectors {
            return Ok(Command::Print(listing()));
        }
        let module = connector.unwrap_or_default();
        let found = ModuleName::parse(&module).ok().and_then(|name| connectors::find(&name));
        let Some(connector) = found else {
            let known: Vec<_> = connectors::all().iter().map(|c| c.info().module).collect();
            return Err(ArgsError::UnknownConnector { module, known: known.join(", ") });
        };
        if let Some(name) = connector_name {
            ConnectorName::parse(&name).map_err(ArgsError::Name)?;
        }
        let rules: EgressRules = object(&egress).map_err(ArgsError::Egress)?;
        let token = match (token_file, token) {
            (Some(file), _) => TokenSource::file(file),
            (None, Some(token)) => TokenSource::fixed(token),
            (None, None) => TokenSource::file(PathBuf::from(TOKEN_FILE)),
        };
        let credentials = match broker {
            None => CredentialsSource::Dir(credentials_dir),
            Some(address) => {
                let address = BrokerAddress::parse(&address).map_err(ArgsError::Broker)?;
                let audience = lease_audience.as_deref().and_then(|text| Audience::parse(text).ok());
                let id = connector_id.as_deref().and_then(|text| ConnectorId::parse(text).ok());
                let (audience, id) = (audience.ok_or(ArgsError::Audience)?, id.ok_or(ArgsError::ConnectorId)?);
                let client = BrokerClient::new(address, lease_keys_dir.join(BROKER_CA));
                CredentialsSource::Platform(Platform {
                    leases: LeaseVerifier::file(lease_keys_dir.join(PublicKeys::KEY), audience, id),
                    broker: Arc::new(HttpBroker::new(client, broker_token_file)),
                })
            }
        };
        let address = listen.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], connector.info().port)));
        let config = ServiceConfig {
            token,
            credentials,
            tenant: tenant.as_deref().map(TenantId::parse).transpose().map_err(ArgsError::Tenant)?,
            settings: object(&settings).map_err(ArgsError::Settings)?,
            calls: CallRules::parse(&calls)?,
            hide: serde_json::from_str(&hide).map_err(ArgsError::Hide)?,
            facts: cluster_facts.map(|file| FactsFile::new(file, rules.clone())),
            egress: EgressPolicy::new(rules).map_err(ArgsError::Policy)?,
            allowed_hosts: allowed_hosts.into_iter().filter(|host| !host.trim().is_empty()).collect(),
            metrics_open,
            local: false,
            max_body: max_body_bytes,
            limits: ServerLimits::default(),
            connector,
        };
        Ok(Command::Serve(Box::new(config), address))
    }
}

/// Reads a JSON object and nothing else: a derived struct would also read an array, field by field.
fn object<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    let map: serde_json::Map<String, Value> = serde_json::from_str(text)?;
    serde_json::from_value(Value::Object(map))
}

/// One line per module: name, port, title.
fn listing() -> String {
    let mut text = String::new();
    for connector in connectors::all() {
        let info = connector.info();
        text.push_str(&format!("{:<18} {:>5}  {}\n", info.module, info.port, info.title));
    }
    text
}

/// A token given in the environment has no flag: command lines are readable by everybody on the machine.
#[expect(clippy::disallowed_methods, reason = "clap would need a flag for it, and its Debug would show it")]
fn token_from_environment() -> Option<SecretString> {
    std::env::var("MCP_AUTH_TOKEN").ok().filter(|token| !token.is_empty()).map(SecretString::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(args: &[&str]) -> Result<Command, ArgsError> {
        Args::try_parse_from(std::iter::once("aperium-mcp").chain(args.iter().copied())).unwrap().resolve()
    }

    #[test]
    fn an_unknown_connector_is_named_together_with_the_known_ones() {
        let error = resolve(&["--connector", "nosuch"]).err().unwrap();
        assert!(error.to_string().contains("\"nosuch\""));
        assert!(error.to_string().contains("postgres"));
    }

    #[test]
    fn the_older_spelling_of_a_module_means_the_same() {
        for spelling in ["postgres", "mcp_servers.postgres_http"] {
            let Ok(Command::Serve(config, address)) = resolve(&["--connector", spelling]) else { panic!("{spelling}") };
            assert_eq!(config.connector.info().module, "postgres");
            assert_eq!(address.port(), 8088);
        }
    }

    #[test]
    fn every_malformed_value_is_named() {
        for (flag, value, variable) in [
            ("--settings", "{", "APERIUM_SETTINGS"),
            ("--settings", "[]", "APERIUM_SETTINGS"),
            ("--calls", "[]", "APERIUM_CALLS"),
            ("--calls", r#"{"timeoutSeconds":0}"#, "APERIUM_CALLS"),
            ("--hide", "{}", "APERIUM_TOOLS_HIDE"),
            ("--egress", "[]", "APERIUM_EGRESS"),
            ("--connector-name", "Not A Name", "APERIUM_CONNECTOR_NAME"),
            ("--tenant", "a b", "APERIUM_TENANT"),
            ("--broker", "https://gateway", "APERIUM_BROKER"),
            ("--broker", "gateway:9443", "APERIUM_LEASE_AUDIENCE"),
        ] {
            let error = resolve(&["--connector", "postgres", flag, value]).err().unwrap();
            assert!(error.to_string().contains(variable), "{error}");
        }
    }

    #[test]
    fn with_a_broker_credentials_come_from_the_platform() {
        let args = ["--connector", "postgres", "--broker", "aperium-gateway.aperium-system.svc:9443"];
        let of = |more: &[&str]| resolve(&[&args[..], more].concat());
        let audience = ["--lease-audience", "erp/aperium-mcp-db"];
        assert!(of(&audience).err().unwrap().to_string().contains("APERIUM_CONNECTOR_ID"));
        let Ok(Command::Serve(config, _)) = of(&[&audience[..], &["--connector-id", "db"]].concat()) else { panic!() };
        assert!(matches!(config.credentials, CredentialsSource::Platform(_)));
    }

    #[test]
    fn the_modules_of_this_build_can_be_listed() {
        let Ok(Command::Print(text)) = resolve(&["--list-connectors"]) else { panic!("no listing") };
        assert!(text.lines().any(|line| line.starts_with("postgres ")));
    }
}
