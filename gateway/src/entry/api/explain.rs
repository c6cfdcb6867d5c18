//! `POST /api/explain`: may somebody do this, by which Grant, and if not, why not. Whoever is not an admin asks about
//! themselves.

use super::{Answer, Asker, Body, ok};
use crate::error::Failure;
use crate::explain::{Question, explain};
use crate::state::State;
use aperium_core::capability::Category;
use aperium_core::grant::Subject;
use axum::Router;
use axum::routing::post;
use serde::Deserialize;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new().route("/api/explain", post(ask))
}

/// The question.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// For admins: whom it is about, as everything that a Grant could name them by: `user:alice@example.com`,
    /// `group:finance`. Without it, the caller.
    #[serde(default, rename = "as")]
    subjects: Vec<String>,
    /// The connector's id.
    connector: String,
    /// `tools`, `prompts`, `resources`, `templates` or `proxy`.
    category: String,
    /// The name or URI; nothing for the proxy.
    #[serde(default)]
    name: String,
}

/// The most subjects of one question.
const MAX_SUBJECTS: usize = 256;

async fn ask(asker: Asker, Body(asked): Body<Asked>) -> Answer {
    let admin = asker.view.is_admin();
    let subjects = match asked.subjects.as_slice() {
        [] => asker.view.identity().caller.subjects(),
        _ if !admin => return Err(Failure::NotAdmin.into()),
        texts if texts.len() > MAX_SUBJECTS => {
            return Err(Failure::Rejected(format!("`as` must hold at most {MAX_SUBJECTS} subjects")).into());
        }
        texts => others(texts)?,
    };
    let category = Category::ALL.into_iter().find(|category| category.as_str() == asked.category).ok_or_else(|| {
        Failure::Rejected("`category` must be tools, prompts, resources, templates or proxy".to_owned())
    })?;
    if (category == Category::Proxy) != asked.name.is_empty() {
        return Err(Failure::Rejected("`name` must be set, and only the category proxy has none".to_owned()).into());
    }
    let question = Question { subjects: &subjects, connector: &asked.connector, category, name: &asked.name };
    ok(&explain(&asker.snapshot, &question, admin))
}

/// Whoever is meant is an authenticated caller, whom `*` names as well.
fn others(texts: &[String]) -> Result<Vec<Subject>, Failure> {
    let parse = |text: &String| text.parse::<Subject>().map_err(|error| Failure::Rejected(format!("`as`: {error}")));
    std::iter::once(Ok(Subject::Anyone)).chain(texts.iter().map(parse)).collect()
}
