//! Pattern by capability: 544 cases, each written down, and each asked of the naive reading as well.

use super::*;

/// What the columns of [`MATRIX`] ask for: connector, category, name.
const WANTED: [(&str, Category, &str); 16] = [
    ("odoo", Category::Tools, "search"),
    ("odoo", Category::Tools, "search_orders"),
    ("odoo", Category::Tools, "create_order"),
    ("odoo", Category::Prompts, "search"),
    ("odoo", Category::Resources, "files://a"),
    ("odoo", Category::Resources, "files://a/b/c"),
    ("odoo", Category::Templates, "files://{path}"),
    ("odoo", Category::Proxy, ""),
    ("github", Category::Tools, "search"),
    ("github", Category::Resources, "files://a"),
    ("github", Category::Proxy, ""),
    ("googleworkspace", Category::Tools, "search"),
    ("googleworkspace", Category::Templates, "x"),
    ("googleworkspace", Category::Proxy, ""),
    ("odoo", Category::Tools, "proxy"),
    ("Odoo", Category::Tools, "search"),
];

/// A pattern, and for each column whether it is opened.
const MATRIX: [(&str, &str); 34] = [
    ("**", "1111111111111111"),
    ("odoo/**", "1111111100000010"),
    ("odoo/*/*", "1111111000000010"),
    ("odoo/tools/*", "1110000000000010"),
    ("odoo/tools/**", "1110000000000010"),
    ("odoo/tools/search", "1000000000000000"),
    ("odoo/tools/search*", "1100000000000000"),
    ("odoo/tools/*order*", "0110000000000000"),
    ("odoo/tools/*_*", "0110000000000000"),
    ("odoo/tools/s*h", "1000000000000000"),
    ("odoo/*/search", "1001000000000000"),
    ("odoo/prompts/*", "0001000000000000"),
    ("odoo/resources/*", "0000110000000000"),
    ("odoo/resources/files://a", "0000100000000000"),
    ("odoo/resources/files://a/*", "0000010000000000"),
    ("odoo/resources/files://a/**", "0000010000000000"),
    ("odoo/resources/*/c", "0000010000000000"),
    ("odoo/resources/files://**", "0000110000000000"),
    ("odoo/templates/*", "0000001000000000"),
    ("odoo/proxy", "0000000100000000"),
    ("github/proxy", "0000000000100000"),
    ("*/proxy", "0000000100100100"),
    ("*/tools/search", "1000000010010001"),
    ("*/**", "1111111111111111"),
    ("o*/tools/*", "1110000000000010"),
    ("*o*/tools/search", "1000000000010001"),
    ("goo*/**", "0000000000011100"),
    ("label:erp", "1111111100011110"),
    ("label:dev", "0000000011100000"),
    ("label:mail", "0000000000011100"),
    ("label:none", "0000000000000000"),
    ("Odoo/**", "0000000000000001"),
    ("ODOO/tools/*", "0000000000000000"),
    ("odoo/tools/proxy", "0000000000000010"),
];

fn labels_of(connector: &str) -> Vec<String> {
    let labels: &[&str] = match connector {
        "odoo" => &["erp"],
        "github" => &["dev"],
        "googleworkspace" => &["erp", "mail"],
        _ => &[],
    };
    labels.iter().map(|label| (*label).to_owned()).collect()
}

#[test]
fn every_pattern_opens_exactly_what_the_list_says() {
    let mut cases = 0;
    for (text, row) in MATRIX {
        let pattern = Pattern::from_str(text).unwrap();
        for ((connector, category, resource), expected) in WANTED.into_iter().zip(row.chars()) {
            let connector = id(connector);
            let labels = labels_of(connector.as_str());
            let wanted = Capability { connector: &connector, category, resource };
            assert_eq!(pattern.opens(wanted, &labels), expected == '1', "{text} {wanted}");
            assert_eq!(naive::opens(text, wanted, &labels), expected == '1', "the naive reading: {text} {wanted}");
            cases += 1;
        }
    }
    assert_eq!(cases, 544);
}

/// Who the columns of [`SUBJECTS`] are.
fn callers() -> [Caller; 6] {
    let with = |principal, groups: &[&str], tags: &[&str], tenant: Option<&str>| {
        let mut caller = Caller::new(principal);
        caller.groups = groups.iter().map(|group| (*group).to_owned()).collect();
        caller.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        caller.tenant = tenant.map(|tenant| TenantId::parse(tenant).unwrap());
        caller
    };
    let account = |name: &str| Principal::ServiceAccount { namespace: "apps".into(), name: name.into() };
    [
        with(Principal::Client("ci".into()), &["ops"], &["nightly"], Some("acme")),
        with(Principal::Client("ops".into()), &[], &["ci"], None),
        with(account("backend"), &[], &[], Some("acme")),
        with(account("ci"), &["ops", "hr"], &[], Some("other")),
        with(Principal::Loopback, &[], &[], None),
        with(Principal::Client("(loopback)".into()), &["*"], &[], None),
    ]
}

const SUBJECTS: [(&str, &str); 14] = [
    ("*", "111111"),
    ("(loopback)", "000010"),
    ("client:ci", "100000"),
    ("client:ops", "010000"),
    ("client:(loopback)", "000001"),
    ("group:ops", "100100"),
    ("group:hr", "000100"),
    ("group:*", "000001"),
    ("tag:nightly", "100000"),
    ("tag:ci", "010000"),
    ("tenant:acme", "101000"),
    ("serviceaccount:apps:backend", "001000"),
    ("serviceaccount:apps:ci", "000100"),
    // Nobody is known by an e-mail address yet.
    ("user:ci", "000000"),
];

#[test]
fn every_subject_is_exactly_the_callers_of_the_list() {
    for (text, row) in SUBJECTS {
        let subject = Subject::from_str(text).unwrap();
        for (caller, expected) in callers().iter().zip(row.chars()) {
            assert_eq!(subject.is(caller), expected == '1', "{text} {caller:?}");
        }
    }
}
