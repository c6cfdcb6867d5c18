//! The ring in a file and the database that goes with it: that of the data folder of `aperium up`, or another one.

use crate::up::{DATABASE, keys};
use anyhow::{Context, bail};
use aperium_platform::seal::{KeyRing, Sealer};
use aperium_store::{Store, Target};
use secrecy::SecretString;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Where both are.
#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// The data folder of `aperium up`: its ring and its database.
    #[arg(long, env = "APERIUM_DATA", default_value = ".aperium")]
    pub(crate) data: PathBuf,
    /// Another ring: the content of the Secret `aperium-encryption`, in a file.
    #[arg(long, value_name = "FILE")]
    pub(crate) ring: Option<PathBuf>,
    /// A file with the DATABASE_URL of another database than that of the data folder.
    #[arg(long, env = "APERIUM_DATABASE_URL_FILE", value_name = "FILE")]
    pub(crate) database_url_file: Option<PathBuf>,
}

impl Place {
    /// The file of the ring.
    pub(crate) fn ring(&self) -> PathBuf {
        self.ring.clone().unwrap_or_else(|| self.data.join(keys::FILE))
    }

    /// The database, ready.
    pub(crate) async fn store(&self) -> anyhow::Result<Store> {
        let target = match &self.database_url_file {
            Some(path) => {
                let url: SecretString =
                    std::fs::read_to_string(path).with_context(|| path.display().to_string())?.into();
                Target::postgres(&url)?
            }
            None => {
                let file = self.data.join(DATABASE);
                if !file.is_file() {
                    bail!("{}: there is no database; name one with --data or --database-url-file", file.display());
                }
                Target::Sqlite(file)
            }
        };
        Store::connect(&target, Sealer::fixed(read_ring(&self.ring())?)).await.context("the database")
    }
}

/// The ring of a file.
pub(crate) fn read_ring(path: &Path) -> anyhow::Result<KeyRing> {
    let text = Zeroizing::new(std::fs::read(path).with_context(|| path.display().to_string())?);
    KeyRing::parse(&text).with_context(|| path.display().to_string())
}
