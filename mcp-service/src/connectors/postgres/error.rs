//! What PostgreSQL says comes in; a tool error goes out. Codes: PostgreSQL manual, appendix A.

use aperium_core::effect::Effect;
use aperium_platform::trial::Step;
use tokio_postgres::error::SqlState;

use crate::connector::{ErrorCode, ToolError};

/// The tool error for a failed statement of a tool with this effect.
pub(super) fn from_postgres(error: &tokio_postgres::Error, effect: Effect) -> ToolError {
    if let Some(db) = error.as_db_error() {
        return from_database(db);
    }
    if error.is_closed() || has_io_source(error) {
        return lost(effect);
    }
    // What is left is a value of ours that does not fit a parameter; the cause names the type, not the value.
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    ToolError::invalid(format!("a parameter does not fit: {cause}"))
}

/// A connection that could not be made, or failed while it was made: nothing was changed.
pub(super) fn from_connect(error: &tokio_postgres::Error) -> ToolError {
    if let Some(db) = error.as_db_error() {
        return from_database(db);
    }
    let text = error.to_string();
    // tokio-postgres has no public kinds; these texts are its own, not the server's.
    if text.contains("TLS handshake") {
        return ToolError::unavailable("the TLS handshake with the database failed: check ssl_mode and ca_certificate")
            .at(Step::Tls);
    }
    if text.contains("server does not support TLS") {
        return ToolError::unavailable("the database does not offer TLS, and ssl_mode asks for it").at(Step::Tls);
    }
    if text.contains("password") || text.contains("authentication") {
        return ToolError::auth_failed("the database asks for a login that these credentials do not allow");
    }
    ToolError::unavailable("the database broke off while the connection was made")
}

fn from_database(db: &tokio_postgres::error::DbError) -> ToolError {
    let sqlstate = db.code();
    let code = code_of(sqlstate);
    let mut message = db.message().to_owned();
    if let Some(hint) = db.hint() {
        message = format!("{message} (hint: {hint})");
    }
    let error = ToolError::new(code, message).with_upstream_code(sqlstate.code());
    match code {
        ErrorCode::RateLimited => error.with_retry_after(std::time::Duration::from_secs(5)),
        _ => error,
    }
}

/// The class of an SQLSTATE.
fn code_of(sqlstate: &SqlState) -> ErrorCode {
    match sqlstate.code() {
        // A password or role that is refused, a database that may not be entered.
        "28P01" | "28000" | "3D000" => ErrorCode::AuthFailed,
        "42501" | "25006" => ErrorCode::Forbidden,
        "57014" | "55P03" | "25P03" => ErrorCode::Timeout,
        "53300" | "53400" => ErrorCode::RateLimited,
        "54000" | "54001" | "54011" | "54023" => ErrorCode::TooLarge,
        "40001" | "40P01" | "23505" | "23503" | "23001" | "23P01" => ErrorCode::Conflict,
        "57P01" | "57P02" | "57P03" | "57P04" => ErrorCode::UpstreamUnavailable,
        code => match code.get(..2).unwrap_or_default() {
            "08" => ErrorCode::UpstreamUnavailable,
            // Data, integrity, transaction state, SQL, and "with check option" are about what was asked.
            "0A" | "20" | "21" | "22" | "23" | "25" | "26" | "2B" | "34" | "3F" | "42" | "44" => {
                ErrorCode::InvalidArgument
            }
            "28" => ErrorCode::AuthFailed,
            _ => ErrorCode::Upstream,
        },
    }
}

fn lost(effect: Effect) -> ToolError {
    if effect.is_read() {
        ToolError::unavailable("the connection to the database was lost")
    } else {
        ToolError::new(
            ErrorCode::OutcomeUnknown,
            "the connection to the database was lost; the change may or may not have been made: look before you repeat it",
        )
    }
}

fn sources(error: &tokio_postgres::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(error), |cause| cause.source())
}

fn has_io_source(error: &tokio_postgres::Error) -> bool {
    sources(error).any(|cause| cause.is::<std::io::Error>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_of_sqlstate_has_its_code() {
        for (sqlstate, code) in [
            ("28P01", "auth_failed"),
            ("28000", "auth_failed"),
            ("42501", "forbidden"),
            ("25006", "forbidden"),
            ("42P01", "invalid_argument"),
            ("42703", "invalid_argument"),
            ("42601", "invalid_argument"),
            ("22P02", "invalid_argument"),
            ("23502", "invalid_argument"),
            ("23514", "invalid_argument"),
            ("57014", "timeout"),
            ("53300", "rate_limited"),
            ("08006", "upstream_unavailable"),
            ("57P01", "upstream_unavailable"),
            ("23505", "conflict"),
            ("40001", "conflict"),
            ("40P01", "conflict"),
            ("XX000", "upstream"),
        ] {
            assert_eq!(code_of(&SqlState::from_code(sqlstate)).as_str(), code, "{sqlstate}");
        }
    }
}
