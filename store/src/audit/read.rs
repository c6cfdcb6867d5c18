//! Records for people who read them: newest first, page by page, of one tenant or of all.

use super::record::{Decision, Line, Record};
use crate::error::StoreError;
use crate::scope::{EveryTenant, TenantStore};
use crate::tx::Row;

/// Rows that are looked at for one page at most: a filter that hardly anything passes must not read the whole log.
const LOOKED_AT: usize = 5000;
/// Rows of one query.
const QUERY: i64 = 500;

/// What is asked for; everything, where nothing is said.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Not before, in milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// Before, in milliseconds since 1970.
    pub to_ms: Option<i64>,
    /// The connector's id.
    pub connector: Option<String>,
    /// On whose behalf, as it is written in a record: with or without the e-mail, or the e-mail alone.
    pub principal: Option<String>,
    /// What was decided.
    pub decision: Option<Decision>,
}

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The time of the last row.
    pub time_ms: i64,
    /// Its tenant.
    pub tenant: String,
    /// Its replica.
    pub replica: String,
    /// Its place in its chain.
    pub seq: i64,
}

/// Some records.
#[derive(Debug, Clone)]
pub struct Page {
    /// Newest first.
    pub lines: Vec<Line>,
    /// Where to go on; `None` after the last. A page may be empty and yet not be the last.
    pub next: Option<Place>,
}

impl Filter {
    fn passes(&self, record: &Record<'_>) -> bool {
        let principal = |wanted: &String| record.principal.as_deref().is_some_and(|told| is(told, wanted));
        self.connector.as_ref().is_none_or(|wanted| record.connector.as_deref() == Some(&**wanted))
            && self.principal.as_ref().is_none_or(principal)
            && self.decision.is_none_or(|wanted| record.decision == wanted)
    }

    /// Before everything that can be asked for.
    fn start(&self) -> Place {
        let time_ms = self.to_ms.unwrap_or(i64::MAX);
        Place { time_ms, tenant: String::new(), replica: String::new(), seq: i64::MIN }
    }
}

/// `oidc:… <ann@example.com>` is that whole text, the part before the e-mail, and the e-mail.
fn is(told: &str, wanted: &str) -> bool {
    let parts = told.strip_suffix('>').and_then(|told| told.rsplit_once(" <"));
    told == wanted || parts.is_some_and(|(name, email)| name == wanted || email == wanted)
}

/// A page while it grows.
struct Growing<'f> {
    filter: &'f Filter,
    limit: usize,
    looked_at: usize,
    page: Page,
}

impl<'f> Growing<'f> {
    fn new(filter: &'f Filter, after: Option<Place>, limit: usize) -> Self {
        let page = Page { lines: Vec::new(), next: Some(after.unwrap_or_else(|| filter.start())) };
        Self { filter, limit, looked_at: 0, page }
    }

    /// From where to read on; `None` when the page is whole.
    fn place(&self) -> Option<Place> {
        let room = self.page.lines.len() < self.limit && self.looked_at < LOOKED_AT;
        self.page.next.clone().filter(|_| room)
    }

    fn take(&mut self, rows: &[Row]) -> Result<(), StoreError> {
        for row in rows {
            if self.page.lines.len() == self.limit {
                return Ok(());
            }
            self.looked_at += 1;
            let (tenant, replica) = (row.text("tenant")?, row.text("replica")?);
            self.page.next = Some(Place { time_ms: row.int("time_ms")?, tenant, replica, seq: row.int("seq")? });
            // What is no line was altered: it is for `verify` to say so.
            let line = Line::parse(&row.text("line")?).filter(|line| self.filter.passes(&line.record));
            self.page.lines.extend(line);
        }
        if rows.len() < usize::try_from(QUERY).unwrap_or_default() {
            self.page.next = None;
        }
        Ok(())
    }
}

impl TenantStore {
    /// What is on record of this tenant: at most `limit` records after a place.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn audit_records(&self, filter: &Filter, after: Option<Place>, limit: usize) -> Result<Page, StoreError> {
        let mut page = Growing::new(filter, after, limit);
        while let Some(place) = page.place() {
            let mut tx = self.read().await?;
            let sql = "SELECT tenant, replica, seq, time_ms, line FROM audit_entries WHERE tenant = $1 \
                 AND time_ms >= $2 AND (time_ms, replica, seq) < ($3, $4, $5) \
                 ORDER BY time_ms DESC, replica DESC, seq DESC LIMIT $6";
            let from = filter.from_ms.unwrap_or(i64::MIN);
            let query = tx.query(sql).bind(from).bind(place.time_ms).bind(place.replica).bind(place.seq).bind(QUERY);
            page.take(&query.all().await?)?;
        }
        Ok(page.page)
    }
}

impl EveryTenant {
    /// The same of all tenants, and of what belongs to none.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn audit_records(&self, filter: &Filter, after: Option<Place>, limit: usize) -> Result<Page, StoreError> {
        let mut page = Growing::new(filter, after, limit);
        while let Some(place) = page.place() {
            let mut tx = self.read().await?;
            let sql = "SELECT /* every tenant */ tenant, replica, seq, time_ms, line FROM audit_entries \
                 WHERE time_ms >= $1 AND (time_ms, tenant, replica, seq) < ($2, $3, $4, $5) \
                 ORDER BY time_ms DESC, tenant DESC, replica DESC, seq DESC LIMIT $6";
            let from = filter.from_ms.unwrap_or(i64::MIN);
            let query = tx.query(sql).bind(from).bind(place.time_ms).bind(place.tenant).bind(place.replica);
            page.take(&query.bind(place.seq).bind(QUERY).all().await?)?;
        }
        Ok(page.page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use crate::audit::batch::tests::batch;
    use crate::audit::verify::tests::record;
    use crate::audit::{Chain, Tip};
    use crate::testing::{ring, sqlite};
    use aperium_core::id::TenantId;

    async fn filled() -> (tempfile::TempDir, Store) {
        let (folder, target) = sqlite();
        let store = Store::connect(&target, ring("k1", &[("k1", 1)])).await.unwrap();
        for tenant in ["acme", "globex"] {
            let mut tip = Tip::new(Chain { replica: "gw-1".into(), tenant: tenant.into() }).unwrap();
            let one = |at: i64| {
                let mut record = record(at);
                if at % 10 == 3 {
                    record.decision = Decision::Denied;
                    record.principal = Some("oidc:https://id#7 <bob@example.com>".into());
                }
                record
            };
            store.audit_append(&batch(&mut tip, (0..1200).map(one))).await.unwrap();
        }
        (folder, store)
    }

    #[tokio::test]
    async fn pages_follow_each_other_newest_first_and_are_of_one_tenant() {
        let (_folder, store) = filled().await;
        let acme = store.tenant(&TenantId::parse("acme").unwrap());
        let (mut times, mut after) = (Vec::new(), None);
        loop {
            let page = acme.audit_records(&Filter::default(), after, 700).await.unwrap();
            assert!(page.lines.iter().all(|line| line.tenant == "acme"));
            times.extend(page.lines.iter().map(|line| line.record.time_ms));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(times, (0..1200).rev().collect::<Vec<_>>());
        let all = store.every_tenant().audit_records(&Filter::default(), None, 3).await.unwrap();
        let first: Vec<_> = all.lines.iter().map(|line| (line.record.time_ms, line.tenant.as_str())).collect();
        assert_eq!(first, [(1199, "globex"), (1199, "acme"), (1198, "globex")]);
    }

    #[tokio::test]
    async fn what_is_filtered_is_left_out_and_a_page_looks_at_a_bounded_number_of_rows() {
        let (_folder, store) = filled().await;
        let acme = store.tenant(&TenantId::parse("acme").unwrap());
        let filter =
            Filter { from_ms: Some(100), to_ms: Some(200), decision: Some(Decision::Denied), ..Filter::default() };
        let denied = acme.audit_records(&filter, None, 100).await.unwrap();
        assert_eq!(
            denied.lines.iter().map(|line| line.record.time_ms).collect::<Vec<_>>(),
            [193, 183, 173, 163, 153, 143, 133, 123, 113, 103]
        );
        let bob = Filter { principal: Some("bob@example.com".into()), ..Filter::default() };
        assert_eq!(acme.audit_records(&bob, None, 1000).await.unwrap().lines.len(), 120);
        let nothing = Filter { connector: Some("none".into()), ..Filter::default() };
        let page = acme.audit_records(&nothing, None, 10).await.unwrap();
        assert!(page.lines.is_empty() && page.next.is_none());
    }
}
