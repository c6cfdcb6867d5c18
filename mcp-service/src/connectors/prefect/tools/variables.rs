//! Variables: small values that flows and deployments read.

use aperium_core::effect::Effect;
use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::connector::{Args, ErrorCode, Items, Text, ToolError, Upstream};
use crate::connectors::prefect::address::Endpoint;
use crate::connectors::prefect::args::Id;
use crate::connectors::prefect::client::Client;

/// The largest value, in characters of JSON (Prefect, `MAX_VARIABLE_VALUE_LENGTH`).
const MAX_VALUE: usize = 5000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct SetVariable {
    /// Its name: lowercase letters, digits, dashes and underscores.
    name: Text<255>,
    /// Its new value: any JSON of up to 5000 characters.
    value: Value,
    /// Its new tags; those it has stay when this is left out.
    #[serde(default)]
    tags: Option<Items<Text<255>, 20>>,
}

impl Args for SetVariable {
    fn check(&self) -> Result<(), ToolError> {
        let name_fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if !self.name.chars().all(name_fits) {
            return Err(ToolError::invalid(
                "\"name\" may hold lowercase letters, digits, dashes and underscores alone",
            ));
        }
        if self.value.to_string().chars().count() > MAX_VALUE {
            return Err(ToolError::invalid(format!("\"value\" is longer than {MAX_VALUE} characters")));
        }
        Ok(())
    }
}

/// The variable that was set.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Set {
    id: Id,
    name: String,
    /// Whether there was none of this name before.
    created: bool,
}

/// A variable that Prefect has; its old value does not matter.
#[derive(Deserialize)]
struct Variable {
    id: Id,
    name: String,
}

#[derive(Serialize)]
struct NewVariable<'a> {
    name: &'a str,
    value: &'a Value,
    tags: &'a [Text<255>],
}

#[derive(Serialize)]
struct NewValue<'a> {
    value: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a [Text<255>]>,
}

/// Gives a variable a value; makes it when there is none of this name.
pub(in super::super) async fn set_variable(up: &Upstream, args: SetVariable) -> Result<Set, ToolError> {
    let client = Client::of(up).await?;
    let by_name = Endpoint::new("/variables/name").name(&args.name)?;
    let existing: Option<Variable> = match client.get(&by_name).await {
        Ok(variable) => Some(variable),
        Err(error) if error.code == ErrorCode::NotFound => None,
        Err(error) => return Err(error),
    };
    // One request that changes something, whichever it is; who loses a race is told so (`not_found`, `conflict`).
    match existing {
        Some(Variable { id, name }) => {
            let body = NewValue { value: &args.value, tags: args.tags.as_deref() };
            let endpoint = Endpoint::new("/variables").id(&id);
            client.change(Method::PATCH, &endpoint, Some(&body), Effect::Destructive).await?;
            Ok(Set { id, name, created: false })
        }
        None => {
            let tags = args.tags.as_deref().unwrap_or_default();
            let body = NewVariable { name: &args.name, value: &args.value, tags };
            let reply = client.change(Method::POST, &Endpoint::new("/variables/"), Some(&body), Effect::Write).await?;
            let Variable { id, name } = reply.json()?;
            Ok(Set { id, name, created: true })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_and_values_that_prefect_would_refuse_are_refused_here() {
        let check = |value| serde_json::from_value::<SetVariable>(value).unwrap().check();
        assert!(check(json!({"name": "batch-size_2", "value": null})).is_ok());
        for wrong in [
            json!({"name": "Batch", "value": 1}),
            json!({"name": "../x", "value": 1}),
            json!({"name": "a b", "value": 1}),
        ] {
            assert!(check(wrong).is_err());
        }
        assert!(check(json!({"name": "a", "value": "x".repeat(4998)})).is_ok());
        assert!(check(json!({"name": "a", "value": "x".repeat(4999)})).is_err());
        assert!(serde_json::from_value::<SetVariable>(json!({"name": "a"})).is_err(), "a value must be given");
    }
}
