//! Per-user OAuth: the clients that the gateway is, the flows that wait for a browser, the tokens of people.
//!
//! What is inside the sealed values is the caller's. A token is found for the person, the connector and the upstream that
//! it was given for, and for nobody and nothing else.

use crate::error::StoreError;
use crate::scope::{EveryTenant, TenantStore};
use crate::tx::{Row, TenantTx};
use crate::vault::{Place, Vault};
use aperium_platform::seal::Purpose;
use zeroize::Zeroizing;

const CLIENT: Purpose = Purpose::new("oauth client");
const FLOW: Purpose = Purpose::new("oauth flow");
const TOKEN: Purpose = Purpose::new("oauth token");
/// Flows of one person that wait at a time; the oldest make room.
const MAX_FLOWS: i64 = 16;

/// A flow that waits for its browser.
pub struct Flow {
    /// The connector's id.
    pub connector: String,
    /// Who began it.
    pub person: String,
    /// Which browser may end it; empty: any that brings the state.
    pub browser: String,
    /// What has to be remembered.
    pub content: Zeroizing<Vec<u8>>,
}

/// Whose token it is, and for what.
#[derive(Debug, Clone, Copy)]
pub struct TokenKey<'a> {
    /// The connector's id.
    pub connector: &'a str,
    /// The person.
    pub person: &'a str,
    /// The upstream's address, as it was when the person consented.
    pub upstream: &'a str,
}

/// A token as it is stored.
pub struct StoredToken {
    /// Who gave it.
    pub issuer: String,
    /// Which one it is: no other token ever has the same.
    pub generation: i64,
    /// When it should be renewed, in milliseconds since 1970; nothing: never.
    pub renew_ms: Option<i64>,
    /// Whether it can be renewed.
    pub refreshable: bool,
    /// What it is.
    pub content: Zeroizing<Vec<u8>>,
}

/// A token to be stored.
#[derive(Debug, Clone, Copy)]
pub struct NewToken<'a> {
    /// When it should be renewed, in milliseconds since 1970; nothing: never.
    pub renew_ms: Option<i64>,
    /// Whether it can be renewed.
    pub refreshable: bool,
    /// What it is.
    pub content: &'a [u8],
}

/// What became of a wish to renew a token.
pub enum Claim {
    /// Whoever asked renews it, and ends the claim.
    Mine(StoredToken),
    /// It was renewed in the meantime.
    Newer(StoredToken),
    /// Somebody else is renewing it, until this time at most.
    Theirs(i64),
    /// There is none (any more).
    Gone,
}

impl EveryTenant {
    /// Who consented last of all whose tokens for this connector and upstream are there: their tenant and name.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn last_consent(&self, connector: &str, upstream: &str) -> Result<Option<(String, String)>, StoreError> {
        let sql = "SELECT tenant, person /* every tenant */ FROM oauth_tokens WHERE connector = $1 AND upstream = $2 \
            ORDER BY generation DESC LIMIT 1";
        let row = self.read().await?.query(sql).bind(connector).bind(upstream).optional().await?;
        row.map(|row| Ok((row.text("tenant")?, row.text("person")?))).transpose()
    }
}

impl TenantStore {
    /// What the gateway is at an issuer.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn oauth_client(&self, connector: &str, issuer: &str) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let mut tx = self.read().await?;
        let Some(vault) = tx.vault().await? else { return Ok(None) };
        let sql = "SELECT version, sealed FROM oauth_clients WHERE tenant = $1 AND connector = $2 AND issuer = $3";
        let Some(row) = tx.query(sql).bind(connector).bind(issuer).optional().await? else { return Ok(None) };
        let place = Place { purpose: CLIENT, connector, owner: "", field: issuer, version: row.int("version")? };
        Ok(Some(vault.open(&place, &row.bytes("sealed")?)?))
    }

    /// Remembers it.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn save_oauth_client(&self, connector: &str, issuer: &str, content: &[u8]) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let vault = tx.vault_or_new().await?;
        let version = crate::now_ms();
        let place = Place { purpose: CLIENT, connector, owner: "", field: issuer, version };
        let sealed = vault.seal(&place, content)?;
        let sql = "INSERT INTO oauth_clients (tenant, connector, issuer, version, sealed) VALUES ($1, $2, $3, $4, $5) \
            ON CONFLICT (tenant, connector, issuer) DO UPDATE SET version = excluded.version, sealed = excluded.sealed";
        tx.query(sql).bind(connector).bind(issuer).bind(version).bind(sealed).execute().await?;
        tx.commit().await
    }

    /// Remembers a flow until it is taken or has ended; those that have ended go.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn begin_oauth_flow(&self, id: &str, flow: &Flow, ends_ms: i64) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let vault = tx.vault_or_new().await?;
        let old = "DELETE FROM oauth_flows WHERE tenant = $1 AND expires_ms <= $2";
        tx.query(old).bind(crate::now_ms()).execute().await?;
        let waiting = "SELECT id FROM oauth_flows WHERE tenant = $1 AND person = $2 ORDER BY expires_ms DESC LIMIT 100";
        let waiting = tx.query(waiting).bind(flow.person.as_str()).all().await?;
        for row in waiting.iter().skip(usize::try_from(MAX_FLOWS - 1).unwrap_or_default()) {
            let sql = "DELETE FROM oauth_flows WHERE tenant = $1 AND id = $2";
            tx.query(sql).bind(row.text("id")?).execute().await?;
        }
        let sealed = vault.seal(&flow_place(&flow.connector, &flow.person, id), &flow.content)?;
        let sql = "INSERT INTO oauth_flows (tenant, id, connector, person, browser, expires_ms, sealed) \
            VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let insert = tx.query(sql).bind(id).bind(flow.connector.as_str()).bind(flow.person.as_str());
        insert.bind(flow.browser.as_str()).bind(ends_ms).bind(sealed).execute().await?;
        tx.commit().await
    }

    /// Takes a flow of this connector away: nobody gets it twice, and nobody after its end.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn take_oauth_flow(&self, id: &str, connector: &str) -> Result<Option<Flow>, StoreError> {
        let mut tx = self.write().await?;
        let Some(vault) = tx.vault().await? else { return Ok(None) };
        let sql = "DELETE FROM oauth_flows WHERE tenant = $1 AND id = $2 AND connector = $3 \
            RETURNING person, browser, expires_ms, sealed";
        let row = tx.query(sql).bind(id).bind(connector).optional().await?;
        tx.commit().await?;
        let Some(row) = row.filter(|row| row.int("expires_ms").is_ok_and(|ends| ends > crate::now_ms())) else {
            return Ok(None);
        };
        let person = row.text("person")?;
        let content = vault.open(&flow_place(connector, &person, id), &row.bytes("sealed")?)?;
        Ok(Some(Flow { connector: connector.to_owned(), person, browser: row.text("browser")?, content }))
    }

    /// Stores what a consent brought; tokens of the same person for the same connector, of whatever issuer, go.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn save_oauth_token(
        &self,
        key: &TokenKey<'_>,
        issuer: &str,
        token: &NewToken<'_>,
    ) -> Result<i64, StoreError> {
        let mut tx = self.write().await?;
        let vault = tx.vault_or_new().await?;
        let sql = tx.dialect(
            "SELECT generation FROM oauth_tokens WHERE tenant = $1 AND connector = $2 AND person = $3 FOR UPDATE",
            "SELECT generation FROM oauth_tokens WHERE tenant = $1 AND connector = $2 AND person = $3",
        );
        let rows = tx.query(sql).bind(key.connector).bind(key.person).all().await?;
        let before = rows.iter().map(|row| row.int("generation")).collect::<Result<Vec<_>, _>>()?;
        // The time is above whatever a row that is gone may have had.
        let generation = crate::now_ms().max(before.into_iter().max().unwrap_or_default() + 1);
        let sql = "DELETE FROM oauth_tokens WHERE tenant = $1 AND connector = $2 AND person = $3";
        tx.query(sql).bind(key.connector).bind(key.person).execute().await?;
        let sealed = vault.seal(&token_place(key, issuer, generation), token.content)?;
        let sql = "INSERT INTO oauth_tokens (tenant, connector, person, issuer, upstream, generation, claimed_ms, \
            renew_ms, refreshable, sealed) VALUES ($1, $2, $3, $4, $5, $6, 0, $7, $8, $9)";
        let insert = tx.query(sql).bind(key.connector).bind(key.person).bind(issuer).bind(key.upstream);
        let insert = insert.bind(generation).bind(token.renew_ms).bind(i64::from(token.refreshable));
        insert.bind(sealed).execute().await?;
        tx.commit().await?;
        Ok(generation)
    }

    /// The token of a person.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn oauth_token(&self, key: &TokenKey<'_>) -> Result<Option<StoredToken>, StoreError> {
        let mut tx = self.read().await?;
        let Some(vault) = tx.vault().await? else { return Ok(None) };
        let found = find(&mut tx, key, false).await?;
        found.map(|row| opened(&vault, key, &row)).transpose()
    }

    /// Asks to be the one who renews a token, for `for_ms` at most. Whoever asks has seen the generation `seen`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn claim_oauth_token(&self, key: &TokenKey<'_>, seen: i64, for_ms: i64) -> Result<Claim, StoreError> {
        let mut tx = self.write().await?;
        let Some(vault) = tx.vault().await? else { return Ok(Claim::Gone) };
        let Some(row) = find(&mut tx, key, true).await? else { return Ok(Claim::Gone) };
        let (generation, claimed) = (row.int("generation")?, row.int("claimed_ms")?);
        if generation != seen {
            return opened(&vault, key, &row).map(Claim::Newer);
        }
        let now = crate::now_ms();
        if claimed > now {
            return Ok(Claim::Theirs(claimed));
        }
        let token = opened(&vault, key, &row)?;
        set_claim(&mut tx, key, seen, now + for_ms).await?;
        tx.commit().await?;
        Ok(Claim::Mine(token))
    }

    /// Stores a renewed token in the place of the one that was claimed. `false`: that one is gone, by another consent or
    /// a disconnect, and the new one counts for nothing.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn renew_oauth_token(
        &self,
        key: &TokenKey<'_>,
        issuer: &str,
        seen: i64,
        token: &NewToken<'_>,
    ) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let Some(vault) = tx.vault().await? else { return Ok(false) };
        let generation = crate::now_ms().max(seen + 1);
        let sealed = vault.seal(&token_place(key, issuer, generation), token.content)?;
        let sql = "UPDATE oauth_tokens SET generation = $7, claimed_ms = 0, renew_ms = $8, refreshable = $9, sealed = $10 \
            WHERE tenant = $1 AND connector = $2 AND person = $3 AND upstream = $4 AND issuer = $5 AND generation = $6";
        let update = tx.query(sql).bind(key.connector).bind(key.person).bind(key.upstream).bind(issuer).bind(seen);
        let update = update.bind(generation).bind(token.renew_ms).bind(i64::from(token.refreshable)).bind(sealed);
        let changed = update.execute().await?;
        tx.commit().await?;
        Ok(changed == 1)
    }

    /// Changes what is remembered with a token, as long as it is still this one. `false`: it is not.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn amend_oauth_token(
        &self,
        key: &TokenKey<'_>,
        issuer: &str,
        seen: i64,
        content: &[u8],
    ) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let Some(vault) = tx.vault().await? else { return Ok(false) };
        let sealed = vault.seal(&token_place(key, issuer, seen), content)?;
        let sql = "UPDATE oauth_tokens SET sealed = $7 \
            WHERE tenant = $1 AND connector = $2 AND person = $3 AND upstream = $4 AND issuer = $5 AND generation = $6";
        let update = tx.query(sql).bind(key.connector).bind(key.person).bind(key.upstream).bind(issuer).bind(seen);
        let changed = update.bind(sealed).execute().await?;
        tx.commit().await?;
        Ok(changed == 1)
    }

    /// Gives a claim back, so that the next one may try after `pause_ms`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn release_oauth_token(&self, key: &TokenKey<'_>, seen: i64, pause_ms: i64) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        set_claim(&mut tx, key, seen, crate::now_ms() + pause_ms).await?;
        tx.commit().await
    }

    /// Takes a token away, whatever upstream it was for; of one generation only where that is given.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn delete_oauth_token(
        &self,
        key: &TokenKey<'_>,
        only: Option<i64>,
    ) -> Result<Vec<StoredToken>, StoreError> {
        let mut tx = self.write().await?;
        let Some(vault) = tx.vault().await? else { return Ok(Vec::new()) };
        let sql = "DELETE FROM oauth_tokens WHERE tenant = $1 AND connector = $2 AND person = $3 \
            AND generation = COALESCE($4, generation) \
            RETURNING issuer, upstream, generation, claimed_ms, renew_ms, refreshable, sealed";
        let rows = tx.query(sql).bind(key.connector).bind(key.person).bind(only).all().await?;
        tx.commit().await?;
        let open = |row: &Row| {
            let upstream = row.text("upstream")?;
            opened(&vault, &TokenKey { upstream: &upstream, ..*key }, row)
        };
        rows.iter().map(open).collect()
    }
}

async fn find(tx: &mut TenantTx, key: &TokenKey<'_>, lock: bool) -> Result<Option<Row>, StoreError> {
    let plain = "SELECT issuer, generation, claimed_ms, renew_ms, refreshable, sealed FROM oauth_tokens \
        WHERE tenant = $1 AND connector = $2 AND person = $3 AND upstream = $4";
    let locked = "SELECT issuer, generation, claimed_ms, renew_ms, refreshable, sealed FROM oauth_tokens \
        WHERE tenant = $1 AND connector = $2 AND person = $3 AND upstream = $4 FOR UPDATE";
    let sql = if lock { tx.dialect(locked, plain) } else { plain };
    tx.query(sql).bind(key.connector).bind(key.person).bind(key.upstream).optional().await
}

async fn set_claim(tx: &mut TenantTx, key: &TokenKey<'_>, seen: i64, until: i64) -> Result<u64, StoreError> {
    let sql = "UPDATE oauth_tokens SET claimed_ms = $6 \
        WHERE tenant = $1 AND connector = $2 AND person = $3 AND upstream = $4 AND generation = $5";
    tx.query(sql).bind(key.connector).bind(key.person).bind(key.upstream).bind(seen).bind(until).execute().await
}

fn opened(vault: &Vault, key: &TokenKey<'_>, row: &Row) -> Result<StoredToken, StoreError> {
    let (issuer, generation) = (row.text("issuer")?, row.int("generation")?);
    let content = vault.open(&token_place(key, &issuer, generation), &row.bytes("sealed")?)?;
    let (renew_ms, refreshable) = (row.maybe_int("renew_ms")?, row.int("refreshable")? != 0);
    Ok(StoredToken { issuer, generation, renew_ms, refreshable, content })
}

fn token_place<'a>(key: &TokenKey<'a>, issuer: &'a str, generation: i64) -> Place<'a> {
    Place { purpose: TOKEN, connector: key.connector, owner: key.person, field: issuer, version: generation }
}

fn flow_place<'a>(connector: &'a str, person: &'a str, id: &'a str) -> Place<'a> {
    Place { purpose: FLOW, connector, owner: person, field: id, version: 1 }
}

#[cfg(test)]
mod tests;
