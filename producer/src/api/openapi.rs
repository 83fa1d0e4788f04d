//! The document that describes the interface.

use serde_json::Value;
use shared::task::TaskKind;
use utoipa::openapi::OpenApi;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoResponses, Modify};

use crate::definitions;
use shared::http::problem::{Problem, Wrong};

/// What is said of the interface as a whole.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Holdfast: commands",
        description = "Every change to Holdfast. A token is needed (`producer token create`): its role says what it may do. \
            Answers tell what is left of its pace in RateLimit headers. Errors are problem+json and name the field.",
        version = "1",
    ),
    components(schemas(JobSchema, TargetSchema, Problem, Wrong)),
    tags(
        (name = "jobs", description = "What is backed up, where its copies go, and which rules it must keep."),
        (name = "targets", description = "Places that hold copies."),
        (name = "tasks", description = "Have work done, and stop it."),
        (name = "dead tasks", description = "Decide about what will not be tried again by itself."),
        (name = "schedules", description = "Pause, resume and run what is enqueued again and again."),
        (name = "pools", description = "Tell pools of workers what to do while they run."),
        (name = "alerts", description = "Say that you know about what is wrong, or do not want to be told."),
        (name = "limits", description = "Limit what goes on, in the place of what the definitions say."),
    ),
    modifiers(&Bearer),
    security(("bearer" = [])),
)]
pub(super) struct Document;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut OpenApi) {
        let bearer =
            HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("hf_<id>_<secret>").build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(bearer));
    }
}

/// The document of all commands, as it is served.
pub(crate) fn whole() -> Value {
    let (_, described) = super::commands().split_for_parts();
    document(described)
}

/// The whole document as JSON: what the handlers say, with definitions as definition files have them.
pub(super) fn document(described: OpenApi) -> Value {
    let mut document = serde_json::to_value(described).unwrap_or_default();
    let Value::Object(mut file) = definitions::schema::schema().to_value() else { return document };
    let Some(Value::Object(definitions)) = file.remove("definitions") else { return document };
    let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) else {
        return document;
    };
    for (name, schema) in definitions {
        let mut schema = moved(schema);
        // The path names it already.
        if let ("Job" | "Target", Some(Value::Array(required))) = (&*name, schema.get_mut("required")) {
            required.retain(|field| field != "name");
        }
        schemas.insert(place(&name), schema);
    }
    document
}

/// What a schema of the definition file is called in the document.
fn place(name: &str) -> String {
    match name {
        "Job" | "Target" => format!("{name}Schema"),
        other => format!("Definition.{other}"),
    }
}

/// A schema whose references follow the schemas of the definition file to their new place.
fn moved(schema: Value) -> Value {
    match schema {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, value)| {
                match (&*key, value.as_str().and_then(|value| value.strip_prefix("#/definitions/"))) {
                    ("$ref", Some(name)) => {
                        (key, Value::from(format!("#/components/schemas/{}", place(name))))
                    }
                    _ => (key, moved(value)),
                }
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(moved).collect(),
        other => other,
    }
}

/// A job as definition files have it; [`document`] puts the schema in.
#[derive(utoipa::ToSchema)]
pub(super) struct JobSchema(Object);

/// A target as definition files have it; [`document`] puts the schema in.
#[derive(utoipa::ToSchema)]
pub(super) struct TargetSchema(Object);

#[derive(utoipa::ToSchema)]
struct Object {}

/// What any command may answer.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it only describes")]
pub(super) enum Refusals {
    /// What was sent cannot be read.
    #[response(status = 400, content_type = "application/problem+json")]
    Unreadable(Problem),
    /// No good token.
    #[response(status = 401, content_type = "application/problem+json")]
    NoToken(Problem),
    /// The token's role is not enough.
    #[response(status = 403, content_type = "application/problem+json")]
    NotAllowed(Problem),
    /// What it is about is not there.
    #[response(status = 404, content_type = "application/problem+json")]
    Missing(Problem),
    /// It cannot be done as things are.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// It was changed meanwhile, or is there already.
    #[response(status = 412, content_type = "application/problem+json")]
    Changed(Problem),
    /// Too large.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// Not JSON.
    #[response(status = 415, content_type = "application/problem+json")]
    NotJson(Problem),
    /// A field is wrong.
    #[response(status = 422, content_type = "application/problem+json")]
    Wrong(Problem),
    /// The change needs an If-Match.
    #[response(status = 428, content_type = "application/problem+json")]
    NoCondition(Problem),
    /// Too many requests; Retry-After says when to come again.
    #[response(status = 429, content_type = "application/problem+json")]
    TooMany(Problem),
    /// The database cannot be used now; Retry-After says when to come again.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

/// The kinds of tasks.
pub(super) fn kinds() -> Schema {
    words(TaskKind::ALL.iter().map(|kind| kind.as_str()))
}

/// One of some words.
pub(super) fn words(words: impl IntoIterator<Item = &'static str>) -> Schema {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words)).build().into()
}

/// One of some words, or nothing.
pub(super) fn words_or_null(words: impl IntoIterator<Item = &'static str>) -> Schema {
    let words = words.into_iter().map(Value::from).chain([Value::Null]);
    let types = SchemaType::from_iter([Type::String, Type::Null]);
    ObjectBuilder::new().schema_type(types).enum_values(Some(words)).build().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                into.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, into));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, into)),
            _ => {}
        }
    }

    #[test]
    fn the_document_has_all_that_it_refers_to_and_definitions_as_files_have_them() {
        let (_, described) = super::super::commands().split_for_parts();
        let document = document(described);
        let mut named = Vec::new();
        references(&document, &mut named);
        assert!(named.len() > 20, "{named:?}");
        for reference in named {
            let place = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(place).is_some_and(Value::is_object), "{reference} is not there");
        }
        let job = &document["components"]["schemas"]["JobSchema"];
        assert!(job["properties"]["rpo"].is_object(), "{job}");
        let required = job["required"].as_array().unwrap();
        assert!(required.contains(&"owner".into()) && !required.contains(&"name".into()), "{required:?}");
        assert!(document["components"]["schemas"]["TargetSchema"]["properties"]["media"].is_object());
    }
}
