//! `aperium keys`: a ring in a file and a database → the same with a new key, while everything goes on.

use crate::args::{KeysCommand, RotateArgs, RotateStep};
use crate::database::read_ring;
use anyhow::{Context, bail};
use aperium_platform::seal::KeyRing;
use secrecy::ExposeSecret as _;
use std::fs::{OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

const ALL: [RotateStep; 3] = [RotateStep::Add, RotateStep::Use, RotateStep::Rewrap];

pub(crate) fn run(command: &KeysCommand) -> anyhow::Result<()> {
    let KeysCommand::Rotate(args) = command;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let mut out = std::io::stdout().lock();
    let steps = match args.only {
        Some(step) => vec![step],
        None if args.retire => [&ALL[..], &[RotateStep::Retire]].concat(),
        None => ALL.to_vec(),
    };
    for (at, step) in steps.into_iter().enumerate() {
        if at > 0 {
            std::thread::sleep(Duration::from_secs(args.settle));
        }
        let said = runtime.block_on(take(args, step))?;
        writeln!(out, "{said}").context("standard output is closed")?;
    }
    Ok(())
}

async fn take(args: &RotateArgs, step: RotateStep) -> anyhow::Result<String> {
    let path = args.place.ring();
    match step {
        RotateStep::Add => {
            let mut ring = read_ring(&path)?;
            let kid = ring.add_key().context("no new key")?;
            write(&path, &ring)?;
            Ok(format!("added the key {kid}, which seals nothing yet"))
        }
        RotateStep::Use => {
            let mut ring = read_ring(&path)?;
            let number = |kid: &&str| kid.strip_prefix('k').and_then(|number| number.parse::<u32>().ok());
            let newest = ring.ids().filter(|kid| number(kid).is_some()).max_by_key(number).map(str::to_owned);
            let newest = newest.context("the ring has no key with a number, as in k2")?;
            ring.use_key(&newest).context("the ring")?;
            write(&path, &ring)?;
            Ok(format!("{newest} is the key that seals"))
        }
        RotateStep::Rewrap => {
            let rows = args.place.store().await?.every_tenant().rewrap().await.context("the data keys")?;
            Ok(format!("{rows} data keys are sealed anew"))
        }
        RotateStep::Retire => {
            let tenants = args.place.store().await?.every_tenant();
            let (current, needed) = (tenants.current_key()?, tenants.ring_keys().await.context("the data keys")?);
            if needed.iter().any(|kid| *kid != current) {
                bail!("the database still needs the keys {}: seal anew first", needed.join(", "));
            }
            let mut ring = read_ring(&path)?;
            ring.retire_others();
            write(&path, &ring)?;
            Ok(format!("{current} is the only key"))
        }
    }
}

/// Beside it first and then in its place, so that nobody ever reads half a ring. It stays as readable as it was.
fn write(path: &Path, ring: &KeyRing) -> anyhow::Result<()> {
    let named = || path.display().to_string();
    let mode = std::fs::metadata(path).with_context(named)?.mode() & 0o777;
    let next = PathBuf::from(format!("{}.next", path.display()));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next).with_context(named)?;
    file.write_all(ring.to_text().expose_secret().as_bytes()).with_context(named)?;
    file.set_permissions(Permissions::from_mode(mode)).with_context(named)?;
    file.sync_all().with_context(named)?;
    std::fs::rename(&next, path).with_context(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Command};
    use crate::up::{DATABASE, keys};
    use aperium_core::id::{ConnectorId, TenantId};
    use aperium_store::credentials::Fields;
    use aperium_store::{Store, Target};
    use clap::Parser as _;

    fn rotate(data: &Path, extra: &[&str]) -> anyhow::Result<()> {
        let mut line = vec!["aperium", "keys", "rotate", "--settle", "1", "--data", data.to_str().unwrap()];
        line.extend(extra);
        let Command::Keys(command) = Args::try_parse_from(line).unwrap().command else { panic!("not keys") };
        run(&command)
    }

    #[test]
    fn a_rotation_leaves_everything_readable_with_the_new_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (data, odoo) = (folder.path().join("data"), ConnectorId::parse("odoo").unwrap());
        let sealer = keys::sealer(&data).unwrap();
        assert!(rotate(&data, &["--only", "rewrap"]).unwrap_err().to_string().contains("there is no database"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let running = runtime.block_on(async {
            let store = Store::connect(&Target::Sqlite(data.join(DATABASE)), sealer).await.unwrap();
            let fields: Fields = [("token".to_owned(), "hunter2".into())].into();
            for tenant in ["acme", "globex"] {
                let tenant = store.tenant(&TenantId::parse(tenant).unwrap());
                tenant.put_credential(&odoo, &fields, None, "admin").await.unwrap();
            }
            store
        });
        let needed = || runtime.block_on(running.every_tenant().ring_keys()).unwrap();
        rotate(&data, &["--only", "add"]).unwrap();
        rotate(&data, &["--only", "use"]).unwrap();
        assert!(rotate(&data, &["--only", "retire"]).unwrap_err().to_string().contains("still needs the keys k1"));
        assert_eq!(needed(), ["k1"]);
        rotate(&data, &["--retire"]).unwrap();
        assert_eq!(needed(), ["k3"]);
        let ring = read_ring(&data.join(keys::FILE)).unwrap();
        assert_eq!(ring.ids().collect::<Vec<_>>(), ["k3"]);
        assert_eq!(std::fs::metadata(data.join(keys::FILE)).unwrap().mode() & 0o777, 0o600);
        // The store that was open all the time has read the ring again.
        std::thread::sleep(Duration::from_millis(600));
        let tenant = running.tenant(&TenantId::parse("acme").unwrap());
        let loaded = runtime.block_on(tenant.load_credential(&odoo)).unwrap().unwrap();
        assert_eq!(loaded.fields["token"].expose_secret(), "hunter2");
    }
}
