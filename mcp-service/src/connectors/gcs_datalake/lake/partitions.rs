//! Hive partitions: the paths of a table's files come in, the partition keys go out.

use super::DataFile;

/// The keys of `orders/year=2026/month=01/x.parquet`: `year`, `month`. Empty when the table has no partitions.
///
/// # Errors
/// A sentence when the files disagree: half a partition column would give wrong rows.
pub(super) fn keys(files: &[DataFile], is_folder: bool) -> Result<Vec<String>, String> {
    if !is_folder {
        return Ok(Vec::new());
    }
    let mut seen: Option<Vec<String>> = None;
    for file in files {
        let found = keys_of(&file.path);
        match &seen {
            None => seen = Some(found),
            Some(first) if *first == found => {}
            Some(_) => return Err("its files do not all have the same partition folders".to_owned()),
        }
    }
    let keys = seen.unwrap_or_default();
    let mut unique: Vec<&String> = keys.iter().collect();
    unique.sort();
    unique.dedup();
    if unique.len() == keys.len() { Ok(keys) } else { Err("a partition key occurs twice in a path".to_owned()) }
}

/// Folders of the form `key=value` between the table's folder and the file. Other folders only group files.
fn keys_of(path: &str) -> Vec<String> {
    let folders: Vec<&str> = path.split('/').collect();
    let inner = folders.get(1..folders.len().saturating_sub(1)).unwrap_or_default();
    inner.iter().filter_map(|folder| folder.split_once('=').map(|(key, _)| key.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Vec<DataFile> {
        paths.iter().map(|path| DataFile { path: (*path).to_owned(), bytes: 1 }).collect()
    }

    #[test]
    fn partition_keys_come_from_the_folders_in_order() {
        let two = files(&["o/year=2025/month=1/a.csv", "o/year=2026/month=2/b.csv"]);
        assert_eq!(keys(&two, true).unwrap(), ["year", "month"]);
        assert!(keys(&files(&["o/a.csv", "o/b.csv"]), true).unwrap().is_empty());
        assert!(keys(&files(&["year=2026.csv"]), false).unwrap().is_empty());
    }

    #[test]
    fn files_that_disagree_about_partitions_are_no_table() {
        assert!(keys(&files(&["o/year=2025/a.csv", "o/b.csv"]), true).is_err());
        assert!(keys(&files(&["o/year=2025/month=1/a.csv", "o/month=1/year=2025/b.csv"]), true).is_err());
        assert!(keys(&files(&["o/y=1/y=2/a.csv"]), true).is_err());
    }
}
