//! Both databases as one: a store over them, and a raw way in, past every rule, for attacks.

use aperium_platform::seal::{KeyRing, Sealer};
use aperium_store::{Store, Target};
use aperium_tests::postgres::Postgres;
use secrecy::ExposeSecret as _;
use sqlx::AnyPool;
use sqlx::any::AnyPoolOptions;
use std::path::Path;
use tempfile::TempDir;

const PASSWORD: &str = "a password of tests";

/// One database.
pub(crate) enum Database {
    /// A server of its own.
    Postgres(Box<Postgres>),
    /// A file in a folder of its own.
    Sqlite(TempDir),
}

impl Database {
    /// A fresh one of each.
    pub(crate) fn both() -> [Self; 2] {
        [Self::postgres(), Self::sqlite()]
    }

    /// A server with the database `aperium`, which an ordinary role owns.
    pub(crate) fn postgres() -> Self {
        let server = Postgres::start();
        server.create_role("aperium", PASSWORD);
        server.create_role("attacker", PASSWORD);
        server.sql("postgres", "ALTER ROLE attacker SUPERUSER");
        server.sql("postgres", "CREATE DATABASE aperium OWNER aperium");
        Self::Postgres(Box::new(server))
    }

    pub(crate) fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    /// The target of the platform.
    pub(crate) fn target(&self) -> Target {
        self.target_of("aperium")
    }

    /// The target of another database of the same server, or of another file beside it.
    pub(crate) fn target_of(&self, name: &str) -> Target {
        match self {
            Self::Postgres(server) => Target::postgres(&url(server, "aperium", name).into()).unwrap(),
            Self::Sqlite(folder) => Target::Sqlite(folder.path().join(format!("{name}.db"))),
        }
    }

    /// The URL of the platform, for a program.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Postgres(server) => url(server, "aperium", "aperium"),
            Self::Sqlite(_) => panic!("a file has none"),
        }
    }

    /// A store that is ready.
    pub(crate) async fn store(&self, sealer: &Sealer) -> Store {
        Store::connect(&self.target(), sealer.clone()).await.unwrap()
    }

    /// The server of PostgreSQL.
    pub(crate) fn server(&mut self) -> &mut Postgres {
        match self {
            Self::Postgres(server) => server,
            Self::Sqlite(_) => panic!("SQLite has no server"),
        }
    }

    /// Runs SQL past row-level security, as somebody who has the database and not the key.
    pub(crate) async fn attack(&self, sql: &'static str) -> u64 {
        sqlx::query(sql).execute(&self.raw("attacker").await).await.unwrap().rows_affected()
    }

    /// One number, read the same way.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.raw("attacker").await).await.unwrap()
    }

    /// A pool of one connection as this role.
    pub(crate) async fn raw(&self, role: &str) -> AnyPool {
        sqlx::any::install_default_drivers();
        let url = match self {
            Self::Postgres(server) => url(server, role, "aperium"),
            Self::Sqlite(folder) => format!("sqlite://{}", folder.path().join("aperium.db").display()),
        };
        AnyPoolOptions::new().max_connections(1).connect(&url).await.unwrap()
    }

    /// Every byte that a thief of the disk has.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Postgres(server) => {
                server.sql("postgres", "CHECKPOINT");
                files(&server.data_folder())
            }
            Self::Sqlite(folder) => files(folder.path()),
        }
    }
}

/// A ring with these keys, each 32 times one byte; the last one seals.
pub(crate) fn ring(keys: &[u8]) -> Sealer {
    Sealer::fixed(KeyRing::parse(ring_text(keys).as_bytes()).unwrap())
}

/// The same as text.
pub(crate) fn ring_text(keys: &[u8]) -> String {
    let one = |byte: &u8| KeyRing::of_key("k", &[*byte; 32]).unwrap().to_text().expose_secret().to_owned();
    let key = |byte: &u8| one(byte).rsplit('"').nth(1).unwrap().to_owned();
    let keys: Vec<String> = keys.iter().map(|byte| format!(r#""k{byte}":"{}""#, key(byte))).collect();
    let current = keys.last().unwrap().split('"').nth(1).unwrap();
    format!(r#"{{"current":"{current}","keys":{{{}}}}}"#, keys.join(","))
}

fn url(server: &Postgres, role: &str, database: &str) -> String {
    format!("postgres://{role}:{}@{}/{database}", PASSWORD.replace(' ', "%20"), server.address())
}

fn files(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() => all.extend(files(&path)),
            path => all.extend(std::fs::read(path).unwrap_or_default()),
        }
    }
    all
}
