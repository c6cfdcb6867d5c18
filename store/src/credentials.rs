//! The credentials of a tenant for a connector: written, sealed, read by the broker alone, revoked.
//!
//! ```text
//! put(fields) ──► version n + 1, every field sealed for tenant | connector | field | version ──► load: for one call
//!                                                                                          └──► about: all but values
//! revoke ──► no fields; the row stays, so that no version is ever used twice
//! ```

use crate::error::StoreError;
use crate::now_ms;
use crate::scope::{EveryTenant, TenantStore};
use crate::tx::{Row, TenantTx};
use crate::vault::Place;
use aperium_core::id::{ConnectorId, TenantId};
use aperium_platform::seal::{Purpose, SealError};
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::BTreeMap;
use std::fmt;

const PURPOSE: Purpose = Purpose::new("credential");
/// The last use is written down this often at most.
const USED_EVERY_MS: i64 = 60_000;
/// Fields of one credential.
pub const MAX_FIELDS: usize = 32;
/// Characters of a field's name, and of whoever saved it.
pub const MAX_NAME: usize = 256;
/// Bytes of one value: a private key with its chain fits.
pub const MAX_VALUE: usize = 64 * 1024;

/// Values by field. Their memory is overwritten when it is given back.
pub type Fields = BTreeMap<String, SecretString>;

/// What may be told of a credential: everything but its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The connector's id in lower case.
    pub connector: String,
    /// Grows by one with each change, and was never another's: not a deleted tenant's of the same name either.
    pub version: i64,
    /// Names of the fields that have a value.
    pub fields: Vec<String>,
    /// When it was saved.
    pub saved_ms: i64,
    /// Who saved it.
    pub saved_by: String,
    /// From when on it is refused.
    pub expires_ms: Option<i64>,
    /// When it was last given to a service, to within a minute.
    pub used_ms: Option<i64>,
    /// When it was revoked.
    pub revoked_ms: Option<i64>,
    /// What the last probe of this version said.
    pub checked: Option<Checked>,
}

/// The outcome of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// When it was.
    pub at_ms: i64,
    /// Why the credential does not work; nothing where it does.
    pub reason: Option<String>,
}

/// What a credential is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is given to the connector's service.
    Active,
    /// Its time is over.
    Expired,
    /// An admin took it back.
    Revoked,
}

impl About {
    /// Its state at this time.
    #[must_use]
    pub fn state(&self, now_ms: i64) -> State {
        match (self.revoked_ms, self.expires_ms) {
            (Some(_), _) => State::Revoked,
            (None, Some(at)) if at <= now_ms => State::Expired,
            (None, _) => State::Active,
        }
    }
}

/// How the credentials of all tenants for one connector are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// The last probe succeeded.
    pub works: i64,
    /// The last probe failed.
    pub fails: i64,
    /// Nothing has probed this version yet.
    pub unchecked: i64,
    /// Their time is over.
    pub expired: i64,
    /// An admin took them back.
    pub revoked: i64,
}

/// A credential in clear, for the broker.
pub struct Credential {
    /// Its version.
    pub version: i64,
    /// From when on it must not be used.
    pub expires_ms: Option<i64>,
    /// Its values.
    pub fields: Fields,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential(version {}, {} fields)", self.version, self.fields.len())
    }
}

/// Why a credential was not saved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// Fields, names or values beyond the limits, or none at all.
    #[error("a credential has 1 to 32 fields with names of 1 to 256 and values of 1 to 65,536 bytes")]
    Limits,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<SealError> for PutError {
    fn from(error: SealError) -> Self {
        Self::Store(error.into())
    }
}

const HEAD: &str = "SELECT connector, version, saved_ms, saved_by, expires_ms, used_ms, revoked_ms, \
    checked_ms, checked_version, check_reason FROM credential_sets WHERE tenant = $1 AND connector = $2";
const ALL: &str = "SELECT connector, version, saved_ms, saved_by, expires_ms, used_ms, revoked_ms, \
    checked_ms, checked_version, check_reason FROM credential_sets WHERE tenant = $1 ORDER BY connector";
const NAMES: &str = "SELECT connector, field FROM credential_fields WHERE tenant = $1 ORDER BY connector, field";
const VALUES: &str =
    "SELECT field, version, sealed FROM credential_fields WHERE tenant = $1 AND connector = $2 ORDER BY field";
// The row is locked by the update itself, so that of two saves at once each gets a version of its own. A first one begins
// above all that deleted tenants had: a service may still hold the credential of a tenant of this name.
const NEXT: &str = "INSERT INTO credential_sets (tenant, connector, version, saved_ms, saved_by, expires_ms) \
    VALUES ($1, $2, (SELECT highest + 1 FROM retired_versions WHERE id = 1), $3, $4, $5) ON CONFLICT (tenant, connector) DO UPDATE SET \
    version = credential_sets.version + 1, saved_ms = excluded.saved_ms, saved_by = excluded.saved_by, \
    expires_ms = excluded.expires_ms, used_ms = NULL, revoked_ms = NULL RETURNING version";
const HOLDERS: &str = "SELECT tenant, version FROM credential_sets /* every tenant */ \
    WHERE connector = $1 AND revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > $2) ORDER BY tenant LIMIT 10000";
const CLEAR: &str = "DELETE FROM credential_fields WHERE tenant = $1 AND connector = $2";
const FIELD: &str =
    "INSERT INTO credential_fields (tenant, connector, field, version, sealed) VALUES ($1, $2, $3, $4, $5)";
const USED: &str = "UPDATE credential_sets SET used_ms = $3 WHERE tenant = $1 AND connector = $2 AND version = $4";
// A probe that took longer than the next save says nothing of the new version.
const CHECKED: &str = "UPDATE credential_sets SET checked_ms = $3, checked_version = $4, check_reason = $5 \
    WHERE tenant = $1 AND connector = $2 AND version = $4";
const STANDINGS: &str = "SELECT tenant, connector, version, saved_ms, saved_by, expires_ms, used_ms, revoked_ms, \
    checked_ms, checked_version, check_reason FROM credential_sets /* every tenant */ \
    WHERE connector = $1 ORDER BY tenant LIMIT 10000";
const COUNTS: &str = "SELECT connector, COUNT(*) AS held, COUNT(revoked_ms) AS revoked, \
    COUNT(CASE WHEN revoked_ms IS NULL AND expires_ms <= $1 THEN 1 END) AS expired, \
    COUNT(CASE WHEN revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > $1) \
        AND checked_version = version AND check_reason IS NULL THEN 1 END) AS works, \
    COUNT(CASE WHEN revoked_ms IS NULL AND (expires_ms IS NULL OR expires_ms > $1) \
        AND checked_version = version AND check_reason IS NOT NULL THEN 1 END) AS fails \
    FROM credential_sets /* every tenant */ GROUP BY connector ORDER BY connector LIMIT 10000";
const REVOKE: &str = "UPDATE credential_sets SET version = version + 1, revoked_ms = $3 \
    WHERE tenant = $1 AND connector = $2 AND revoked_ms IS NULL";

impl EveryTenant {
    /// The tenants that have a credential for a connector that may be used, with its version; at most 10,000 of them.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn credential_holders(&self, connector: &ConnectorId) -> Result<Vec<(TenantId, i64)>, StoreError> {
        let mut tx = self.read().await?;
        let rows = tx.query(HOLDERS).bind(connector.key()).bind(now_ms()).all().await?;
        let holder = |row: &Row| {
            let tenant = TenantId::parse(&row.text("tenant")?).map_err(|_| StoreError::Row)?;
            Ok::<_, StoreError>((tenant, row.int("version")?))
        };
        rows.iter().map(holder).collect()
    }

    /// How many credentials are in which state, by the connector's id in lower case.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn credential_counts(&self) -> Result<BTreeMap<String, Counts>, StoreError> {
        let mut tx = self.read().await?;
        let rows = tx.query(COUNTS).bind(now_ms()).all().await?;
        let counts = |row: &Row| {
            let (works, fails) = (row.int("works")?, row.int("fails")?);
            let (expired, revoked) = (row.int("expired")?, row.int("revoked")?);
            let unchecked = row.int("held")? - works - fails - expired - revoked;
            Ok::<_, StoreError>((row.text("connector")?, Counts { works, fails, unchecked, expired, revoked }))
        };
        rows.iter().map(counts).collect()
    }

    /// What is known of every tenant's credential for a connector, without names of fields; at most 10,000 of them.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn credential_standings(&self, connector: &ConnectorId) -> Result<Vec<(TenantId, About)>, StoreError> {
        let mut tx = self.read().await?;
        let rows = tx.query(STANDINGS).bind(connector.key()).all().await?;
        let standing = |row: &Row| {
            let tenant = TenantId::parse(&row.text("tenant")?).map_err(|_| StoreError::Row)?;
            Ok::<_, StoreError>((tenant, about(row)?))
        };
        rows.iter().map(standing).collect()
    }
}

impl TenantStore {
    /// Saves a new version, which replaces all fields of the one before. The tenant becomes known with it.
    ///
    /// # Errors
    /// [`PutError`]
    pub async fn put_credential(
        &self,
        connector: &ConnectorId,
        fields: &Fields,
        expires_ms: Option<i64>,
        saved_by: &str,
    ) -> Result<i64, PutError> {
        let key = connector.key();
        check(fields, saved_by)?;
        let mut tx = self.write().await?;
        let vault = tx.vault_or_new().await?;
        let next = tx.query(NEXT).bind(key.as_str()).bind(now_ms()).bind(saved_by).bind(expires_ms).one().await?;
        let version = next.int("version")?;
        tx.query(CLEAR).bind(key.as_str()).execute().await?;
        for (field, value) in fields {
            let sealed = vault.seal(&place(&key, field, version), value.expose_secret().as_bytes())?;
            tx.query(FIELD).bind(key.as_str()).bind(field.as_str()).bind(version).bind(sealed).execute().await?;
        }
        tx.commit().await?;
        Ok(version)
    }

    /// The credential in clear, for one call. Nothing if there is none, if it was revoked or if its time is over.
    ///
    /// # Errors
    /// [`StoreError`]; of a credential with one field that does not open nothing is given.
    pub async fn load_credential(&self, connector: &ConnectorId) -> Result<Option<Credential>, StoreError> {
        let (key, now) = (connector.key(), now_ms());
        let mut tx = self.read().await?;
        let Some(head) = tx.query(HEAD).bind(key.as_str()).optional().await? else { return Ok(None) };
        let about = about(&head)?;
        if about.state(now) != State::Active {
            return Ok(None);
        }
        let fields = open_fields(&mut tx, &key, about.version).await?;
        drop(tx);
        if about.used_ms.is_none_or(|used| now - used >= USED_EVERY_MS) {
            self.mark_used(&key, about.version, now).await;
        }
        Ok(Some(Credential { version: about.version, expires_ms: about.expires_ms, fields }))
    }

    /// What is known of one credential.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn credential(&self, connector: &ConnectorId) -> Result<Option<About>, StoreError> {
        let key = connector.key();
        Ok(self.credentials().await?.into_iter().find(|about| about.connector == key))
    }

    /// What is known of all credentials of this tenant, by connector.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn credentials(&self) -> Result<Vec<About>, StoreError> {
        let mut tx = self.read().await?;
        let rows = tx.query(ALL).all().await?;
        let mut found = rows.iter().map(about).collect::<Result<Vec<_>, _>>()?;
        for row in tx.query(NAMES).all().await? {
            let connector = row.text("connector")?;
            if let Ok(at) = found.binary_search_by(|about| about.connector.cmp(&connector)) {
                found[at].fields.push(row.text("field")?);
            }
        }
        Ok(found)
    }

    /// Takes a credential back: its values are gone. Says whether there was one.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn revoke_credential(&self, connector: &ConnectorId) -> Result<bool, StoreError> {
        let key = connector.key();
        let mut tx = self.write().await?;
        let revoked = tx.query(REVOKE).bind(key.as_str()).bind(now_ms()).execute().await?;
        tx.query(CLEAR).bind(key.as_str()).execute().await?;
        tx.commit().await?;
        Ok(revoked > 0)
    }

    /// Writes down what a probe of this version has said: nothing wrong, or the reason.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn checked_credential(
        &self,
        connector: &ConnectorId,
        version: i64,
        reason: Option<&str>,
    ) -> Result<(), StoreError> {
        let reason = reason.map(|reason| reason.chars().take(MAX_NAME).collect::<String>());
        let mut tx = self.write().await?;
        tx.query(CHECKED).bind(connector.key()).bind(now_ms()).bind(version).bind(reason).execute().await?;
        tx.commit().await
    }

    /// The call does not wait for it and does not fail with it.
    async fn mark_used(&self, connector: &str, version: i64, now: i64) {
        let marked = async {
            let mut tx = self.write().await?;
            tx.query(USED).bind(connector).bind(now).bind(version).execute().await?;
            tx.commit().await
        };
        if let Err(error) = marked.await {
            tracing::warn!(reason = error.reason(), connector, "the last use of a credential was not written down");
        }
    }
}

async fn open_fields(tx: &mut TenantTx, connector: &str, version: i64) -> Result<Fields, StoreError> {
    let vault = tx.vault().await?.ok_or(StoreError::Orphan)?;
    let mut fields = Fields::new();
    for row in tx.query(VALUES).bind(connector).all().await? {
        let (field, sealed) = (row.text("field")?, row.bytes("sealed")?);
        if row.int("version")? != version {
            return Err(SealError::Invalid.into());
        }
        let value = vault.open(&place(connector, &field, version), &sealed)?;
        let text = std::str::from_utf8(&value).map_err(|_| StoreError::Row)?;
        fields.insert(field, SecretString::from(text));
    }
    Ok(fields)
}

const fn place<'a>(connector: &'a str, field: &'a str, version: i64) -> Place<'a> {
    Place { purpose: PURPOSE, connector, owner: "", field, version }
}

fn about(row: &Row) -> Result<About, StoreError> {
    let version = row.int("version")?;
    let of_this = row.maybe_int("checked_version")? == Some(version);
    let reason = row.maybe_text("check_reason")?;
    Ok(About {
        connector: row.text("connector")?,
        version,
        fields: Vec::new(),
        saved_ms: row.int("saved_ms")?,
        saved_by: row.text("saved_by")?,
        expires_ms: row.maybe_int("expires_ms")?,
        used_ms: row.maybe_int("used_ms")?,
        revoked_ms: row.maybe_int("revoked_ms")?,
        checked: row.maybe_int("checked_ms")?.filter(|_| of_this).map(|at_ms| Checked { at_ms, reason }),
    })
}

fn check(fields: &Fields, saved_by: &str) -> Result<(), PutError> {
    let good = (1..=MAX_FIELDS).contains(&fields.len())
        && saved_by.len() <= MAX_NAME
        && fields.iter().all(|(name, value)| {
            (1..=MAX_NAME).contains(&name.len()) && (1..=MAX_VALUE).contains(&value.expose_secret().len())
        });
    if good { Ok(()) } else { Err(PutError::Limits) }
}

#[cfg(test)]
mod tests;
