//! The wire contract as JSON Schema, for those who publish.
//!
//! What fields there are comes from the types that are read and written. The reader itself is written by hand, so that a refusal
//! can say what is wrong; tests hold the two against each other. A schema cannot count bytes: what it lets through can still
//! be too long.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::{MAX_TASKS, TaskMessage, VERSION};
use crate::job::JobName;
use crate::task::TaskKind;
use crate::work::{
    CopyParams, ForgetParams, ProbeParams, RecordParams, ReportParams, RestoreParams, VerifyParams,
};

/// A format is a note in JSON Schema: a pattern is checked by everybody.
const PATTERNS: [(&str, &str); 3] = [
    ("uuid", "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$"),
    ("date-time", r"^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$"),
    ("date", r"^\d{4}-\d{2}-\d{2}$"),
];

/// The schema of a message's body, in JSON Schema of 2020-12.
#[must_use]
pub fn message() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = body(&mut generator);
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("$defs".to_owned(), definitions(&mut generator).into());
    schema.to_value()
}

/// The schema of a message's body and those that it refers to, by names that stand below `/components/schemas`, in JSON Schema
/// of draft 7: as AsyncAPI has them.
#[must_use]
pub fn components() -> (Value, Map<String, Value>) {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
    });
    let mut generator = settings.into_generator();
    let body = body(&mut generator);
    (body.to_value(), definitions(&mut generator))
}

fn definitions(generator: &mut SchemaGenerator) -> Map<String, Value> {
    let definitions = generator.take_definitions(true);
    let with_patterns = |(name, mut schema): (String, Value)| {
        if let Ok(schema) = (&mut schema).try_into() {
            RecursiveTransform(add_pattern).transform(schema);
        }
        (name, schema)
    };
    definitions.into_iter().map(with_patterns).collect()
}

fn add_pattern(schema: &mut Schema) {
    let format = schema.get("format").and_then(Value::as_str);
    let pattern = PATTERNS.iter().find(|(name, _)| Some(*name) == format);
    if let Some((_, pattern)) = pattern {
        schema.insert("pattern".to_owned(), json!(pattern));
    }
}

/// One task, or many.
fn body(generator: &mut SchemaGenerator) -> Schema {
    let task = task(generator);
    let reference = json!({ "$ref": format!("#{}/Task", generator.settings().definitions_path) });
    generator.definitions_mut().insert("Task".to_owned(), task.to_value());
    let version = json!({ "const": VERSION, "description": "The version of this contract." });
    json_schema!({
        "title": "Message",
        "description": "The body of a message to the exchange holdfast.tasks: one task, or up to 500 of one kind and priority. \
            At most 256 KiB. Fields that are not named are ignored.",
        "oneOf": [
            {
                "title": "One task",
                "allOf": [reference],
                "required": ["version"],
                "not": { "required": ["tasks"] },
            },
            {
                "title": "Many tasks",
                "type": "object",
                "properties": {
                    "version": version,
                    "tasks": { "type": "array", "items": reference, "minItems": 1, "maxItems": MAX_TASKS },
                },
                "required": ["version", "tasks"],
            },
        ],
    })
}

fn task(generator: &mut SchemaGenerator) -> Schema {
    let mut task = TaskMessage::json_schema(generator);
    let kinds: Vec<Value> = TaskKind::ALL.iter().filter_map(|kind| of_kind(*kind, generator)).collect();
    task.insert("required".to_owned(), json!(["id", "kind"]));
    task.insert("oneOf".to_owned(), kinds.into());
    if let Some(version) = task.pointer_mut("/properties/version") {
        *version = json!({ "const": VERSION, "description": version["description"] });
    }
    task
}

/// What a kind asks for beside what all do; `None` for those that are not for others.
fn of_kind(kind: TaskKind, generator: &mut SchemaGenerator) -> Option<Value> {
    let (params, required) = match kind {
        // Whatever it holds is ignored.
        TaskKind::Backup => (None, false),
        TaskKind::Copy => (Some(generator.subschema_for::<CopyParams>()), true),
        TaskKind::Verify => (Some(generator.subschema_for::<VerifyParams>()), true),
        TaskKind::Restore => (Some(generator.subschema_for::<RestoreParams>()), true),
        TaskKind::Probe => (Some(generator.subschema_for::<ProbeParams>()), true),
        TaskKind::Report => (Some(generator.subschema_for::<Option<ReportParams>>()), false),
        TaskKind::Forget => (Some(generator.subschema_for::<ForgetParams>()), true),
        TaskKind::Record => (Some(generator.subschema_for::<RecordParams>()), true),
        TaskKind::Maintain => return None,
    };
    let job = if kind.needs_job() {
        generator.subschema_for::<JobName>().to_value()
    } else {
        json!({ "type": "null" })
    };
    let mut properties = json!({ "kind": { "const": kind }, "job": job });
    if let Some(params) = params {
        properties["params"] = params.to_value();
    }
    let required = [("job", kind.needs_job()), ("params", required)];
    let required: Vec<&str> =
        required.iter().filter_map(|(field, needed)| needed.then_some(*field)).collect();
    Some(json!({ "title": kind, "properties": properties, "required": required }))
}

#[cfg(test)]
mod tests;
