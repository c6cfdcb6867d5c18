//! The meaning of grants once more, read from their texts each time and by trying everything; and the property that
//! the compiled ones decide alike.

use super::*;
use proptest::prelude::*;

pub(super) fn opens(text: &str, wanted: Capability<'_>, labels: &[String]) -> bool {
    if text == "**" {
        return true;
    }
    if let Some(label) = text.strip_prefix("label:") {
        return labels.iter().any(|own| own == label);
    }
    let parts: Vec<&str> = text.splitn(3, '/').collect();
    let category = |segment: &str| segment == "*" || segment == wanted.category.as_str();
    let name = |pattern: &str| glob(pattern.as_bytes(), wanted.resource.as_bytes());
    glob(parts[0].as_bytes(), wanted.connector.as_str().as_bytes())
        && match parts[1..] {
            ["**"] => true,
            ["proxy"] => wanted.category == Category::Proxy,
            [segment, pattern] => wanted.category != Category::Proxy && category(segment) && name(pattern),
            _ => unreachable!("{text} is malformed"),
        }
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => glob(rest, text) || (!text.is_empty() && glob(pattern, &text[1..])),
        ([p, rest @ ..], [t, left @ ..]) => p == t && glob(rest, left),
        _ => false,
    }
}

/// The first rule that opens it.
fn allowing<'r>(
    caller: &Caller,
    rules: &'r [GrantRule],
    connector: Granted<'_>,
    category: Category,
    resource: &str,
) -> Option<&'r str> {
    let wanted = Capability { connector: connector.id, category, resource };
    let open = rules.iter().find(|rule| {
        let here = match &rule.reach {
            Reach::Everywhere => true,
            Reach::Namespace(own) => own == connector.namespace,
        };
        let theirs = rule.subjects.iter().any(|subject| match subject {
            Subject::Anyone => true,
            Subject::Group(group) => caller.groups.contains(group),
            Subject::Client(name) => caller.principal == Principal::Client(name.clone()),
            _ => false,
        });
        here && theirs && rule.patterns.iter().any(|pattern| opens(pattern.as_str(), wanted, connector.labels))
    });
    open.map(|rule| rule.name.as_str())
}

/// Few letters, so that patterns and names meet often.
fn pattern() -> impl Strategy<Value = String> {
    let id = "[ab]{0,2}\\*?[ab]{1,2}|\\*";
    let tail = "[ab_]{0,2}\\*{0,2}[ab_]{0,2}\\*?[ab_]{1,2}|\\*{1,2}";
    let category = prop::sample::select(&["tools", "prompts", "resources", "templates", "*"][..]);
    prop_oneof![
        1 => Just("**".to_owned()),
        2 => "[xyz]".prop_map(|label| format!("label:{label}")),
        2 => id.prop_map(|id| format!("{id}/**")),
        2 => id.prop_map(|id| format!("{id}/proxy")),
        6 => (id, category, tail).prop_map(|(id, category, tail)| format!("{id}/{category}/{tail}")),
    ]
}

fn any_rule() -> impl Strategy<Value = GrantRule> {
    let subject = prop::sample::select(&["*", "client:ci", "client:other", "group:ops", "group:hr"][..]);
    let reach = prop_oneof![2 => Just(Reach::Everywhere), 1 => "[mn]".prop_map(Reach::Namespace)];
    let made = |(reach, subjects, patterns): (Reach, Vec<&str>, Vec<String>)| GrantRule {
        name: String::new(),
        reach,
        subjects: subjects.into_iter().map(|subject| subject.parse().unwrap()).collect(),
        role: Role::User,
        patterns: patterns.iter().map(|pattern| pattern.parse().unwrap()).collect(),
        read_metrics: false,
        register: false,
    };
    (reach, prop::collection::vec(subject, 1..3), prop::collection::vec(pattern(), 0..4)).prop_map(made)
}

/// 1 % of the full run of a million cases, or as many as `PROPTEST_CASES` asks for.
fn cases() -> ProptestConfig {
    let given = ProptestConfig::default();
    if given.cases == 256 { ProptestConfig { cases: 10_000, ..given } } else { given }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn the_compiled_grants_decide_as_the_naive_reading_does(
        mut rules in prop::collection::vec(any_rule(), 0..6),
        connector in "[ab]{1,4}",
        namespace in "[mn]",
        labels in prop::collection::vec("[xyz]", 0..3),
        category in prop::sample::select(&Category::ALL[..]),
        resource in "[ab_]{1,6}",
        group in prop::option::of(prop::sample::select(&["ops", "hr"][..])),
    ) {
        for (number, rule) in rules.iter_mut().enumerate() {
            rule.name = format!("g{number}");
        }
        let mut caller = Caller::new(Principal::Client("ci".into()));
        caller.groups.extend(group.map(str::to_owned));
        let connector = id(&connector);
        let granted = Granted { id: &connector, namespace: &namespace, labels: &labels };
        let expected = allowing(&caller, &rules, granted, category, &resource);
        let grants = CallerGrants::of(&caller, &rules);
        let found = grants.as_ref().ok().and_then(|grants| grants.allowing(granted, category, &resource));
        prop_assert_eq!(found.map(|rule| rule.name.as_str()), expected);
        // What opens something of a connector is about the connector: a list may leave the others out unasked.
        if let (Ok(grants), Some(found)) = (&grants, found) {
            prop_assert!(grants.concern(granted) && found.concerns(granted));
            let first = grants.opening(granted, category, &resource).next().map(|(rule, _)| rule.name.as_str());
            prop_assert_eq!(first, expected);
        }
    }

    #[test]
    fn no_text_becomes_a_pattern_that_means_something_else(text in "([ab*/:]|[\\[\\]{}!?\\\\]|\\PC|\\n){0,12}") {
        if let Ok(pattern) = Pattern::from_str(&text) {
            prop_assert_eq!(pattern.as_str(), &text);
            let beyond = |c: char| c.is_control() || "[]{}!?\\".contains(c);
            prop_assert!(!text.contains(beyond));
            let (connector, labels) = (id("ab"), ["a".to_owned()]);
            for category in Category::ALL {
                let wanted = Capability { connector: &connector, category, resource: "ab" };
                prop_assert_eq!(pattern.opens(wanted, &labels), opens(&text, wanted, &labels), "{} {}", text, wanted);
            }
        }
    }
}
