//! One tool: a name, two schemas, an effect and a handler; raw JSON arguments come in, raw JSON results go out.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use aperium_core::effect::Effect;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::ToolError;
use super::upstream::Upstream;

/// Arguments of a tool: `#[derive(Deserialize, JsonSchema)]` with `#[serde(deny_unknown_fields)]`.
///
/// Limits belong into the field types ([`super::Count`], [`super::Text`], [`super::Items`]) and, where they concern
/// several fields, into [`Args::check`]: the schema promises them to the caller, nobody else enforces them.
pub trait Args: DeserializeOwned + JsonSchema + Send + 'static {
    /// Checks what a single field cannot.
    ///
    /// # Errors
    /// `invalid_argument` that names the field.
    fn check(&self) -> Result<(), ToolError> {
        Ok(())
    }
}

/// For tools without arguments.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoArgs {}

impl Args for NoArgs {}

/// A plain `async fn(&Upstream, A) -> Result<O, ToolError>`; never implemented by hand.
pub trait Handler<'a, A, O>: Send + Sync {
    /// What the function returns.
    type Answer: Future<Output = Result<O, ToolError>> + Send + 'a;

    /// Calls the function.
    fn invoke(&self, up: &'a Upstream, args: A) -> Self::Answer;
}

impl<'a, A, O, F, R> Handler<'a, A, O> for F
where
    F: Fn(&'a Upstream, A) -> R + Send + Sync,
    R: Future<Output = Result<O, ToolError>> + Send + 'a,
{
    type Answer = R;

    fn invoke(&self, up: &'a Upstream, args: A) -> R {
        self(up, args)
    }
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Value, ToolError>> + Send + 'a>>;

/// The handler with its types erased: raw arguments in, raw result out.
trait Call: Send + Sync {
    fn call<'a>(&'a self, up: &'a Upstream, args: Value) -> Answer<'a>;
    fn accepts(&self, args: Value) -> Result<(), ToolError>;
}

struct Typed<A, O, H> {
    handler: H,
    types: std::marker::PhantomData<fn(A) -> O>,
}

impl<A, O, H> Call for Typed<A, O, H>
where
    A: Args,
    O: Serialize + Send + 'static,
    H: for<'a> Handler<'a, A, O> + 'static,
{
    fn call<'a>(&'a self, up: &'a Upstream, args: Value) -> Answer<'a> {
        Box::pin(async move {
            let output = self.handler.invoke(up, read_args::<A>(args)?).await?;
            serde_json::to_value(output).map_err(|_| ToolError::upstream("the result could not be written as JSON"))
        })
    }

    fn accepts(&self, args: Value) -> Result<(), ToolError> {
        read_args::<A>(args).map(|_| ())
    }
}

fn read_args<A: Args>(args: Value) -> Result<A, ToolError> {
    // A derived struct would also read an array, field by field.
    if !args.is_object() {
        return Err(ToolError::invalid("the arguments are not an object"));
    }
    let parsed: A = serde_json::from_value(args).map_err(|error| ToolError::invalid(error.to_string()))?;
    parsed.check()?;
    Ok(parsed)
}

type Condition = Arc<dyn Fn(&Upstream) -> bool + Send + Sync>;

/// One tool of a connector.
#[derive(Clone)]
pub struct Tool {
    name: &'static str,
    title: &'static str,
    description: &'static str,
    effect: Effect,
    input: Arc<Map<String, Value>>,
    output: Arc<Map<String, Value>>,
    example: Option<Value>,
    condition: Option<Condition>,
    call: Arc<dyn Call>,
}

impl Tool {
    /// A tool that changes nothing.
    pub fn read<A, O, H>(name: &'static str, title: &'static str, description: &'static str, handler: H) -> Self
    where
        A: Args,
        O: Serialize + JsonSchema + Send + 'static,
        H: for<'a> Handler<'a, A, O> + 'static,
    {
        Self::with_effect(Effect::Read, name, title, description, handler)
    }

    /// A tool that changes something, and the same call twice has the effect of one.
    pub fn idempotent_write<A, O, H>(
        name: &'static str,
        title: &'static str,
        description: &'static str,
        handler: H,
    ) -> Self
    where
        A: Args,
        O: Serialize + JsonSchema + Send + 'static,
        H: for<'a> Handler<'a, A, O> + 'static,
    {
        Self::with_effect(Effect::IdempotentWrite, name, title, description, handler)
    }

    /// A tool that adds or changes something.
    pub fn write<A, O, H>(name: &'static str, title: &'static str, description: &'static str, handler: H) -> Self
    where
        A: Args,
        O: Serialize + JsonSchema + Send + 'static,
        H: for<'a> Handler<'a, A, O> + 'static,
    {
        Self::with_effect(Effect::Write, name, title, description, handler)
    }

    /// A tool that deletes or overwrites something.
    pub fn destructive<A, O, H>(name: &'static str, title: &'static str, description: &'static str, handler: H) -> Self
    where
        A: Args,
        O: Serialize + JsonSchema + Send + 'static,
        H: for<'a> Handler<'a, A, O> + 'static,
    {
        Self::with_effect(Effect::Destructive, name, title, description, handler)
    }

    fn with_effect<A, O, H>(
        effect: Effect,
        name: &'static str,
        title: &'static str,
        description: &'static str,
        handler: H,
    ) -> Self
    where
        A: Args,
        O: Serialize + JsonSchema + Send + 'static,
        H: for<'a> Handler<'a, A, O> + 'static,
    {
        Self {
            name,
            title,
            description,
            effect,
            input: Arc::new(schema_of::<A>()),
            output: Arc::new(schema_of::<O>()),
            example: None,
            condition: None,
            call: Arc::new(Typed { handler, types: std::marker::PhantomData }),
        }
    }

    /// Arguments that are accepted as they stand; every tool needs one (the conformance test checks it).
    #[must_use]
    pub fn example(mut self, arguments: Value) -> Self {
        self.example = Some(arguments);
        self
    }

    /// Lists the tool only while the condition holds, such as a second switch in the settings:
    /// `.when(|up| up.settings::<Settings>().is_ok_and(|s| s.allow_execute_statement))`.
    #[must_use]
    pub fn when(mut self, condition: impl Fn(&Upstream) -> bool + Send + Sync + 'static) -> Self {
        self.condition = Some(Arc::new(condition));
        self
    }

    /// The full name, connector prefix included.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The name for people.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.title
    }

    /// What it does, for agents.
    #[must_use]
    pub fn description(&self) -> &'static str {
        self.description
    }

    /// What it does to the upstream.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// The schema of its arguments: one object, no `$ref`.
    #[must_use]
    pub fn input_schema(&self) -> Arc<Map<String, Value>> {
        Arc::clone(&self.input)
    }

    /// The schema of its result: one object, no `$ref`.
    #[must_use]
    pub fn output_schema(&self) -> Arc<Map<String, Value>> {
        Arc::clone(&self.output)
    }

    /// The example arguments.
    #[must_use]
    pub fn example_arguments(&self) -> Option<&Value> {
        self.example.as_ref()
    }

    /// Whether the settings that `up` is bound to want this tool.
    #[must_use]
    pub fn applies(&self, up: &Upstream) -> bool {
        self.condition.as_ref().is_none_or(|condition| condition(up))
    }

    /// Whether the arguments would be accepted; nothing is called.
    ///
    /// # Errors
    /// `invalid_argument` with the reason.
    pub fn accepts(&self, arguments: Value) -> Result<(), ToolError> {
        self.call.accepts(arguments)
    }

    /// Runs the tool once.
    ///
    /// # Errors
    /// `invalid_argument` when the arguments do not fit, else what the handler says.
    pub async fn call(&self, up: &Upstream, arguments: Value) -> Result<Value, ToolError> {
        self.call.call(up, arguments).await
    }
}

impl std::fmt::Debug for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tool").field("name", &self.name).field("effect", &self.effect).finish_non_exhaustive()
    }
}

/// The schema of a type, with everything inline: many clients do not follow `$ref`.
pub(crate) fn schema_of<T: JsonSchema>() -> Map<String, Value> {
    let generator = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true).into_generator();
    let mut schema = match generator.into_root_schema_for::<T>().to_value() {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    schema.remove("$schema");
    schema.remove("title");
    schema.remove("description");
    // Some clients insist on `properties` even where there are none.
    if schema.get("type").and_then(Value::as_str) == Some("object") && !schema.contains_key("properties") {
        schema.insert("properties".to_owned(), Value::Object(Map::new()));
    }
    schema
}
