//! The architecture: nothing else in the workspace may silence the lint that keeps connections in this module (the
//! environment is another matter: a token may come from there).

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The lint's list names the ways out that this module closes.
#[test]
fn the_lint_knows_the_ways_out() {
    let list = fs::read_to_string(workspace().join("clippy.toml")).unwrap();
    for method in [
        "tokio::net::TcpStream::connect",
        "std::net::TcpStream::connect",
        "tokio::net::lookup_host",
        "tokio::net::TcpSocket::connect",
        "hyper_util::client::legacy::Client::builder",
        "hyper::client::conn::http1::handshake",
        "tokio_postgres::connect",
        "axum::serve",
    ] {
        assert!(list.contains(&format!("\"{method}\"")), "{method}");
    }
}

#[test]
fn only_egress_dials_resolves_and_builds_clients() {
    const WAYS_OUT: [&str; 9] = [
        "TcpStream::connect",
        "TcpSocket",
        "UdpSocket",
        "lookup_host",
        "to_socket_addrs",
        "Client::builder",
        "::handshake",
        "tokio_postgres::connect",
        "axum::serve",
    ];
    let (mut found, mut seen) = (Vec::new(), 0);
    for part in ["core", "crds", "platform", "operator", "gateway", "mcp-service", "cli"] {
        sources(&workspace().join(part).join("src"), &mut |path, text| {
            seen += 1;
            let egress = path.starts_with(workspace().join("platform/src/egress"));
            let silenced = text.contains("clippy::disallowed_methods") && WAYS_OUT.iter().any(|way| text.contains(way));
            if !egress && silenced {
                found.push(path.to_owned());
            }
        });
    }
    assert!(seen > 30, "the sources were read: {seen}");
    assert!(found.is_empty(), "the lint is silenced in {found:?}");
}

fn workspace() -> PathBuf {
    Path::new("..").canonicalize().unwrap()
}

fn sources(folder: &Path, visit: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, visit);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            visit(&path, &fs::read_to_string(&path).unwrap());
        }
    }
}
