//! Sessions of browsers, and the sign-ins that lead to them. Neither belongs to a tenant: who signs in may have none.
//!
//! What is inside a session is the caller's. It is sealed for its id: a row that somebody else has written opens nothing.

use crate::error::StoreError;
use crate::scope::Platform;
use crate::tx::Row;
use aperium_platform::seal::{Purpose, Sealer};
use zeroize::Zeroizing;

const SESSION: Purpose = Purpose::new("browser session");
/// Sessions of one person at a time; the one that was used least lately makes room.
const MAX_SESSIONS: usize = 32;
/// Sessions that have ended are taken away so many at a time.
const SWEEP: &str = "DELETE FROM browser_sessions WHERE id IN \
    (SELECT id FROM browser_sessions WHERE ends_ms <= $1 ORDER BY ends_ms LIMIT 100)";

/// How long sessions live, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lives {
    /// Without a request.
    pub idle_ms: i64,
    /// At all.
    pub absolute_ms: i64,
}

/// A session to be remembered.
#[derive(Debug, Clone, Copy)]
pub struct NewSession<'a> {
    /// A hash of what the cookie holds.
    pub id: &'a str,
    /// Whose it is.
    pub person: &'a str,
    /// What it is for.
    pub content: &'a [u8],
}

/// A session that has not ended.
pub struct Session {
    /// When it ends whatever its browser does, in milliseconds since 1970.
    pub ends_ms: i64,
    /// What it is for.
    pub content: Zeroizing<Vec<u8>>,
}

impl Platform {
    /// Remembers a session. Those of the same person beyond the limit go, and some of those that have ended.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn begin_session(&self, new: &NewSession<'_>, lives: Lives) -> Result<(), StoreError> {
        let sealed = self.ring().seal(SESSION, new.id.as_bytes(), new.content)?;
        let now = crate::now_ms();
        let mut tx = self.write().await?;
        tx.query(SWEEP).bind(now).execute().await?;
        let sql = "SELECT id FROM browser_sessions WHERE person = $1 ORDER BY seen_ms DESC LIMIT 1000";
        let theirs = tx.query(sql).bind(new.person).all().await?;
        for row in theirs.iter().skip(MAX_SESSIONS - 1) {
            tx.query("DELETE FROM browser_sessions WHERE id = $1").bind(row.text("id")?).execute().await?;
        }
        let sql = "INSERT INTO browser_sessions (id, person, seen_ms, ends_ms, sealed) VALUES ($1, $2, $3, $4, $5)";
        let insert = tx.query(sql).bind(new.id).bind(new.person).bind(now).bind(now + lives.absolute_ms);
        insert.bind(sealed).execute().await?;
        tx.commit().await
    }

    /// The session with this id, if it has not ended. That it was used is written down once a minute at most, or at a
    /// tenth of a short idle life.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn session(&self, id: &str, lives: Lives) -> Result<Option<Session>, StoreError> {
        let now = crate::now_ms();
        let sql = "SELECT seen_ms, ends_ms, sealed FROM browser_sessions WHERE id = $1";
        let Some(row) = self.read().await?.query(sql).bind(id).optional().await? else { return Ok(None) };
        let (seen, ends) = (row.int("seen_ms")?, row.int("ends_ms")?);
        if ends <= now || seen + lives.idle_ms <= now {
            self.end_session(id).await?;
            return Ok(None);
        }
        // What cannot be opened was written by somebody else, or sealed with a key that is gone.
        let Ok(content) = opened(self.ring(), id, &row) else { return Ok(None) };
        if seen + (lives.idle_ms / 10).min(60_000) <= now {
            let mut tx = self.write().await?;
            let sql = "UPDATE browser_sessions SET seen_ms = $2 WHERE id = $1 AND seen_ms < $2";
            tx.query(sql).bind(id).bind(now).execute().await?;
            tx.commit().await?;
        }
        Ok(Some(Session { ends_ms: ends, content }))
    }

    /// Ends a session. Whether there was one.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn end_session(&self, id: &str) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let gone = tx.query("DELETE FROM browser_sessions WHERE id = $1").bind(id).execute().await?;
        tx.commit().await?;
        Ok(gone == 1)
    }

    /// Notes that a sign-in has come back. Says whether it is for the first time: only then it counts.
    ///
    /// # Errors
    /// [`StoreError`]; then it does not count.
    pub async fn use_sign_in(&self, id: &str, until_ms: i64) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        tx.query("DELETE FROM used_sign_ins WHERE until_ms < $1").bind(crate::now_ms()).execute().await?;
        let sql = "INSERT INTO used_sign_ins (id, until_ms) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
        let new = tx.query(sql).bind(id).bind(until_ms).execute().await?;
        tx.commit().await?;
        Ok(new == 1)
    }
}

fn opened(ring: &Sealer, id: &str, row: &Row) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    Ok(ring.open(SESSION, id.as_bytes(), &row.bytes("sealed")?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use crate::testing::{ring, sqlite};

    const LONG: Lives = Lives { idle_ms: 60_000, absolute_ms: 600_000 };

    fn new<'a>(id: &'a str, person: &'a str) -> NewSession<'a> {
        NewSession { id, person, content: b"alice" }
    }

    #[tokio::test]
    async fn a_session_lives_until_it_is_ended_idle_or_old() {
        let (_folder, target) = sqlite();
        let platform = Store::connect(&target, ring("a", &[("a", 1)])).await.unwrap().platform();
        let content =
            async |id: &str, lives| platform.session(id, lives).await.unwrap().map(|one| one.content.to_vec());
        platform.begin_session(&new("one", "alice"), LONG).await.unwrap();
        assert_eq!(content("one", LONG).await.unwrap(), b"alice");
        assert!(content("two", LONG).await.is_none());
        assert!(platform.end_session("one").await.unwrap() && !platform.end_session("one").await.unwrap());
        assert!(content("one", LONG).await.is_none());
        platform.begin_session(&new("old", "alice"), Lives { absolute_ms: 0, ..LONG }).await.unwrap();
        assert!(content("old", LONG).await.is_none());
        platform.begin_session(&new("idle", "alice"), LONG).await.unwrap();
        assert!(content("idle", Lives { idle_ms: 0, ..LONG }).await.is_none());
        assert!(content("idle", LONG).await.is_none(), "and it is gone for good");
    }

    #[tokio::test]
    async fn a_row_that_was_moved_or_made_elsewhere_is_no_session() {
        let (_folder, target) = sqlite();
        let platform = Store::connect(&target, ring("a", &[("a", 1)])).await.unwrap().platform();
        platform.begin_session(&new("one", "alice"), LONG).await.unwrap();
        let mut tx = platform.write().await.unwrap();
        tx.query("UPDATE browser_sessions SET id = 'two' WHERE id = 'one'").execute().await.unwrap();
        tx.commit().await.unwrap();
        assert!(platform.session("two", LONG).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn of_one_person_the_latest_sessions_stay() {
        let (_folder, target) = sqlite();
        let platform = Store::connect(&target, ring("a", &[("a", 1)])).await.unwrap().platform();
        platform.begin_session(&new("bob", "bob"), LONG).await.unwrap();
        for number in 0..=MAX_SESSIONS {
            platform.begin_session(&new(&format!("s{number}"), "alice"), LONG).await.unwrap();
        }
        let sql = "SELECT COUNT(*) AS number FROM browser_sessions WHERE person = 'alice'";
        let row = platform.read().await.unwrap().query(sql).one().await.unwrap();
        assert_eq!(row.int("number").unwrap(), i64::try_from(MAX_SESSIONS).unwrap());
        let last = platform.session(&format!("s{MAX_SESSIONS}"), LONG).await.unwrap();
        assert!(last.is_some() && platform.session("bob", LONG).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_sign_in_counts_once() {
        let (_folder, target) = sqlite();
        let platform = Store::connect(&target, ring("a", &[("a", 1)])).await.unwrap().platform();
        let until = crate::now_ms() + 60_000;
        assert!(platform.use_sign_in("one", until).await.unwrap());
        assert!(!platform.use_sign_in("one", until).await.unwrap());
        assert!(platform.use_sign_in("two", until).await.unwrap());
    }
}
