//! Which URIs a template (RFC 6570) can stand for: (template, URI) → whether the one could have been expanded to the
//! other, or not.
//!
//! The answer decides whether a grant on a template covers a URI that the upstream does not list, so it errs towards
//! no: a template that is malformed covers nothing, and a URI with dot segments is covered by nothing, because an
//! upstream that normalises it would serve another resource than the one that was compared.

/// The most expressions of a template and the most bytes of a URI that are looked at.
const MAX_PARTS: usize = 64;
const MAX_URI: usize = 8 * 1024;

/// One template, compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UriTemplate {
    parts: Box<[Part]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Exactly this text.
    Literal(Box<str>),
    /// One or more characters inside one segment: `{x}`, and what follows the sign of `{.x}`, `{/x}`, `{;x}`.
    Segment,
    /// One or more characters before query and fragment: `{+x}`, and `{x*}`, which servers use for whole paths.
    Path,
    /// Nothing, or the sign and then anything: `{?x}`, `{&x}`, `{#x}`.
    Tail(char),
}

impl Part {
    /// Whether a character may stand in what the part is expanded to.
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Literal(_) => false,
            Self::Segment => !matches!(c, '/' | '?' | '#' | '\\') && !c.is_control() && c != ' ',
            Self::Path => !matches!(c, '?' | '#' | '\\') && !c.is_control() && c != ' ',
            Self::Tail('#') => !c.is_control(),
            Self::Tail(_) => c != '#' && !c.is_control(),
        }
    }
}

impl UriTemplate {
    /// Compiles a template; `None` for one that is malformed or has more than 64 expressions.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            push_literal(&mut parts, literal)?;
            let (expression, after) = after.split_once('}')?;
            push_expression(&mut parts, expression)?;
            rest = after;
        }
        push_literal(&mut parts, rest)?;
        (parts.len() <= 2 * MAX_PARTS).then(|| Self { parts: parts.into() })
    }

    /// Whether the template can stand for the URI.
    #[must_use]
    pub fn covers(&self, uri: &str) -> bool {
        uri.len() <= MAX_URI && !has_dot_segment(uri) && self.matches(uri)
    }

    /// All positions that the parts so far can end at, part by part: linear in parts × bytes, no backtracking.
    fn matches(&self, uri: &str) -> bool {
        let mut ends = vec![false; uri.len() + 1];
        if let Some(start) = ends.first_mut() {
            *start = true;
        }
        for part in &self.parts {
            ends = step(part, uri, &ends);
        }
        ends.last().copied().unwrap_or_default()
    }
}

/// The positions reachable by one part from the positions that were reachable before it.
fn step(part: &Part, uri: &str, before: &[bool]) -> Vec<bool> {
    let mut after = vec![false; before.len()];
    let is = |set: &[bool], at: usize| set.get(at).copied().unwrap_or_default();
    let mut mark = |at: usize| {
        if let Some(slot) = after.get_mut(at) {
            *slot = true;
        }
    };
    if let Part::Literal(literal) = part {
        for (at, _) in before.iter().enumerate().filter(|(_, reached)| **reached) {
            if uri.get(at..).is_some_and(|rest| rest.starts_with(&**literal)) {
                mark(at + literal.len());
            }
        }
        return after;
    }
    // Within a run of characters that the part takes: every position after the first reachable one.
    let mut running = false;
    for (at, c) in uri.char_indices() {
        let starts = match part {
            Part::Tail(sign) => {
                if is(before, at) {
                    mark(at);
                }
                is(before, at) && c == *sign
            }
            _ => is(before, at) && part.takes(c),
        };
        running = starts || (running && part.takes(c));
        if running {
            mark(at + c.len_utf8());
        }
    }
    if matches!(part, Part::Tail(_)) && is(before, uri.len()) {
        mark(uri.len());
    }
    after
}

fn push_literal(parts: &mut Vec<Part>, literal: &str) -> Option<()> {
    if literal.contains('}') {
        return None;
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal.into()));
    }
    Some(())
}

/// RFC 6570 §2.3 and §3.2: operator, then variables with modifiers, joined by commas.
fn push_expression(parts: &mut Vec<Part>, expression: &str) -> Option<()> {
    let operator = expression.chars().next()?;
    let names = if "+#./;?&".contains(operator) { expression.get(1..)? } else { expression };
    let is_name = |name: &str| {
        let bare = name.strip_suffix('*').or_else(|| name.split_once(':').map(|(bare, _)| bare)).unwrap_or(name);
        let named = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '%' | '-');
        !bare.is_empty() && bare.chars().all(named)
    };
    if !names.split(',').all(is_name) {
        return None;
    }
    let value = if names.contains('*') || operator == '+' { Part::Path } else { Part::Segment };
    match operator {
        '?' | '&' | '#' => parts.push(Part::Tail(operator)),
        '.' | '/' | ';' => {
            parts.push(Part::Literal(operator.to_string().into()));
            parts.push(value);
        }
        _ => parts.push(value),
    }
    Some(())
}

/// Whether a segment is `.` or `..`, plain or percent-encoded (however often), separated by `/` or a backslash.
///
/// Parameters of a segment (`..;x`) and blanks or control characters around the dots count for nothing: servers drop
/// them.
#[must_use]
pub fn has_dot_segment(uri: &str) -> bool {
    let mut text = uri.to_owned();
    for _ in 0..8 {
        let path = text.split(['?', '#']).next().unwrap_or_default();
        let is_dots = |segment: &str| {
            let bare = segment.split(';').next().unwrap_or_default();
            matches!(bare.trim_matches(|c: char| c.is_whitespace() || c.is_control()), "." | "..")
        };
        if path.split(['/', '\\']).any(is_dots) {
            return true;
        }
        let decoded = percent_decoded(&text);
        if decoded == text {
            return false;
        }
        text = decoded;
    }
    // Encoded over and over: nobody does that to be understood.
    true
}

/// The text with every `%` and two hexadecimal digits replaced by that character; what lies beyond ASCII stays encoded,
/// because it cannot be a dot or a separator.
fn percent_decoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let byte = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(u8::is_ascii);
        match byte {
            Some(byte) => {
                out.push(byte.into());
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push('%');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn covers(template: &str, uri: &str) -> bool {
        UriTemplate::parse(template).is_some_and(|template| template.covers(uri))
    }

    #[test]
    fn a_variable_stays_inside_its_segment() {
        assert!(covers("test://template/{id}/data", "test://template/123/data"));
        assert!(covers("test://template/{id}/data", "test://template/a%2Fb:c,d/data"));
        for no in [
            "test://template//data",
            "test://template/1/2/data",
            "test://template/1?x/data",
            "test://template/1#x/data",
            "test://template/1/data/more",
            "test://template/1",
            "xtest://template/1/data",
            "test://template/a b/data",
        ] {
            assert!(!covers("test://template/{id}/data", no), "{no}");
        }
        assert!(covers("a://{x}{y}", "a://bc"));
        assert!(!covers("a://{x}{y}", "a://b"), "each variable stands for something");
        assert!(covers("a://{x}-{y}", "a://1-2-3"));
    }

    #[test]
    fn the_other_operators_reach_as_far_as_they_may() {
        assert!(covers("file:///{+path}", "file:///a/b/c.md"));
        assert!(covers("file:///{path*}", "file:///a/b/c.md"));
        assert!(!covers("file:///{+path}", "file:///a?x=1"));
        assert!(covers("db://t{/a,b*}", "db://t/x/y"));
        assert!(covers("db://t{?limit,after}", "db://t") && covers("db://t{?limit,after}", "db://t?limit=1&after=/x"));
        assert!(!covers("db://t{?limit}", "db://t#x"));
        assert!(covers("db://t{#part}", "db://t#a/b"));
        assert!(covers("db://t{.ext}", "db://t.json"));
        assert!(covers("é://{x}", "é://ü"));
    }

    #[test]
    fn what_would_be_another_resource_after_normalising_is_not_covered() {
        for bad in [
            "file:///a/../secret",
            "file:///a/%2e%2E/secret",
            "file:///a/%252e%252e/secret",
            "file:///a/..%2fsecret",
            "file:///a/..\\secret",
            "file:///a/./b",
            "file:///a/..;v=1/secret",
            "file:///a/.%2e%00/secret",
            "file:///a/%2e%2e%20/secret",
            "file:///a%5c..%5csecret",
            "file:///..",
        ] {
            assert!(!covers("file:///{+path}", bad), "{bad}");
        }
        assert!(covers("file:///{+path}", "file:///a/...b/c..d"));
        assert!(!has_dot_segment("file:///a?x=/../"), "a query is no path");
        assert!(!has_dot_segment("file:///100%/%zz/%C3%A9/a;b"), "not every % begins a code");
    }

    #[test]
    fn a_malformed_template_covers_nothing() {
        for bad in ["a{", "a}", "a{}", "a{+}", "a{x,}", "a{{x}}", "a{!x}", "a{x y}", "{x}}"] {
            assert_eq!(UriTemplate::parse(bad), None, "{bad}");
        }
        assert_eq!(UriTemplate::parse(&"{x}".repeat(200)), None);
        assert!(!covers("{+x}", &"x".repeat(9000)));
    }

    proptest! {
        #[test]
        fn an_expansion_is_covered_by_its_template(
            a in "[a-zA-Z0-9_~-]{1,8}", b in "[a-z0-9/_-]{0,8}[a-z]", q in "[a-z=&/]{0,8}",
        ) {
            let uri = format!("x://{a}/fix/{b}?{q}");
            let covered = covers("x://{a}/fix/{+b}{?q}", &uri);
            prop_assert!(covered, "{}", uri);
        }

        #[test]
        fn matching_never_panics_and_a_literal_covers_only_itself(template in ".{0,24}", uri in ".{0,24}") {
            let covered = covers(&template, &uri);
            if !template.contains(['{', '}']) {
                prop_assert_eq!(covered, template == uri && !has_dot_segment(&uri));
            }
        }
    }
}
