//! Secrets and bytes → which of the secrets are in them.

use super::forms::forms;
use super::planted::Canary;
use std::collections::{BTreeSet, HashMap};

/// Looks for all forms of all secrets in one pass.
pub struct Scanner {
    /// Each form, and the name of its secret.
    forms: Vec<(Vec<u8>, String)>,
    /// Which pairs of bytes a form begins with: most places of most files are passed by with this alone.
    pairs: Vec<bool>,
    /// The forms by their first bytes.
    beginnings: HashMap<[u8; BEGINNING], Vec<usize>>,
}

const BEGINNING: usize = 8;

impl Scanner {
    /// For these.
    ///
    /// # Panics
    /// When one of them is too short to be told from other bytes.
    #[must_use]
    pub fn new(canaries: &[Canary]) -> Self {
        let mut scanner = Self { forms: Vec::new(), pairs: vec![false; 1 << 16], beginnings: HashMap::new() };
        for canary in canaries {
            for form in forms(&canary.value) {
                let beginning = *form.first_chunk::<BEGINNING>().expect("a form is longer than its beginning");
                scanner.pairs[pair(&form)] = true;
                scanner.beginnings.entry(beginning).or_default().push(scanner.forms.len());
                scanner.forms.push((form, canary.name.clone()));
            }
        }
        scanner
    }

    /// The names of the secrets that are in there.
    #[must_use]
    pub fn found(&self, bytes: &[u8]) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut at = 0;
        while at + BEGINNING <= bytes.len() {
            let rest = &bytes[at..];
            at += 1;
            if !self.pairs[pair(rest)] {
                continue;
            }
            let Some(forms) = rest.first_chunk::<BEGINNING>().and_then(|first| self.beginnings.get(first)) else {
                continue;
            };
            let here = forms.iter().map(|form| &self.forms[*form]).filter(|(form, _)| rest.starts_with(form));
            found.extend(here.map(|(_, name)| name.as_str()));
        }
        found
    }
}

fn pair(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    const SECRET: &str = "Cq9/+Zx~ab>?deFGhijKLmnoPQrstUVwxyz0123?";

    fn scanner() -> Scanner {
        Scanner::new(&[Canary { name: "it".to_owned(), value: SECRET.into() }])
    }

    #[test]
    fn a_secret_is_found_in_every_form_wherever_it_stands() {
        let scanner = scanner();
        let hex = |upper: bool| {
            let digits = |byte: u8| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
            SECRET.bytes().map(digits).collect::<String>()
        };
        let percent = SECRET.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        for text in [SECRET.to_owned(), hex(true), hex(false), percent] {
            for lead in 0..9 {
                let bytes = format!("{}{text} and more", "x".repeat(lead));
                assert_eq!(scanner.found(bytes.as_bytes()), BTreeSet::from(["it"]), "{bytes}");
            }
        }
        for lead in 0..9 {
            let plain = format!("{}{SECRET}!", "user:".repeat(lead) + &"x".repeat(lead));
            for text in [STANDARD.encode(&plain), URL_SAFE.encode(&plain)] {
                assert_eq!(scanner.found(text.as_bytes()), BTreeSet::from(["it"]), "{text}");
            }
        }
    }

    #[test]
    fn a_secret_that_is_cut_is_found_and_another_is_not() {
        let scanner = scanner();
        for cut in [&SECRET[..20], &SECRET[20..], &SECRET[5..]] {
            assert!(!scanner.found(cut.as_bytes()).is_empty(), "{cut}");
        }
        for other in ["", "Cq9", &SECRET[2..18], &SECRET.to_lowercase(), &"Cq9/".repeat(40)] {
            assert!(scanner.found(other.as_bytes()).is_empty(), "{other}");
        }
    }
}
