//! What goes wrong with the platform database → one enum. A database's own words are never kept: they quote values.

use aperium_platform::seal::SealError;
use sqlx::migrate::MigrateError;

/// Why something could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Not `postgres://…`, or not understood.
    #[error("DATABASE_URL is not a postgres:// URL that can be used")]
    Url,
    /// The SQLite file or its folder.
    #[error("the database file cannot be used: {0}")]
    File(std::io::ErrorKind),
    /// It cannot be reached, has no free connection, or does not let us in.
    #[error("the database cannot be reached ({0})")]
    Unavailable(&'static str),
    /// Others hold what is needed. Trying again helps.
    #[error("the database was busy: try again")]
    Busy,
    /// [`crate::Store::prepare`] has not succeeded yet.
    #[error("the database is not prepared yet")]
    Unprepared,
    /// A migration of this version failed, or is not what it was when it was applied.
    #[error("migration {0} of the database failed")]
    Migration(i64),
    /// A newer program has migrated it.
    #[error("the database was migrated by a newer version: it knows migration {0}")]
    Newer(i64),
    /// A superuser, or a role with BYPASSRLS.
    #[error("the database role is above row-level security: use one without SUPERUSER and BYPASSRLS")]
    Role,
    /// Something with this key exists.
    #[error("it exists already")]
    Exists,
    /// What it belongs to does not exist: a tenant, mostly.
    #[error("what it belongs to does not exist")]
    Orphan,
    /// A row does not have the form that was expected.
    #[error("a row of the database has another form than expected")]
    Row,
    /// Any other refusal; the SQLSTATE or SQLite's code.
    #[error("the database refused ({0})")]
    Refused(String),
    /// Sealing, or opening what was sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
}

impl StoreError {
    /// `PascalCase` reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Url => "DatabaseUrlInvalid",
            Self::File(_) => "DatabaseFileUnusable",
            Self::Unavailable(_) => "DatabaseUnavailable",
            Self::Busy => "DatabaseBusy",
            Self::Unprepared => "DatabaseUnprepared",
            Self::Migration(_) => "MigrationFailed",
            Self::Newer(_) => "DatabaseNewer",
            Self::Role => "RoleBypassesRowSecurity",
            Self::Exists => "Exists",
            Self::Orphan => "Orphan",
            Self::Row => "RowMalformed",
            Self::Refused(_) => "DatabaseRefused",
            Self::Seal(error) => error.reason(),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                if error.is_unique_violation() {
                    return Self::Exists;
                }
                if error.is_foreign_key_violation() {
                    return Self::Orphan;
                }
                refused(error.code().as_deref().unwrap_or("unknown"))
            }
            sqlx::Error::Configuration(_) | sqlx::Error::InvalidArgument(_) => Self::Url,
            sqlx::Error::Io(_) => Self::Unavailable("connection failed"),
            sqlx::Error::Tls(_) => Self::Unavailable("TLS failed"),
            sqlx::Error::PoolTimedOut => Self::Unavailable("no free connection"),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Self::Unavailable("closed"),
            sqlx::Error::Protocol(_) => Self::Unavailable("not understood"),
            sqlx::Error::RowNotFound
            | sqlx::Error::TypeNotFound { .. }
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Encode(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::AnyDriverError(_) => Self::Row,
            _ => Self::Refused("unknown".to_owned()),
        }
    }
}

/// SQLSTATE of PostgreSQL (five characters), or the extended result code of SQLite (a number, its last byte the kind).
fn refused(code: &str) -> StoreError {
    if code.len() == 5 {
        return match code {
            "40001" | "40P01" | "55P03" | "57014" => StoreError::Busy,
            "28000" | "28P01" => StoreError::Unavailable("login refused"),
            "3D000" => StoreError::Unavailable("no such database"),
            _ if code.starts_with("08") || code.starts_with("53") || code.starts_with("57P") => {
                StoreError::Unavailable("not serving")
            }
            _ => StoreError::Refused(code.to_owned()),
        };
    }
    match code.parse::<u32>().map(|code| code & 0xff) {
        Ok(5 | 6) => StoreError::Busy,
        Ok(8) => StoreError::Unavailable("read only"),
        Ok(10 | 13 | 14) => StoreError::Unavailable("disk"),
        Ok(11 | 26) => StoreError::Unavailable("not a database"),
        _ => StoreError::Refused(code.to_owned()),
    }
}

impl From<MigrateError> for StoreError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) => error.into(),
            MigrateError::VersionMissing(version) => Self::Newer(version),
            MigrateError::ExecuteMigration(error, version) => match error.into() {
                lost @ (Self::Unavailable(_) | Self::Busy) => lost,
                _ => Self::Migration(version),
            },
            MigrateError::VersionMismatch(version) | MigrateError::Dirty(version) => Self::Migration(version),
            _ => Self::Refused("migration".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_both_databases_say_whether_trying_again_helps() {
        for busy in ["40001", "40P01", "55P03", "57014", "5", "517", "6"] {
            assert_eq!(refused(busy), StoreError::Busy, "{busy}");
        }
        for away in ["08006", "53300", "57P01", "28P01", "3D000", "10", "13", "26"] {
            assert_eq!(refused(away).reason(), "DatabaseUnavailable", "{away}");
        }
        assert_eq!(refused("42P01"), StoreError::Refused("42P01".to_owned()));
    }
}
