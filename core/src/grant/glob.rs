//! The two wildcards of a grant, over one segment: `*` and `**` both match any run of characters inside it.
//!
//! A resource URI counts as one segment (blueprint §4), so a pattern's last part is matched against the whole
//! name. Matching is linear in pattern × name with no backtracking beyond the last wildcard.

/// A compiled wildcard pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob {
    /// The literal parts between wildcards; one part means no wildcard.
    parts: Box<[Box<str>]>,
}

impl Glob {
    /// Compiles a pattern whose characters were checked before.
    pub(super) fn new(pattern: &str) -> Self {
        let mut parts: Vec<Box<str>> = Vec::new();
        let mut rest = pattern;
        while let Some((literal, after)) = rest.split_once('*') {
            parts.push(literal.into());
            rest = after.trim_start_matches('*');
        }
        parts.push(rest.into());
        Self { parts: parts.into() }
    }

    /// Whether the whole text matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = &*self.parts else {
            return self.parts.first().is_some_and(|only| **only == *text);
        };
        let Some(rest) = text.strip_prefix(&**first) else { return false };
        let Some(mut rest) = rest.strip_suffix(&**last) else { return false };
        for literal in middle {
            let Some(at) = rest.find(&**literal) else { return false };
            rest = &rest[at + literal.len()..];
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_matches_only_itself() {
        assert!(Glob::new("odoo").matches("odoo"));
        assert!(!Glob::new("odoo").matches("odo"));
        assert!(!Glob::new("odoo").matches("odoox"));
    }

    #[test]
    fn a_star_matches_any_run_and_prefix_and_suffix_may_not_overlap() {
        let glob = Glob::new("odoo_search_*");
        assert!(glob.matches("odoo_search_orders"));
        assert!(glob.matches("odoo_search_"));
        assert!(!glob.matches("odoo_searc"));
        assert!(!Glob::new("ab*bc").matches("abc"));
        assert!(Glob::new("ab*bc").matches("abbc"));
        assert!(Glob::new("*").matches(""));
        assert!(Glob::new("**").matches("files://readme.md"));
        assert!(Glob::new("a*b*c").matches("a-b-b-c"));
        assert!(!Glob::new("a*b*c").matches("a-c-b"));
    }

    #[test]
    fn many_stars_over_a_long_name_stay_linear() {
        let glob = Glob::new(&"a*".repeat(100));
        assert!(!glob.matches(&"b".repeat(100_000)));
        assert!(glob.matches(&"a".repeat(100_000)));
    }
}
