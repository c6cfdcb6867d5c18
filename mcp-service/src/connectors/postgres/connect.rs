//! One connection: credentials and settings come in; a login session goes out, dialled through the guard and checked
//! to be no superuser's.

use std::net::IpAddr;
use std::str::FromStr;

use aperium_core::effect::Effect;
use aperium_platform::egress::GuardedDialer;
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::config::{ChannelBinding, SslMode};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{CancelToken, Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::{from_connect, from_postgres};
use super::settings::Settings;
use super::stream::{Budget, Metered};
use super::tls::{Certificates, TlsMode, config as tls_config};
use crate::connector::{ToolError, Upstream, failed_at};

/// The role may look into everything or step outside the database: reading with it is not read-only.
const ROLE_CHECK: &str = "SELECT r.rolsuper, EXISTS (SELECT FROM pg_catalog.pg_roles p \
     WHERE p.rolname IN ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program') \
       AND pg_catalog.pg_has_role(r.oid, p.oid, 'MEMBER')) \
     FROM pg_catalog.pg_roles r WHERE r.rolname = session_user";

/// How to reach the database: made once per set of credentials.
pub(super) struct Target {
    host: String,
    port: u16,
    database: String,
    username: String,
    password: Option<SecretString>,
    tls: Option<MakeRustlsConnect>,
    dialer: GuardedDialer,
    allow_superuser: bool,
}

/// An open connection.
pub(super) struct Connected {
    pub(super) client: Client,
    pub(super) budget: Budget,
}

impl Target {
    /// Checks everything that can be checked without the network.
    pub(super) fn new(up: &Upstream) -> Result<Self, ToolError> {
        let settings = up.settings::<Settings>()?;
        let host = up.text("host")?.to_owned();
        let port = match up.optional_text("port") {
            None => 5432,
            Some(text) => u16::from_str(text)
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| ToolError::invalid("the port is no port number"))?,
        };
        let mode =
            TlsMode::parse(up.optional_text("ssl_mode")).map_err(|error| ToolError::invalid(error.to_string()))?;
        if mode == TlsMode::Disable && !settings.allow_plaintext && !is_loopback(&host) {
            return Err(ToolError::invalid("ssl_mode disable needs the setting allowPlaintext, except for loopback"));
        }
        let given = Certificates {
            ca: up.optional_text("ca_certificate"),
            client: up.optional_text("client_certificate"),
            client_key: up.optional_secret("client_key"),
        };
        let tls = if mode == TlsMode::Disable {
            None
        } else {
            let config = tls_config(mode, &given).map_err(|error| ToolError::invalid(error.to_string()))?;
            Some(MakeRustlsConnect::new(config))
        };
        Ok(Self {
            database: up.text("database")?.to_owned(),
            username: up.text("username")?.to_owned(),
            password: up.optional_secret("password").cloned(),
            dialer: up.dialer().clone(),
            allow_superuser: settings.allow_superuser,
            host,
            port,
            tls,
        })
    }

    /// Dials, logs in, and checks the role.
    pub(super) async fn connect(&self) -> Result<Connected, ToolError> {
        let budget = Budget::new();
        let stream = Metered::new(self.dial().await?, budget.clone());
        let config = self.config();
        let client = match self.connector()? {
            None => start(config.connect_raw(stream, NoTls).await)?,
            Some(tls) => start(config.connect_raw(stream, tls).await)?,
        };
        self.check_role(&client).await?;
        Ok(Connected { client, budget })
    }

    /// Asks the server to stop the statement of that connection. Best effort: its time limit holds anyway.
    pub(super) async fn cancel(&self, token: CancelToken) {
        let Ok(stream) = self.dial().await else { return };
        let stream = Metered::new(stream, Budget::new());
        let asked = match self.connector() {
            Ok(None) => token.cancel_query_raw(stream, NoTls).await,
            Ok(Some(tls)) => token.cancel_query_raw(stream, tls).await,
            Err(_) => return,
        };
        if asked.is_err() {
            tracing::debug!("a running statement could not be cancelled; its time limit ends it");
        }
    }

    async fn dial(&self) -> Result<tokio::net::TcpStream, ToolError> {
        let stream = self.dialer.connect(&self.host, self.port).await.map_err(|error| {
            if error.refused() {
                ToolError::forbidden(format!("the egress policy refuses the host of the database ({})", error.reason()))
            } else {
                ToolError::unavailable(format!("the database cannot be reached ({})", error.reason()))
            }
            .at(failed_at(&error))
        })?;
        // Requests are small and each is waited for.
        stream.set_nodelay(true).map_err(|_| ToolError::unavailable("the connection broke at once"))?;
        Ok(stream)
    }

    fn config(&self) -> Config {
        let mut config = Config::new();
        config.user(&self.username).dbname(&self.database).application_name("aperium-mcp");
        if let Some(password) = &self.password {
            config.password(password.expose_secret());
        }
        config.ssl_mode(if self.tls.is_some() { SslMode::Require } else { SslMode::Disable });
        config.channel_binding(ChannelBinding::Prefer);
        config
    }

    fn connector(&self) -> Result<Option<<MakeRustlsConnect as MakeTlsConnect<Metered>>::TlsConnect>, ToolError> {
        let Some(mut tls) = self.tls.clone() else { return Ok(None) };
        MakeTlsConnect::<Metered>::make_tls_connect(&mut tls, self.host.trim_matches(['[', ']']))
            .map(Some)
            .map_err(|_| ToolError::invalid("the host is not a name that a certificate could be for"))
    }

    async fn check_role(&self, client: &Client) -> Result<(), ToolError> {
        let row = client.query_opt(ROLE_CHECK, &[]).await.map_err(|error| from_postgres(&error, Effect::Read))?;
        let too_mighty = match row {
            None => true,
            Some(row) => {
                let flag = |column| row.try_get::<_, bool>(column).unwrap_or(true);
                flag(0) || flag(1)
            }
        };
        if too_mighty && !self.allow_superuser {
            return Err(ToolError::forbidden(
                "the role is a superuser or may use files of the server; give the connector a role of its own, \
                 or set allowSuperuser",
            ));
        }
        Ok(())
    }
}

/// Keeps the connection going in a task of its own, for as long as the client lives.
fn start<S, T>(
    made: Result<(Client, tokio_postgres::Connection<S, T>), tokio_postgres::Error>,
) -> Result<Client, ToolError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (client, connection) = made.map_err(|error| from_connect(&error))?;
    tokio::spawn(async move {
        // The client's next use reports what happened to the connection.
        let _ = connection.await;
    });
    Ok(client)
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
