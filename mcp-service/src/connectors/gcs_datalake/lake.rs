//! What tables a folder holds: a folder comes in, tables and the reasons for what was left out go out.
//!
//! A table is a file (`customers.csv`) or a sub-folder (`orders/`), also with Hive partitions
//! (`orders/year=2026/part-0.parquet`). Symbolic links are never followed: a link beside the tables is left out, and
//! a folder that holds one is no table at all, because a table that silently lacks rows is worse than none.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};

mod names;
mod partitions;

/// Most tables of one data lake.
const MAX_TABLES: usize = 500;
/// Most data files of one data lake.
const MAX_FILES: usize = 10_000;
/// Most folder levels below a table's folder.
const MAX_DEPTH: usize = 8;
/// Most entries that are read in one folder, data or not.
const MAX_ENTRIES: usize = 50_000;

/// A folder with its tables, as it was found at one moment.
#[derive(Debug)]
pub(super) struct Lake {
    /// The folder, without symbolic links.
    pub root: PathBuf,
    /// The tables, in the order of their names.
    pub tables: Vec<Table>,
    /// What looked like a table and is none.
    pub skipped: Vec<Skipped>,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    /// The name in SQL: lower case letters, digits and `_`.
    pub name: String,
    /// The file or folder below the root; a folder ends with `/`.
    pub source: String,
    pub format: Format,
    /// The data files, in the order of their paths.
    pub files: Vec<DataFile>,
    /// The keys of its Hive partitions, outermost first.
    pub partitions: Vec<String>,
}

impl Table {
    /// The size of all its files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// One data file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DataFile {
    /// The path below the root, with `/`.
    pub path: String,
    pub bytes: u64,
}

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    /// Apache Parquet: `.parquet`.
    Parquet,
    /// Comma separated values with a header line, UTF-8: `.csv`.
    Csv,
    /// One JSON object per line: `.ndjson`, `.jsonl`.
    Ndjson,
}

impl Format {
    fn of(file_name: &str) -> Option<Self> {
        match Path::new(file_name).extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "parquet" => Some(Self::Parquet),
            "csv" => Some(Self::Csv),
            "ndjson" | "jsonl" => Some(Self::Ndjson),
            _ => None,
        }
    }
}

/// Something in the folder that is not offered as a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub(super) struct Skipped {
    /// The file or folder below the root.
    pub source: String,
    /// Why it is left out.
    pub reason: String,
}

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum LakeError {
    #[error("the folder cannot be opened: {0}")]
    Open(#[source] io::Error),
    #[error("the location is not a folder")]
    NotAFolder,
    #[error("the folder cannot be read: {0}")]
    Read(#[source] io::Error),
    #[error("the folder holds more than {MAX_TABLES} tables")]
    TooManyTables,
    #[error("the folder holds more than {MAX_FILES} data files")]
    TooManyFiles,
    #[error("a folder holds more than {MAX_ENTRIES} entries")]
    TooManyEntries,
}

/// Looks through the folder. Blocking: run it where that is allowed.
///
/// # Errors
/// When the folder itself cannot be read or is over a limit; a single bad table is only left out.
pub(super) fn discover(root: &Path) -> Result<Lake, LakeError> {
    let root = root.canonicalize().map_err(LakeError::Open)?;
    if !root.is_dir() {
        return Err(LakeError::NotAFolder);
    }
    let mut lake = Lake { root: root.clone(), tables: Vec::new(), skipped: Vec::new() };
    let mut taken = BTreeSet::new();
    let mut files_left = MAX_FILES;
    for entry in entries(&root)? {
        match entry.table(&root, &mut files_left)? {
            Found::Nothing => {}
            Found::Skipped(reason) => lake.skipped.push(Skipped { source: entry.source(), reason }),
            Found::Table(table) if !taken.insert(table.name.clone()) => lake.skipped.push(Skipped {
                source: table.source,
                reason: format!("another table is already called {:?}", table.name),
            }),
            Found::Table(table) => lake.tables.push(table),
        }
        if lake.tables.len() > MAX_TABLES {
            return Err(LakeError::TooManyTables);
        }
    }
    lake.tables.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(lake)
}

/// What an entry of the root turned out to be.
enum Found {
    /// Not meant as data: hidden files, other formats, empty folders.
    Nothing,
    /// Meant as data, but not usable.
    Skipped(String),
    Table(Table),
}

/// One entry of a folder. Its kind is that of the entry itself, never that of what a link points to.
struct Entry {
    name: String,
    kind: fs::FileType,
}

impl Entry {
    fn source(&self) -> String {
        if self.kind.is_dir() { format!("{}/", self.name) } else { self.name.clone() }
    }

    fn table(&self, root: &Path, files_left: &mut usize) -> Result<Found, LakeError> {
        if self.kind.is_symlink() {
            return Ok(Found::Skipped("symbolic links are not followed".to_owned()));
        }
        if !self.kind.is_dir() && Format::of(&self.name).is_none() {
            return Ok(Found::Nothing);
        }
        let stem = if self.kind.is_dir() { self.name.as_str() } else { names::stem(&self.name) };
        let (Some(name), true) = (names::table_name(stem), names::is_plain(&self.name)) else {
            return Ok(Found::Skipped("its name cannot be used as a table name".to_owned()));
        };
        let mut walk = Walk { files: Vec::new(), formats: BTreeSet::new(), files_left };
        match walk.enter(root, "", self, 0)? {
            Some(reason) => return Ok(Found::Skipped(reason)),
            None if walk.files.is_empty() => return Ok(Found::Nothing),
            None => {}
        }
        let mut formats = walk.formats.iter();
        let (Some(format), None) = (formats.next().copied(), formats.next()) else {
            return Ok(Found::Skipped("it mixes several formats".to_owned()));
        };
        let files = walk.files;
        Ok(match partitions::keys(&files, self.kind.is_dir()) {
            Ok(partitions) => Found::Table(Table { name, source: self.source(), format, files, partitions }),
            Err(reason) => Found::Skipped(reason),
        })
    }
}

/// Collects the data files of one table.
struct Walk<'a> {
    files: Vec<DataFile>,
    formats: BTreeSet<Format>,
    files_left: &'a mut usize,
}

impl Walk<'_> {
    /// Adds what is at and below an entry; `Some(reason)` when that makes the table unusable.
    fn enter(&mut self, root: &Path, parent: &str, entry: &Entry, depth: usize) -> Result<Option<String>, LakeError> {
        let path = if parent.is_empty() { entry.name.clone() } else { format!("{parent}/{}", entry.name) };
        if entry.kind.is_symlink() {
            return Ok(Some(format!("it holds a symbolic link ({path}), which is not followed")));
        }
        if entry.kind.is_dir() {
            if depth >= MAX_DEPTH {
                return Ok(Some(format!("it is more than {MAX_DEPTH} folders deep")));
            }
            let inner = match entries(&root.join(&path)) {
                Ok(inner) => inner,
                Err(LakeError::Read(error)) => return Ok(Some(format!("{path} cannot be read: {error}"))),
                Err(error) => return Err(error),
            };
            for inner in inner {
                if let Some(reason) = self.enter(root, &path, &inner, depth + 1)? {
                    return Ok(Some(reason));
                }
            }
            return Ok(None);
        }
        let Some(format) = Format::of(&entry.name) else { return Ok(None) };
        if !entry.kind.is_file() {
            return Ok(Some(format!("{path} is not a regular file")));
        }
        if !path.split('/').all(names::is_plain) {
            return Ok(Some(format!("the path {path:?} has characters that are not supported")));
        }
        *self.files_left = self.files_left.checked_sub(1).ok_or(LakeError::TooManyFiles)?;
        let bytes = fs::symlink_metadata(root.join(&path)).map_err(LakeError::Read)?.len();
        self.formats.insert(format);
        self.files.push(DataFile { path, bytes });
        Ok(None)
    }
}

/// The entries of a folder that are not hidden (`.` and `_` in front, as every lake tool has it), by name.
fn entries(folder: &Path) -> Result<Vec<Entry>, LakeError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(LakeError::Read)? {
        let entry = entry.map_err(LakeError::Read)?;
        let kind = entry.file_type().map_err(LakeError::Read)?;
        // A name that is not UTF-8 cannot be written in SQL or JSON; it is refused by name below.
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with(['.', '_']) {
            found.push(Entry { name, kind });
        }
        if found.len() > MAX_ENTRIES {
            return Err(LakeError::TooManyEntries);
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

#[cfg(test)]
mod tests;
