//! Every SQL text of this crate is read: one that names a table of tenants must hold the tenant as `$1`, which only a
//! transaction for one tenant binds by itself. And nothing outside of this crate speaks SQL to the platform database.

use aperium_store::migrations::{TenantTable, tenant_tables};
use std::fs;
use std::path::{Path, PathBuf};

/// What maintenance over all tenants says in its SQL.
const EVERY: &str = "/* every tenant */";
/// Where the driver may be named: the edge of the crate.
const EDGE: [&str; 5] = ["error.rs", "migrations.rs", "store.rs", "target.rs", "tx.rs"];

#[test]
fn t11_no_query_on_a_table_of_tenants_is_without_its_tenant() {
    let mut seen = 0;
    for path in sources(Path::new("src")) {
        let text = fs::read_to_string(&path).unwrap();
        for literal in literals(&program(&text)) {
            seen += usize::from(tenant_tables().any(|table| names(&literal, table.table) > 0) && is_sql(&literal));
            if let Some(problem) = problem(&literal) {
                panic!("{}: {problem}\n  {literal}", path.display());
            }
        }
    }
    assert!(seen > 0, "the test reads no SQL any more");
}

#[test]
fn the_driver_is_named_at_the_edge_of_this_crate_alone() {
    let workspace = Path::new("..").canonicalize().unwrap();
    for package in fs::read_dir(&workspace).unwrap().flatten().map(|entry| entry.path()) {
        if !package.join("Cargo.toml").is_file() {
            continue;
        }
        for path in sources(&package.join("src")) {
            let name = path.file_name().unwrap().to_str().unwrap();
            let edge = path.starts_with(workspace.join("store")) && EDGE.contains(&name);
            let text = fs::read_to_string(&path).unwrap();
            assert!(edge || !program(&text).contains("sqlx::"), "{} speaks to the driver", path.display());
        }
    }
}

#[test]
fn the_rules_find_what_they_are_for() {
    for bad in [
        "SELECT sealed FROM credential_fields WHERE connector = $2",
        "SELECT sealed FROM credential_fields WHERE tenant = $2",
        "DELETE FROM tenants",
        "UPDATE credential_sets SET used_ms = $2",
        "INSERT INTO credential_sets (connector, tenant) VALUES ($1, $2)",
        "INSERT INTO credential_sets (tenant, connector) VALUES ($2, $1)",
        "SELECT 1 FROM credential_sets s JOIN credential_fields f ON f.connector = s.connector WHERE s.tenant = $1",
        "SELECT 1 FROM credential_sets WHERE tenant = $1 OR tenant = $10",
        "SELECT 1 FROM credential_sets WHERE tenant = $1 OR 1 = 1",
    ] {
        assert!(problem(bad).is_some(), "{bad}");
    }
    for good in [
        "SELECT sealed FROM credential_fields WHERE tenant = $1 AND connector = $2",
        "INSERT INTO credential_sets (tenant, version) VALUES ($1, $2) ON CONFLICT (tenant) DO UPDATE SET \
         version = credential_sets.version + 1",
        "SELECT id /* every tenant */ FROM tenants",
        "SELECT data_key FROM tenants WHERE id = $1",
        "the tenants of a store",
    ] {
        assert_eq!(problem(good), None, "{good}");
    }
    let text = "// \"DELETE FROM tenants\"\nlet a = \"one \\\n   two\"; let c = '\"'; let b = r#\"three \"x\" \"#;";
    assert_eq!(literals(text), ["one two", "three \"x\" "]);
}

/// What is wrong with a text, if it is SQL at all.
fn problem(literal: &str) -> Option<String> {
    let named: Vec<(TenantTable, usize)> =
        tenant_tables().map(|table| (table, names(literal, table.table))).filter(|(_, times)| *times > 0).collect();
    if !is_sql(literal) || named.is_empty() || literal.contains(EVERY) {
        return None;
    }
    if names(literal, "OR") > 0 {
        return Some("an OR can undo the condition on the tenant".to_owned());
    }
    for (table, times) in &named {
        let (name, column) = (table.table, table.column);
        let inserted =
            usize::from(literal.contains(&format!("INSERT INTO {name} ({column},")) && literal.contains("VALUES ($1,"));
        let compared = literal.matches(&format!("{column} = $1")).count()
            - literal.matches(&format!("{column} = $1")).count().min(ten_and_more(literal, column));
        let all = if column == "tenant" {
            named.iter().filter(|(t, _)| t.column == column).map(|(_, n)| n).sum()
        } else {
            *times
        };
        if inserted + compared < all {
            return Some(format!("{name} is named without {column} = $1"));
        }
    }
    None
}

fn ten_and_more(literal: &str, column: &str) -> usize {
    (0..10).map(|digit| literal.matches(&format!("{column} = $1{digit}")).count()).sum()
}

fn is_sql(literal: &str) -> bool {
    ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "].iter().any(|verb| literal.trim_start().starts_with(verb))
}

/// How often a word occurs as a whole word. `table.column` names a column of a table that is named elsewhere.
fn names(text: &str, word: &str) -> usize {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(word)
        .filter(|(at, _)| {
            let after = &text[at + word.len()..];
            !text[..*at].ends_with(part) && !after.starts_with(part) && !after.starts_with('.')
        })
        .count()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// A file without its tests.
fn program(text: &str) -> String {
    text.split("#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned()
}

/// The string literals of a Rust text, with line continuations joined.
fn literals(text: &str) -> Vec<String> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find(['"', '/', '\'', 'r']) {
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("//") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(after) = rest.strip_prefix("'\"'") {
            rest = after;
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            let (inside, after) = raw.split_once("\"#").unwrap_or((raw, ""));
            found.push(inside.to_owned());
            rest = after;
        } else if let Some(inside) = rest.strip_prefix('"') {
            let (literal, after) = quoted(inside);
            found.push(literal);
            rest = after;
        } else {
            rest = &rest[1..];
        }
    }
    found
}

fn quoted(inside: &str) -> (String, &str) {
    let (mut literal, mut chars) = (String::new(), inside.char_indices());
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (literal, &inside[at + 1..]),
            '\\' => match chars.next() {
                Some((_, '\n')) => {
                    let skipped = chars.as_str().trim_start();
                    let rest = inside.len() - skipped.len();
                    let (more, after) = quoted(&inside[rest..]);
                    literal.push_str(&more);
                    return (literal, after);
                }
                Some((_, escaped)) => literal.push(escaped),
                None => break,
            },
            _ => literal.push(c),
        }
    }
    (literal, "")
}
