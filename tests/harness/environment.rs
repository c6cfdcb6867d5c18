//! The variables that whoever runs the tests may set; the one place of the harness that reads them.
#![expect(
    clippy::disallowed_methods,
    reason = "tests have no command line of their own: the environment is their only input"
)]

use std::{net::IpAddr, path::PathBuf};

/// `APERIUM_TEST_KUBECONFIG`: use this cluster instead of starting one.
pub(crate) fn kubeconfig() -> Option<PathBuf> {
    std::env::var_os("APERIUM_TEST_KUBECONFIG").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// `APERIUM_TEST_HOST_IP`: the address at which pods of that cluster reach this machine.
pub(crate) fn host_ip() -> Option<IpAddr> {
    let text = std::env::var("APERIUM_TEST_HOST_IP").ok()?;
    Some(text.parse().expect("APERIUM_TEST_HOST_IP is an IP address"))
}

/// What a started program inherits: where to find other programs and a home, nothing else.
pub(crate) fn inherited() -> Vec<(&'static str, std::ffi::OsString)> {
    ["PATH", "HOME", "LANG", "TMPDIR"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))).collect()
}
