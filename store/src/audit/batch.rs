//! Records → chained lines → the one value that a database takes them as.
//!
//! PostgreSQL splits a text in two thirds of the time that it reads JSON in, and SQLite can only do the latter. The
//! text is written once, line after line: what is hashed is the line where it stands.

use super::chain::{Chain, Hash, Head, link};
use super::record::{Body, VERSION};
use super::text::{number, text};
use crate::error::StoreError;

/// Between the columns of a row, and after a row. No JSON text holds them.
const COLUMN: char = '\t';
const ROW: char = '\n';

/// Lines that come next in their chains, to be written by [`Store::audit_append`](crate::Store::audit_append).
#[derive(Debug, Default)]
pub struct Batch {
    /// Each row ends with [`ROW`]: tenant, replica, place, time, line, hash.
    rows: String,
    count: usize,
}

/// The growing end of a chain.
#[derive(Debug, Clone)]
pub struct Tip {
    chain: Chain,
    seq: u64,
    hash: Hash,
    /// What all its rows begin with, and all its lines.
    row: String,
    line: String,
}

impl Tip {
    /// Begins a chain.
    ///
    /// # Errors
    /// [`StoreError::Row`] for a name that would be taken for more than one column.
    pub fn new(chain: Chain) -> Result<Self, StoreError> {
        let Chain { replica, tenant } = &chain;
        if [replica, tenant].iter().any(|name| name.contains([COLUMN, ROW])) {
            return Err(StoreError::Row);
        }
        let row = format!("{tenant}{COLUMN}{replica}{COLUMN}");
        let mut line = format!("{{\"v\":{VERSION},\"replica\":");
        text(&mut line, replica);
        line.push_str(",\"tenant\":");
        text(&mut line, tenant);
        line.push_str(",\"seq\":");
        Ok(Self { chain, seq: 0, hash: Hash::GENESIS, row, line })
    }

    /// Where it is.
    #[must_use]
    pub fn head(&self) -> Head {
        let Chain { replica, tenant } = self.chain.clone();
        Head { replica, tenant, seq: self.seq, hash: self.hash }
    }
}

impl Batch {
    /// Writes what comes next in a chain, with its arguments if they are on record. It counts from then on.
    pub fn append(&mut self, tip: &mut Tip, body: &Body, arguments: Option<&str>) {
        let seq = tip.seq + 1;
        let rows = &mut self.rows;
        rows.push_str(&tip.row);
        number(rows, seq);
        rows.push(COLUMN);
        number(rows, body.time_ms);
        rows.push(COLUMN);
        let at = rows.len();
        rows.push_str(&tip.line);
        number(rows, seq);
        rows.push(',');
        rows.push_str(&body.fields);
        if let Some(arguments) = arguments {
            rows.push_str(",\"arguments\":");
            text(rows, arguments);
        }
        rows.push('}');
        let hash = link(&tip.hash, rows.get(at..).unwrap_or_default());
        rows.push(COLUMN);
        rows.push_str(&hash.digits());
        rows.push(ROW);
        (tip.seq, tip.hash) = (seq, hash);
        self.count += 1;
    }

    /// How many lines it holds.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether it holds none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Makes room for the next ones. What a burst took and the last lines did not need goes back.
    pub fn clear(&mut self) {
        let used = self.rows.len();
        self.rows.clear();
        self.count = 0;
        if used < self.rows.capacity() / 8 {
            self.rows.shrink_to(used);
        }
    }

    /// For PostgreSQL: the rows, without the end of the last one.
    pub(super) fn text(&self) -> &str {
        self.rows.strip_suffix(ROW).unwrap_or_default()
    }

    /// For SQLite: an array of arrays.
    ///
    /// # Errors
    /// None in practice: there is nothing in a row that JSON cannot hold.
    pub(super) fn json(&self) -> Result<String, StoreError> {
        let rows: Vec<Vec<&str>> = self.text().split(ROW).map(|row| row.split(COLUMN).collect()).collect();
        serde_json::to_string(&rows).map_err(|_| StoreError::Row)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::audit::chain::Entry;
    use crate::audit::record::{Access, Decision, Line, Phase, Record};
    use crate::audit::verify::tests::record;
    use proptest::prelude::*;

    /// A batch that follows in one chain.
    pub(crate) fn batch(tip: &mut Tip, records: impl IntoIterator<Item = Record<'static>>) -> Batch {
        let mut batch = Batch::default();
        for record in records {
            batch.append(tip, &record.body(), None);
        }
        batch
    }

    /// What a database makes of it.
    pub(crate) fn entries(batch: &Batch) -> Vec<Entry> {
        let entry = |row: &str| {
            let [tenant, replica, seq, time, line, hash] = row.split(COLUMN).collect::<Vec<_>>()[..] else {
                panic!("six columns: {row}")
            };
            let chain = Chain { replica: replica.into(), tenant: tenant.into() };
            let hash = Hash::parse(hash).unwrap();
            Entry { chain, seq: seq.parse().unwrap(), time_ms: time.parse().unwrap(), line: line.into(), hash }
        };
        batch.text().split(ROW).map(entry).collect()
    }

    #[test]
    fn a_line_is_the_text_of_its_fields_in_their_order() {
        let mut whole = record(7);
        (whole.delegate, whole.agent, whole.lost) = (Some("pod:a".into()), Some("curl".into()), Some(3));
        let mut denied = record(8);
        (denied.phase, denied.access, denied.decision) = (Phase::Intent, Access::Write, Decision::Denied);
        (denied.principal, denied.status, denied.took_ms) = (None, None, None);
        for mut record in [whole, denied] {
            let mut tip = Tip::new(Chain { replica: "gw-\"1".into(), tenant: "acme".into() }).unwrap();
            let mut batch = batch(&mut tip, [record.clone()]);
            let arguments = "{\"a\":\t\"\u{e9}\n\"}";
            batch.append(&mut tip, &record.body(), Some(arguments));
            record.arguments = Some(arguments.into());
            let line = Line { v: VERSION, replica: "gw-\"1".into(), tenant: "acme".into(), seq: 2, record };
            let [_, entry] = &entries(&batch)[..] else { panic!("two") };
            assert_eq!(entry.line, serde_json::to_string(&line).unwrap());
            assert_eq!((entry.head(), batch.len()), (tip.head(), 2));
            assert_eq!(Line::parse(&entry.line), Some(line));
            assert_eq!(Line::parse(&entry.line.replacen("\"v\":1", "\"v\":2", 1)), None);
        }
    }

    proptest! {
        #[test]
        fn every_row_has_six_columns_whatever_stands_in_the_record(text in "(?s).{0,40}", arguments: Option<String>) {
            let mut tip = Tip::new(Chain { replica: "gw-1".into(), tenant: String::new() }).unwrap();
            let mut odd = record(1);
            odd.agent = Some(format!("a\tb\nc\u{2028}\0{text}").into());
            let mut batch = batch(&mut tip, [odd.clone()]);
            batch.append(&mut tip, &odd.body(), arguments.as_deref());
            let entries = entries(&batch);
            let columns: Vec<Vec<String>> = serde_json::from_str(&batch.json().unwrap()).unwrap();
            prop_assert_eq!((entries.len(), columns.len()), (2, 2));
            odd.arguments = arguments.map(Into::into);
            let line = Line::parse(&entries[1].line).map(|line| line.record);
            prop_assert_eq!(line, Some(odd));
            prop_assert_eq!(&columns[1][4], &entries[1].line);
        }
    }

    #[test]
    fn a_name_that_would_be_two_columns_is_refused() {
        for (replica, tenant) in [("gw\t1", "acme"), ("gw-1", "ac\nme")] {
            let chain = Chain { replica: replica.into(), tenant: tenant.into() };
            assert_eq!(Tip::new(chain).err(), Some(StoreError::Row));
        }
    }
}
