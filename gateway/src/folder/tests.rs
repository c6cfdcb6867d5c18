use super::*;
use secrecy::ExposeSecret as _;

fn folder(files: &[(&str, &str)]) -> Result<Folder, String> {
    let path = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(path.path().join(name), text).unwrap();
    }
    load(path.path()).map_err(|error| error.to_string())
}

const ODOO: &str = "apiVersion: aperium.dev/v1alpha1\nkind: Connector\nmetadata: {name: odoo}\nspec: {protocol: mcp, url: 'https://example.com/mcp'}\n";
const GRANT: &str = "apiVersion: aperium.dev/v1alpha1\nkind: Grant\nmetadata: {name: all}\nspec: {subjects: ['*'], connectors: ['**']}\n";
const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: s, labels: {'connector.aperium.dev/odoo': 'true'}}\nstringData: {a: hunter2}\ndata: {b: aHVudGVyMw==}\n";

#[test]
fn connectors_grants_and_secrets_are_read_from_all_files() {
    let both = format!("{GRANT}---\n{SECRET}");
    let folder = folder(&[
        ("a.yaml", ODOO),
        ("b.yml", &both),
        ("c.txt", "nonsense"),
        (".hidden.yaml", "x: ["),
        ("settings.yaml", "limits: {}"),
    ])
    .unwrap();
    assert_eq!((folder.resources.connectors.len(), folder.resources.grants.len()), (1, 1));
    let secret = &folder.secrets["s"];
    assert_eq!((secret.data["a"].expose_secret(), secret.data["b"].expose_secret()), ("hunter2", "hunter3"));
    assert_eq!(secret.labels["connector.aperium.dev/odoo"], "true");
    assert!(!format!("{folder:?}").contains("hunter"));
}

#[test]
fn every_fault_is_one_line_with_file_and_field() {
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);
    let cases: Vec<Case<'_>> = vec![
        (&[("a.yaml", "a: [")], &["a.yaml"]),
        (&[("a.yaml", "x: 1")], &["a.yaml", "kind"]),
        (&[("a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}")], &["a.yaml", "ConfigMap"]),
        (&[("a.yaml", ODOO), ("b.yaml", ODOO)], &["b.yaml", "odoo", "a.yaml"]),
    ];
    for (files, expected) in cases {
        let error = folder(files).unwrap_err();
        assert!(!error.contains('\n'), "{error}");
        for part in expected {
            assert!(error.contains(part), "{error} lacks {part}");
        }
    }
    let unknown = ODOO.replace("protocol: mcp", "protocol: mcp, protcol: x");
    let error = folder(&[("a.yaml", &unknown)]).unwrap_err();
    assert!(error.contains("spec.protcol") && error.contains("a.yaml"), "{error}");
    let reserved = ODOO.replace("name: odoo", "name: tailscale");
    assert!(folder(&[("a.yaml", &reserved)]).unwrap_err().contains("reserved"));
    let malformed = GRANT.replace("'**'", "'odoo/nonsense/x'");
    assert!(folder(&[("a.yaml", &malformed)]).unwrap_err().contains("spec.connectors"));
}

#[test]
fn m2_two_connectors_may_not_share_an_id_in_any_case() {
    let other = ODOO.replace("name: odoo", "name: other").replace("protocol: mcp", "protocol: mcp, id: ODOO");
    let error = folder(&[("a.yaml", ODOO), ("b.yaml", &other)]).unwrap_err();
    assert!(error.contains("\"ODOO\"") && error.contains("a.yaml"), "{error}");
}

#[test]
fn a_bad_secret_is_named_and_never_quoted() {
    let cases = [
        (SECRET.replace("a: hunter2", "a: 4711"), "stringData.a"),
        (SECRET.replace("aHVudGVyMw==", "'%%hunter3%%'"), "data.b"),
        (SECRET.replace("stringData: {a: hunter2}", "stringData: hunter2"), ""),
        (SECRET.replace("stringData", "stringdata"), "stringdata"),
    ];
    for (text, field) in cases {
        let error = folder(&[("a.yaml", &text)]).unwrap_err();
        assert!(error.contains(field) && !error.contains("hunter") && !error.contains("4711"), "{error}");
    }
}
