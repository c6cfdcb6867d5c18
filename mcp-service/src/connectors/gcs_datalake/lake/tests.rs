//! Discovery on real folders.

use std::os::unix::fs::symlink;

use super::*;

fn lake_of(files: &[&str]) -> (tempfile::TempDir, Lake) {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "id\n1\n").unwrap();
    }
    let lake = discover(folder.path()).unwrap();
    (folder, lake)
}

fn names(lake: &Lake) -> Vec<&str> {
    lake.tables.iter().map(|table| table.name.as_str()).collect()
}

#[test]
fn files_and_folders_become_tables_and_other_files_do_not() {
    let (_folder, lake) = lake_of(&[
        "customers.csv",
        "Orders/year=2025/a.parquet",
        "Orders/year=2026/b.parquet",
        "Orders/year=2026/_SUCCESS",
        "events.ndjson",
        "README.md",
        ".hidden.csv",
        "_tmp/x.csv",
        "notes/readme.txt",
    ]);
    assert_eq!(names(&lake), ["customers", "events", "orders"]);
    let orders = &lake.tables[2];
    assert_eq!((orders.source.as_str(), orders.format), ("Orders/", Format::Parquet));
    assert_eq!(orders.partitions, ["year"]);
    assert_eq!(orders.files.len(), 2);
    assert_eq!(orders.bytes(), 10);
    assert!(lake.skipped.is_empty());
}

#[test]
fn a_folder_of_several_formats_or_a_taken_name_is_skipped_with_a_reason() {
    let (_folder, lake) = lake_of(&["mixed/a.csv", "mixed/b.parquet", "orders.csv", "Orders/a.csv"]);
    assert_eq!(names(&lake), ["orders"]);
    let reasons: Vec<_> = lake.skipped.iter().map(|s| (s.source.as_str(), s.reason.as_str())).collect();
    assert_eq!(
        reasons,
        [("mixed/", "it mixes several formats"), ("orders.csv", "another table is already called \"orders\"")]
    );
}

#[test]
fn symbolic_links_are_never_followed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret.csv"), "a\n1\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    symlink(outside.path().join("secret.csv"), folder.path().join("link.csv")).unwrap();
    symlink(outside.path(), folder.path().join("linked")).unwrap();
    fs::create_dir(folder.path().join("orders")).unwrap();
    fs::write(folder.path().join("orders/a.csv"), "a\n1\n").unwrap();
    symlink(outside.path().join("secret.csv"), folder.path().join("orders/b.csv")).unwrap();
    let lake = discover(folder.path()).unwrap();
    assert!(lake.tables.is_empty());
    let skipped: Vec<_> = lake.skipped.iter().map(|s| s.source.as_str()).collect();
    assert_eq!(skipped, ["link.csv", "linked", "orders/"]);
}

#[test]
fn too_deep_a_folder_is_skipped_and_a_missing_one_is_an_error() {
    let deep = format!("t/{}x.csv", "d/".repeat(MAX_DEPTH));
    let (folder, lake) = lake_of(&[&deep]);
    assert!(lake.tables.is_empty());
    assert!(lake.skipped[0].reason.contains("8 folders deep"));
    assert!(matches!(discover(&folder.path().join("none")), Err(LakeError::Open(_))));
    fs::write(folder.path().join("file"), "").unwrap();
    assert!(matches!(discover(&folder.path().join("file")), Err(LakeError::NotAFolder)));
}
