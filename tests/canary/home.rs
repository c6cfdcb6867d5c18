//! Where each secret may be, by its name.

use crate::places::{Kind, Place};

/// Whether a secret belongs in a place.
pub(crate) fn home(place: &Place, secret: &str) -> bool {
    let file = place.name.rsplit('/').next().unwrap_or_default();
    match place.kind {
        Kind::File => match file {
            "secrets.yaml" => is_of_a_connector(secret) || secret == "password in a Secret",
            "aperium.hujson" => is_of_a_connector(secret),
            _ => false,
        },
        Kind::Pages => match file {
            "encryption-keys.json" => secret == "key that seals",
            "lease-signing-keys.json" => secret == "key that signs leases",
            _ => false,
        },
        Kind::Environment => matches!(secret, "secret in a variable" | "token of a service"),
        // Whoever hashes a password wants to see the hash.
        Kind::Output => place.name == "canary-password" && secret == "hash of a password",
        // What callers send to an upstream they get back from there.
        Kind::Answer => secret == "argument of a call",
        Kind::Upstream => secret == "argument of a call" || is_for_upstreams(secret),
        Kind::Trace | Kind::Metrics | Kind::CommandLine | Kind::Rows => false,
    }
}

/// Credentials of connectors that all callers share.
fn is_of_a_connector(secret: &str) -> bool {
    secret.starts_with("credential of ") || secret == "secret in a document"
}

/// What upstreams, authorization servers and issuers must be sent.
fn is_for_upstreams(secret: &str) -> bool {
    let theirs = [
        "secret in a variable",
        "registered client secret",
        "access token of a client",
        "access token of a user",
        "refresh token of a user",
        "code of a connector",
        "code of a sign-in",
        "secret of the sign-in",
    ];
    is_of_a_connector(secret) || theirs.contains(&secret)
}
