//! Places, secrets, and where each of them may be → nothing, or a failed test that names what came out where.

use crate::bed::Bed;
use crate::places::{Kind, Place};
use aperium_tests::canary::{Canary, Scanner};
use std::collections::{BTreeMap, BTreeSet};

/// Whether a secret, by its name, belongs in a place.
pub(crate) type Home = fn(&Place, &str) -> bool;

const CONTROL: &str = "control";

/// The places of a program with files and a database.
pub(crate) const FILES: [Kind; 9] = [
    Kind::Output,
    Kind::Answer,
    Kind::Trace,
    Kind::Metrics,
    Kind::CommandLine,
    Kind::Environment,
    Kind::File,
    Kind::Pages,
    Kind::Upstream,
];

/// What a scan has found.
#[derive(Debug, Default)]
struct Findings {
    /// Secrets where they do not belong.
    out: BTreeSet<String>,
    /// Of each kind: places, bytes in them, and places with the control.
    seen: BTreeMap<Kind, (usize, usize, usize)>,
}

fn findings(places: &[Place], secrets: &[Canary], control: &str, home: Home) -> Findings {
    let control = Canary { name: CONTROL.to_owned(), value: control.into() };
    let scanner = Scanner::new(&[secrets, &[control]].concat());
    let mut findings = Findings::default();
    for place in places {
        let found = scanner.found(&place.bytes);
        let (places, bytes, controls) = findings.seen.entry(place.kind).or_default();
        *places += 1;
        *bytes += place.bytes.len();
        *controls += usize::from(found.contains(CONTROL));
        let wrong = found.into_iter().filter(|name| *name != CONTROL && !home(place, name));
        findings.out.extend(wrong.map(|name| format!("{:?} {}: {name}", place.kind, place.name)));
    }
    findings
}

/// Scans all that was seen. `secrets`: names that must have been planted.
///
/// # Panics
/// When a secret is where it does not belong, when a kind of place was not looked at or lacks the control, and when there
/// is one of another kind.
pub(crate) fn nothing_came_out(bed: &Bed, kinds: &[Kind], secrets: &[&str], home: Home) {
    let names = bed.planted.names();
    for name in secrets {
        assert!(names.contains(*name), "{name} was never planted: {names:?}");
    }
    let secrets = bed.planted.all();
    let Findings { out, seen } = findings(&bed.places.take(), &secrets, &bed.control, home);
    println!("{} secrets; kind of place: (places, bytes, with the control): {seen:?}", secrets.len());
    assert!(out.is_empty(), "secrets came out:\n{}", out.into_iter().collect::<Vec<_>>().join("\n"));
    for kind in kinds {
        let (places, bytes, controls) = seen.get(kind).copied().unwrap_or_default();
        assert!(places > 0 && bytes > 0 && controls > 0, "{kind:?} was not looked at: {seen:?}");
    }
    assert!(seen.keys().all(|kind| kinds.contains(kind)), "places that nobody expected: {seen:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_told_wherever_it_is_but_at_home_and_the_control_is_counted() {
        let place = |kind, name: &str, text: &str| Place { kind, name: name.to_owned(), bytes: text.into() };
        let secret = "C-a-secret-of-more-than-thirty-two-characters";
        let places = [
            place(Kind::Output, "log", &format!("{{\"message\":\"{secret}\"}}")),
            place(Kind::File, "secrets.yaml", secret),
            place(Kind::File, "other.yaml", secret),
            place(Kind::Pages, "database", "of the control: 0123456789abcdef"),
        ];
        let secrets = [Canary { name: "it".to_owned(), value: secret.into() }];
        let home: Home = |place, _| place.name == "secrets.yaml";
        let Findings { out, seen } = findings(&places, &secrets, "0123456789abcdef", home);
        assert_eq!(out.into_iter().collect::<Vec<_>>(), ["File other.yaml: it", "Output log: it"]);
        assert_eq!((seen[&Kind::File].0, seen[&Kind::Pages].2, seen[&Kind::Output].2), (2, 1, 0));
    }
}
