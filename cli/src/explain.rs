//! `aperium explain`: who may do something, by which Grant, and if not, why not. Asked of a running gateway, which knows
//! what its connectors offer, or of a folder, which knows its grants.

use crate::args::ExplainArgs;
use crate::remote;
use anyhow::{Context, anyhow, bail};
use aperium_gateway::explain::{Asked, of_resources};
use aperium_gateway::folder;
use serde_json::{Value, json};
use std::io::Write as _;

/// Prints the answer.
pub(crate) fn run(args: &ExplainArgs) -> anyhow::Result<()> {
    let answer = match (&args.folder, &args.url) {
        (_, Some(url)) => remote::post(url, args.token_file.as_deref(), "/api/explain", &question(args))?,
        (Some(path), None) => {
            let asked: Asked = serde_json::from_value(question(args)).context("the question")?;
            let resources = folder::load(path)?.resources;
            json!(of_resources(&resources, &asked).map_err(|problem| anyhow!(problem))?)
        }
        (None, None) => bail!("name a folder with --folder, or a running gateway with --url"),
    };
    let text = if args.json { format!("{answer:#}\n") } else { lines(&answer) };
    std::io::stdout().lock().write_all(text.as_bytes()).context("standard output is closed")
}

fn question(args: &ExplainArgs) -> Value {
    json!({
        "as": args.subjects, "connector": args.connector, "category": args.category,
        "name": args.name.as_deref().unwrap_or_default(),
    })
}

/// The answer for people.
fn lines(answer: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let verdict = if answer["allowed"] == true { "allowed" } else { "denied" };
    let mut out = format!("{verdict}: {}\n", text(&answer["message"]));
    let mut list = |title: &str, grants: &Value| {
        for by in grants.as_array().into_iter().flatten() {
            let subjects: Vec<String> = by["subjects"].as_array().into_iter().flatten().map(text).collect();
            let (grant, pattern) = (text(&by["grant"]), text(&by["pattern"]));
            out.push_str(&format!("  {title} {grant}: {pattern} for {}\n", subjects.join(", ")));
        }
    };
    list("by", &answer["grants"]);
    list("open to", &answer["everyone"]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_the_verdict_and_the_grants() {
        let by = json!({ "grant": "aperium-system/readers", "pattern": "odoo/tools/*", "subjects": ["client:ci"] });
        let answer =
            json!({ "allowed": true, "message": "odoo/tools/search is granted", "grants": [by], "everyone": [by] });
        assert_eq!(
            lines(&answer),
            "allowed: odoo/tools/search is granted\n  by aperium-system/readers: odoo/tools/* for client:ci\n  open to aperium-system/readers: odoo/tools/* for client:ci\n"
        );
    }

    #[test]
    fn a_folder_answers_without_a_gateway() {
        use clap::Parser as _;
        let folder = tempfile::tempdir().unwrap();
        let manifests = "apiVersion: aperium.dev/v1alpha1\nkind: Connector\nmetadata: {name: odoo}\nspec: {protocol: mcp, url: 'https://example.com'}\n---\napiVersion: aperium.dev/v1alpha1\nkind: Grant\nmetadata: {name: readers}\nspec: {subjects: ['group:sales'], connectors: ['odoo/tools/search_*']}\n";
        std::fs::write(folder.path().join("all.yaml"), manifests).unwrap();
        let ask = |extra: &[&str]| {
            let path = folder.path().to_str().unwrap();
            let mut line = vec!["aperium", "explain", "--folder", path, "--as", "group:sales"];
            line.extend(extra);
            let crate::args::Command::Explain(args) = crate::args::Args::try_parse_from(line).unwrap().command else {
                panic!("not explain")
            };
            let asked: Asked = serde_json::from_value(question(&args)).unwrap();
            of_resources(&folder::load(folder.path()).unwrap().resources, &asked).map(|answer| answer.message)
        };
        assert!(ask(&["odoo", "tools", "search_orders"]).unwrap().starts_with("odoo/tools/search_orders is granted"));
        assert_eq!(ask(&["odoo", "proxy"]).unwrap(), "no Grant of this caller opens odoo/proxy");
        assert_eq!(ask(&["hr", "tools", "x"]).unwrap(), "there is no connector \"hr\"");
        assert!(ask(&["odoo", "nonsense", "x"]).is_err());
    }
}
