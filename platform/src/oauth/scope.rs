//! Which scopes are asked for (MCP 2026-07-28, scope selection). Pure.

use aperium_core::auth::check_scope;

/// Scopes of one request; further ones are not asked for.
const MAX_SCOPES: usize = 64;
/// What asks for a refresh token (OpenID Connect Core §11).
const OFFLINE: &str = "offline_access";

/// The scopes in a text, in order, each once; what is no scope is left out.
pub(super) fn parse(text: &str) -> Vec<String> {
    collect(text.split(' ').map(str::to_owned))
}

/// Those that are scopes, in order, each once.
pub(super) fn collect(scopes: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for scope in scopes {
        if kept.len() < MAX_SCOPES && check_scope(&scope).is_ok() && !kept.contains(&scope) {
            kept.push(scope);
        }
    }
    kept
}

/// What to ask for.
///
/// That is what an admin wrote, else what the upstream's challenge names, else what the resource says it supports, else
/// nothing, which leaves it to the server. `offline_access` is added where the server lists it.
#[must_use]
pub fn choose(configured: &[String], challenged: &[String], resource: &[String], server: &[String]) -> Vec<String> {
    let first = [configured, challenged, resource].into_iter().find(|scopes| !scopes.is_empty());
    let mut scopes = collect(first.into_iter().flatten().cloned());
    let refreshable = server.iter().any(|scope| scope == OFFLINE);
    if !scopes.is_empty() && refreshable {
        scopes = collect(scopes.into_iter().chain([OFFLINE.to_owned()]));
    }
    scopes
}

/// What was asked for before, and what a step-up names in addition: nobody loses what they had.
#[must_use]
pub fn union(before: &[String], more: &[String]) -> Vec<String> {
    collect(before.iter().chain(more).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        parse(text)
    }

    #[test]
    fn the_most_specific_word_counts() {
        let all = |configured: &str, challenged: &str, resource: &str, server: &str| {
            choose(&of(configured), &of(challenged), &of(resource), &of(server)).join(" ")
        };
        assert_eq!(all("own", "c", "r", ""), "own");
        assert_eq!(all("", "c1 c2", "r", ""), "c1 c2");
        assert_eq!(all("", "", "r", "r other"), "r");
        assert_eq!(all("", "", "", "offline_access x"), "", "the server's own default");
        assert_eq!(all("", "c", "", "offline_access"), "c offline_access");
        assert_eq!(all("", "offline_access", "", "offline_access"), "offline_access");
    }

    #[test]
    fn a_step_up_adds_and_never_takes_away() {
        assert_eq!(union(&of("a b"), &of("b c")), ["a", "b", "c"]);
        assert_eq!(parse("a a \" b\\ c").join(" "), "a c");
        assert_eq!(parse(&(0..200).map(|n| format!("s{n} ")).collect::<String>()).len(), MAX_SCOPES);
    }
}
