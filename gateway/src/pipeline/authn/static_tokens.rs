//! Static platform tokens: only their hashes are known here, in the settings or in one file per client.

use crate::snapshot::Identity;
use aperium_core::caller::{Caller, Principal};
use aperium_crds::settings::{StaticClient, is_hash};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use subtle::ConstantTimeEq as _;

/// What the tokens folder holds: client name → hashes, or why there are none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TokenFiles(BTreeMap<String, Result<Vec<String>, String>>);

/// The most bytes of a token file that are read; two hashes take 144.
const MAX_FILE: u64 = 4096;

impl TokenFiles {
    /// Reads the files of the clients that have no hash in the settings. A file that is missing or malformed means
    /// that the client cannot get in.
    pub(crate) fn read(folder: Option<&Path>, clients: &[StaticClient]) -> Self {
        let Some(folder) = folder else { return Self::default() };
        let without = clients.iter().filter(|client| client.sha256.is_empty());
        Self(without.map(|client| (client.name.clone(), hashes(&folder.join(&client.name)))).collect())
    }
}

fn hashes(path: &Path) -> Result<Vec<String>, String> {
    use std::io::Read as _;
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text));
    read.map_err(|error| format!("token file cannot be read: {error}"))?;
    let lines: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if lines.is_empty() || lines.len() > 2 || !lines.iter().all(|line| is_hash(line)) {
        return Err("token file must hold one or two lines of the form sha256:<64 hexadecimal digits>".to_owned());
    }
    Ok(lines)
}

/// All static clients, ready to compare.
#[derive(Debug, Default)]
pub(crate) struct Clients(Vec<([u8; 32], Arc<Identity>)>);

impl Clients {
    /// Compiles the clients of the settings; the settings were checked when they were read.
    pub(crate) fn new(clients: &[StaticClient], files: &TokenFiles) -> Self {
        let mut compiled = Vec::new();
        for client in clients {
            let identity = Identity::new(Caller {
                groups: client.groups.clone(),
                tags: client.tags.clone(),
                tenant: client.tenant.clone(),
                ..Caller::new(Principal::Client(client.name.clone()))
            });
            let from_file = match files.0.get(&client.name) {
                Some(Ok(hashes)) => hashes.as_slice(),
                Some(Err(problem)) => {
                    tracing::warn!(client = client.name, problem, "static client cannot get in");
                    &[]
                }
                None => &[],
            };
            for hash in client.sha256.iter().chain(from_file) {
                if let Some(digest) = digest(hash) {
                    compiled.push((digest, Arc::clone(&identity)));
                }
            }
        }
        Self(compiled)
    }

    /// The client whose token has this SHA-256. Takes the same time whichever it is, or if it is none.
    pub(crate) fn identify(&self, presented: &[u8; 32]) -> Option<Arc<Identity>> {
        let mut found = None;
        for (digest, identity) in &self.0 {
            if bool::from(digest.ct_eq(presented.as_slice())) {
                found = Some(identity);
            }
        }
        found.cloned()
    }
}

fn digest(hash: &str) -> Option<[u8; 32]> {
    hex::decode(hash.strip_prefix("sha256:")?).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest as _, Sha256};

    fn find(clients: &Clients, token: &str) -> Option<Arc<Identity>> {
        clients.identify(&Sha256::digest(token.as_bytes()).into())
    }

    fn hash(token: &str) -> String {
        format!("sha256:{}", hex::encode(Sha256::digest(token.as_bytes())))
    }

    fn client(name: &str, tokens: &[&str]) -> StaticClient {
        StaticClient {
            name: name.into(),
            sha256: tokens.iter().map(|token| hash(token)).collect(),
            tenant: None,
            groups: vec!["ops".into()],
            tags: Vec::new(),
        }
    }

    #[test]
    fn a_token_is_its_clients_and_nobody_elses() {
        let clients = Clients::new(&[client("ci", &["one", "two"]), client("ide", &["three"])], &TokenFiles::default());
        for token in ["one", "two"] {
            assert_eq!(
                find(&clients, token).unwrap().caller.principal,
                Principal::Client("ci".into()),
                "both during rotation"
            );
        }
        assert_eq!(find(&clients, "three").unwrap().caller.groups, ["ops"]);
        for wrong in ["", "four", &hash("one"), "one "] {
            assert!(find(&clients, wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_client_without_hashes_has_them_in_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let settings = [client("ci", &[]), client("gone", &[]), client("bad", &[])];
        std::fs::write(folder.path().join("ci"), format!("{}\n{}\n", hash("old"), hash("new"))).unwrap();
        std::fs::write(folder.path().join("bad"), "hunter2\n").unwrap();
        let clients = Clients::new(&settings, &TokenFiles::read(Some(folder.path()), &settings));
        assert!(find(&clients, "old").is_some() && find(&clients, "new").is_some());
        assert!(find(&clients, "hunter2").is_none());
        assert_eq!(clients.0.len(), 2);
    }
}
