//! Where the database is: a URL with a password in it, or a file.

use crate::error::StoreError;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::ConnectOptions as _;
use sqlx::any::AnyConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use std::fmt;
use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::str::FromStr as _;

/// Which database.
#[derive(Clone)]
pub enum Target {
    /// PostgreSQL, for any number of replicas. The URL is that of a session: a pooler must not share one between
    /// clients.
    Postgres(SecretString),
    /// One file, for one process.
    Sqlite(PathBuf),
}

impl Target {
    /// A `DATABASE_URL`. White space around it is no part of it.
    ///
    /// # Errors
    /// [`StoreError::Url`]
    pub fn postgres(url: &SecretString) -> Result<Self, StoreError> {
        let text = url.expose_secret().trim();
        let scheme = text.split_once("://").map(|(scheme, _)| scheme);
        if !matches!(scheme, Some("postgres" | "postgresql")) {
            return Err(StoreError::Url);
        }
        AnyConnectOptions::from_str(text)?;
        Ok(Self::Postgres(text.to_owned().into()))
    }

    /// What the driver needs. For SQLite the file is there afterwards, readable by its owner alone.
    pub(crate) fn options(&self) -> Result<AnyConnectOptions, StoreError> {
        match self {
            Self::Postgres(url) => Ok(AnyConnectOptions::from_str(url.expose_secret())?),
            Self::Sqlite(path) => {
                let path = std::path::absolute(path).map_err(|error| StoreError::File(error.kind()))?;
                if let Some(folder) = path.parent() {
                    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
                    made.map_err(|error| StoreError::File(error.kind()))?;
                }
                // Journal and shared memory get the mode of the file that they belong to.
                let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
                file.map_err(|error| StoreError::File(error.kind()))?;
                let url = SqliteConnectOptions::new().filename(&path).to_url_lossy();
                Ok(AnyConnectOptions::from_url(&url)?)
            }
        }
    }

    pub(crate) const fn is_postgres(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(_) => f.write_str("Target(postgres)"),
            Self::Sqlite(path) => write!(f, "Target({})", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_postgres_url_is_one_and_its_password_is_never_shown() {
        for good in ["postgres://a:hunter2@db/x", " postgresql://a:hunter2@db:5433/x?sslmode=require\n"] {
            let target = Target::postgres(&good.into()).unwrap();
            assert!(target.is_postgres() && !format!("{target:?}").contains("hunter2"));
        }
        for bad in ["", "db", "mysql://a:hunter2@db/x", "sqlite://x", "postgres:/x", "postgres://a:hunter2@db:port/x"] {
            let error = Target::postgres(&bad.into()).unwrap_err();
            assert_eq!(error, StoreError::Url, "{bad}");
            assert!(!format!("{error:?} {error}").contains("hunter2"));
        }
    }
}
