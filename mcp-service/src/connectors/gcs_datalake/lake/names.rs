//! Which file names are accepted and what a table is called: text in, a table name out.

/// The longest table name, in characters.
const MAX_NAME: usize = 63;

/// The name of a file without its extension.
pub(super) fn stem(file_name: &str) -> &str {
    file_name.rsplit_once('.').map_or(file_name, |(stem, _)| stem)
}

/// The SQL name of a file or folder: lower case, everything but letters and digits as `_`, so that it needs no
/// quotes. `None` when nothing is left or it is too long.
pub(super) fn table_name(stem: &str) -> Option<String> {
    let mut name: String =
        stem.chars().flat_map(char::to_lowercase).map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_numeric()) {
        name.insert_str(0, "t_");
    }
    let usable = name.chars().any(char::is_alphanumeric) && name.chars().count() <= MAX_NAME;
    usable.then_some(name)
}

/// Whether a file or folder name means the same everywhere it is written: in a path, in a URL and in a plan.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name != "."
        && name != ".."
        && name.chars().all(|c| c.is_alphanumeric() && c != char::REPLACEMENT_CHARACTER || " ._=+-@,()".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_name_needs_no_quotes() {
        assert_eq!(table_name("Sales Orders-2026").as_deref(), Some("sales_orders_2026"));
        assert_eq!(table_name("2026").as_deref(), Some("t_2026"));
        assert_eq!(table_name("Kunden März").as_deref(), Some("kunden_märz"));
        assert_eq!(table_name("---"), None);
        assert_eq!(table_name(&"a".repeat(64)), None);
    }

    #[test]
    fn names_that_could_leave_the_folder_or_change_their_meaning_are_not_plain() {
        for wrong in ["", ".", "..", "a/b", "a\\b", "a%2e", "a?b", "a*", "a#b", "a\nb", "a\u{fffd}"] {
            assert!(!is_plain(wrong), "{wrong:?}");
        }
        for good in ["orders", "year=2026", "part-0 (1).parquet", "März.csv"] {
            assert!(is_plain(good), "{good:?}");
        }
    }

    #[test]
    fn the_stem_keeps_inner_dots() {
        assert_eq!(stem("a.b.csv"), "a.b");
        assert_eq!(stem("plain"), "plain");
    }
}
