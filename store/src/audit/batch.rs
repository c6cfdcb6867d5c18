//! Entries → the one value that a database takes a batch as.
//!
//! PostgreSQL splits a text in two thirds of the time that it reads JSON in, and SQLite can only do the latter.

use super::chain::{Chain, Entry, Hash};
use crate::error::StoreError;
use serde::Serialize;
use std::fmt::Write as _;

/// Between the columns of a row, and after a row. No JSON text holds them.
const COLUMN: char = '\t';
const ROW: char = '\n';
/// Room for the columns beside the line, in bytes.
const BESIDE: usize = 192;

/// For PostgreSQL: a row for each entry, without a last `\n`.
///
/// # Errors
/// [`StoreError::Row`] for a name that would be taken for more than one column.
pub(super) fn text(entries: &[Entry]) -> Result<String, StoreError> {
    let room = entries.iter().map(|entry| entry.line.len() + BESIDE).sum();
    let mut text = String::with_capacity(room);
    for Entry { chain: Chain { replica, tenant }, seq, time_ms, line, hash } in entries {
        if [replica, tenant, line].iter().any(|part| part.contains([COLUMN, ROW])) {
            return Err(StoreError::Row);
        }
        if !text.is_empty() {
            text.push(ROW);
        }
        write!(text, "{tenant}{COLUMN}{replica}{COLUMN}{seq}{COLUMN}{time_ms}{COLUMN}{hash}{COLUMN}{line}")
            .map_err(|_| StoreError::Row)?;
    }
    Ok(text)
}

/// For SQLite: an array of objects.
///
/// # Errors
/// None in practice: there is nothing in an entry that JSON cannot hold.
pub(super) fn json(entries: &[Entry]) -> Result<String, StoreError> {
    #[derive(Serialize)]
    struct Columns<'e> {
        tenant: &'e str,
        replica: &'e str,
        seq: u64,
        time_ms: i64,
        hash: Hash,
        line: &'e str,
    }
    let rows = entries.iter().map(|Entry { chain, seq, time_ms, line, hash }| Columns {
        tenant: &chain.tenant,
        replica: &chain.replica,
        seq: *seq,
        time_ms: *time_ms,
        hash: *hash,
        line,
    });
    let rows: Vec<Columns<'_>> = rows.collect();
    serde_json::to_string(&rows).map_err(|_| StoreError::Row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::chain::Tip;
    use crate::audit::verify::tests::record;

    #[test]
    fn every_row_of_the_text_has_six_columns_whatever_stands_in_the_record() {
        let mut tip = Tip::new(Chain { replica: "gw-1".into(), tenant: String::new() });
        let mut odd = record(1);
        odd.agent = Some("a\tb\nc\u{2028}\0".into());
        let entries = [tip.append(&odd).unwrap(), tip.append(&record(2)).unwrap()];
        let text = text(&entries).unwrap();
        let rows: Vec<Vec<&str>> = text.split('\n').map(|row| row.split('\t').collect()).collect();
        assert_eq!(rows.len(), 2);
        for (row, entry) in rows.iter().zip(&entries) {
            let hash = entry.hash.to_string();
            assert_eq!(row[..], ["", "gw-1", &entry.seq.to_string(), &entry.time_ms.to_string(), &hash, &entry.line]);
        }
    }

    #[test]
    fn a_name_that_would_be_two_columns_is_refused() {
        let mut tip = Tip::new(Chain { replica: "gw\t1".into(), tenant: "acme".into() });
        assert_eq!(text(&[tip.append(&record(1)).unwrap()]), Err(StoreError::Row));
    }
}
