//! The API as an OpenAPI 3.1 document: made from the handlers themselves, so that no route is without its description.
//!
//! `docs/openapi.json` is the same, for readers without a gateway; a test keeps it up to date.

use super::{Answer, Asker, ok};
use crate::state::State;
use std::sync::{Arc, LazyLock};
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What is said of the API as a whole.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Aperium",
        description = "What the dashboard and the CLI ask of the gateway. Every error is `{\"error\": …, \"request_id\": …}`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "callers", description = "Who calls"),
        (name = "connectors", description = "What there is, and how it is"),
        (name = "credentials", description = "What a tenant's connectors authenticate with"),
        (name = "tenants", description = "Of whom anything is stored"),
        (name = "grants", description = "Who may use what"),
        (name = "audit", description = "What is on record"),
        (name = "configuration", description = "All of it as one document"),
        (name = "registration", description = "Servers that register themselves"),
        (name = "api", description = "This description")
    )
)]
struct Api;

static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(|| complete(super::areas().split_for_parts().1));

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(show))
}

#[utoipa::path(
    get, path = "/api/openapi.json", operation_id = "openapi", tag = "api", summary = "This document",
    responses((status = 200, description = "OpenAPI 3.1"))
)]
async fn show(_asker: Asker) -> Answer {
    ok(&*DOCUMENT)
}

/// What the handlers do not say: the title, the version, and that every route needs a token.
fn complete(handlers: OpenApi) -> OpenApi {
    let mut document = Api::openapi();
    document.merge(handlers);
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A static token, a token of an OIDC issuer or a ServiceAccount token. Under `aperium up` none is needed. \
             A browser that has signed in sends its session's cookie instead, and `X-CSRF-Token` with what changes something.",
        ))
        .build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    document.security = Some(vec![SecurityRequirement::new("bearer", Vec::<String>::new())]);
    document
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// To write it anew: `APERIUM_WRITE=1 cargo test --package aperium-gateway the_committed`.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a switch of this test alone")]
    fn the_committed_document_is_what_the_handlers_say() {
        let mut now = serde_json::to_string_pretty(&*DOCUMENT).unwrap();
        now.push('\n');
        let file = Path::new("../docs/openapi.json");
        if std::env::var_os("APERIUM_WRITE").is_some() {
            std::fs::write(file, &now).unwrap();
        }
        let committed = std::fs::read_to_string(file).unwrap_or_default();
        assert!(committed == now, "docs/openapi.json is not up to date: run this test with APERIUM_WRITE=1");
    }

    #[test]
    fn every_operation_says_what_it_answers_and_how_it_fails() {
        let document = serde_json::to_value(&*DOCUMENT).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let mut ids = std::collections::BTreeSet::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {path}");
                assert!(operation["summary"].is_string() && operation["tags"].is_array(), "{method} {path}");
                let responses = operation["responses"].as_object().unwrap();
                assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path}");
                assert!(path == "/api/openapi.json" || responses.contains_key("4XX"), "{method} {path}");
            }
        }
        assert!(ids.contains("putConnector") && ids.contains("registerServer"));
    }
}
