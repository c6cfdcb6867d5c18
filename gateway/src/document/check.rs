//! What the sections of a document say together → findings: ids in both sections, grants that point nowhere, nobody
//! who may manage the gateway, addresses that no request may reach.

use super::finding::{Findings, Severity};
use super::read::Sections;
use super::read::grants::{Capability, DEPRECATED};
use super::read::servers::{Section, Server};
use aperium_core::egress::{EgressRules, HostPort, Reach, Refusal};
use aperium_core::id::ConnectorId;
use std::collections::HashMap;
use url::{Host, Url};

/// Finds it all. Without `egress` addresses are not judged.
pub(super) fn check(sections: &mut Sections, egress: Option<&EgressRules>, findings: &mut Findings<'_>) {
    ids(sections, findings);
    for server in &mut sections.servers {
        server.url = server.url.take().filter(|url| usable_url(server.id.as_str(), url, server, egress, findings));
    }
    patterns(sections, findings);
    overall(sections, findings);
}

/// An id is taken once, in both sections together and without regard to case.
fn ids(sections: &mut Sections, findings: &mut Findings<'_>) {
    let mut taken: HashMap<String, (String, Section)> = HashMap::new();
    sections.servers.retain(|server| {
        let id = server.id.as_str();
        let Some((first, section)) = taken.insert(server.id.key(), (id.to_owned(), server.section)) else {
            return true;
        };
        let message = if section != server.section {
            format!("server ID \"{id}\" is defined in both 'mcp.servers' and 'connectors.servers'")
        } else {
            format!("server IDs \"{first}\" and \"{id}\" differ only in case")
        };
        findings.add(Severity::Error, server.at, &server.path, message);
        false
    });
}

/// Whether requests may go there, as far as the text says it.
fn usable_url(
    id: &str,
    text: &str,
    server: &Server,
    egress: Option<&EgressRules>,
    findings: &mut Findings<'_>,
) -> bool {
    let path = server.path.key("url");
    let mut warn = |message: String| {
        findings.add(Severity::Warning, server.at, &path, message);
        false
    };
    let parsed = Url::parse(text);
    if let Ok(url) = &parsed
        && !(url.username().is_empty() && url.password().is_none() && url.fragment().is_none())
    {
        return warn(format!("connector {id}: url must hold neither user information nor a fragment"));
    }
    let shown: String = text.chars().filter(|c| !c.is_control()).take(256).collect();
    let url = match parsed {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => url,
        Err(error) if text.starts_with("http://") || text.starts_with("https://") => {
            return warn(format!("connector {id}: url is malformed: {error}"));
        }
        // What may be a password before an '@' is not shown.
        _ if text.contains('@') => {
            return warn(format!("connector {id} has invalid URL scheme (must be http:// or https://)"));
        }
        _ => return warn(format!("connector {id} has invalid URL scheme (must be http:// or https://): {shown}")),
    };
    match egress.and_then(|rules| blocked(rules, &url)) {
        Some(refusal) => warn(format!("connector {id}: url {shown} resolves to a blocked address ({refusal})")),
        None => true,
    }
}

/// Judges a literal address, or a name by its form; what a name resolves to is judged when a connection is made.
fn blocked(rules: &EgressRules, url: &Url) -> Option<Refusal> {
    let port = url.port_or_known_default()?;
    let target = match url.host()? {
        Host::Ipv4(ip) => HostPort::ip(ip.into(), port),
        Host::Ipv6(ip) => HostPort::ip(ip.into(), port),
        Host::Domain(name) => HostPort::new(name, port).ok()?,
    };
    let named = rules.judge_name(Reach::Admin, &target).err();
    named.or_else(|| rules.judge_address(Reach::Admin, &target, target.address()?).err())
}

/// Patterns that name a connector or label that is not there.
fn patterns(sections: &Sections, findings: &mut Findings<'_>) {
    let labels: Vec<&str> = sections.servers.iter().flat_map(|server| &server.labels).map(String::as_str).collect();
    for capability in sections.grants.iter().flat_map(|entry| &entry.capabilities) {
        for (at, pattern) in &capability.connectors {
            let path = capability.path.key("connectors");
            if let Some(label) = pattern.strip_prefix("label:") {
                // The built-in connector carries it.
                if label != "system" && !labels.contains(&label) {
                    let message = format!("connectors pattern \"{pattern}\" matches no connector");
                    findings.add(Severity::Warning, *at, &path, message);
                }
            } else if let Some(id) = pattern.split('/').next().filter(|id| !names_one(sections, id)) {
                let message = format!(
                    "connectors pattern \"{pattern}\" references connector \"{id}\" which does not match any declared connector"
                );
                findings.add(Severity::Warning, *at, &path, message);
            }
        }
        deprecated(sections, capability, findings);
    }
}

fn deprecated(sections: &Sections, capability: &Capability, findings: &mut Findings<'_>) {
    for (field, entries) in DEPRECATED.iter().zip(&capability.deprecated) {
        for (at, pattern) in entries {
            let id = pattern.split('/').next().unwrap_or_default();
            if !names_one(sections, id) {
                let message = format!(
                    "{field} pattern \"{pattern}\" references server \"{id}\" which does not match any declared MCP server"
                );
                findings.add(Severity::Warning, *at, &capability.path.key(field), message);
            }
        }
    }
}

/// Whether an id, which may hold wildcards, is that of a declared, built-in or possibly registered connector.
fn names_one(sections: &Sections, id: &str) -> bool {
    if id.contains('*') && id.trim_matches('*').is_empty() || id == "aperture" {
        return true;
    }
    let registered = id.strip_prefix("auto").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit() || b == b'*'));
    if sections.accept_registrations && registered {
        return true;
    }
    let Ok(pattern) = format!("{id}/**").parse::<aperium_core::grant::Pattern>() else { return false };
    let mut declared = sections.declared.iter().filter_map(|key| ConnectorId::any(key).ok());
    declared.any(|id| pattern.concerns(&id, &[]))
}

/// What is missing altogether.
fn overall(sections: &Sections, findings: &mut Findings<'_>) {
    let announced = sections.connectors_flag || sections.accept_registrations;
    if !sections.providers && sections.declared.is_empty() && !announced {
        findings.whole(
            Severity::Warning,
            "no providers or mcp servers defined; users will not be able to access any models",
        );
    }
    if sections.providers && sections.grants.is_empty() && !sections.temp_grants {
        findings.whole(
            Severity::Warning,
            "providers are configured but no grants or temp_grants defined; all access will be denied",
        );
    }
    let admin = |capability: &Capability| capability.role.as_deref() == Some("admin");
    if !sections.grants.iter().any(|entry| entry.capabilities.iter().any(admin)) {
        findings.whole(
            Severity::Warning,
            "no grant in grants or temp_grants assigns role:admin; nobody will be able to manage this instance",
        );
    }
}
