//! The document that describes what can be read; made of the same constants that it is read by.

use serde_json::{Map, Value, json};
use shared::access::Role;
use shared::db::page::{By, Field, Filter, Kind, Listing};
use shared::http::problem::{Problem, Wrong};
use shared::work::ReportFormat;
use utoipa::PartialSchema;

use super::entities::ALL;
use super::query::{ANY, MOST, USUAL};
use super::{Entity, summary_schema};

/// The one document of both halves, as `docs/openapi.json` has it.
const WHOLE: &str = include_str!("../../../docs/openapi.json");

const ABOUT: &str = "Everything that Holdfast knows, to be read from a reporter, and every change to it, asked of a producer. A token is needed \
    (`producer token create`): its role says what it may do. Answers tell what is left of its pace in RateLimit headers. Errors are \
    problem+json and name the field or the parameter.";

/// The whole document, as it is served.
pub(super) fn whole() -> Value {
    serde_json::from_str(WHOLE).unwrap_or_else(|_| described())
}

/// What can be read.
#[must_use]
pub fn described() -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    let mut tags = Vec::new();
    for entity in ALL {
        let schema = schema_name(entity);
        paths.insert(format!("/api/v1/{}", entity.path), json!({ "get": list(entity, &schema) }));
        if let Some(key) = entity.item {
            let path = format!("/api/v1/{}/{{{key}}}", entity.path);
            paths.insert(path, json!({ "get": item(entity, key, &schema) }));
        }
        schemas.insert(format!("{schema}Page"), page(&schema));
        schemas.insert(schema, object(entity.listing.fields));
        tags.push(json!({ "name": entity.path.replace('-', " "), "description": entity.about }));
    }
    paths.insert("/api/v1/reports/{id}/{format}".to_owned(), json!({ "get": report_file() }));
    paths.insert("/api/v1/summary".to_owned(), json!({ "get": summary() }));
    tags.push(json!({ "name": "summary", "description": "Where things stand." }));
    schemas.insert("Summary".to_owned(), summary_schema::schema());
    schemas.insert("Problem".to_owned(), schema_of::<Problem>());
    schemas.insert("Wrong".to_owned(), schema_of::<Wrong>());
    let bearer = json!({ "type": "http", "scheme": "bearer", "bearerFormat": "hf_<id>_<secret>" });
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Holdfast", "description": ABOUT, "version": "1" },
        "paths": paths,
        "components": { "schemas": schemas, "securitySchemes": { "bearer": bearer } },
        "security": [{ "bearer": [] }],
        "tags": tags,
    })
}

/// What can be read, with what another document describes beside it.
///
/// # Errors
/// A path has the same method in both.
pub fn merged(other: &Value) -> anyhow::Result<Value> {
    let mut whole = described();
    let entries = |document: &Value, place: &str| {
        document.pointer(place).and_then(Value::as_object).cloned().unwrap_or_default()
    };
    for (path, methods) in entries(other, "/paths") {
        for (method, operation) in methods.as_object().cloned().unwrap_or_default() {
            let is_here = whole["paths"][&path].get(&method).is_some();
            anyhow::ensure!(!is_here, "{method} {path} is in both documents");
            whole["paths"][&path][&method] = operation;
        }
    }
    for (name, schema) in entries(other, "/components/schemas") {
        let here = whole.pointer(&format!("/components/schemas/{name}"));
        anyhow::ensure!(
            here.is_none_or(|here| *here == schema),
            "{name} is another schema in the other document"
        );
        whole["components"]["schemas"][&name] = schema;
    }
    let known: Vec<Value> =
        whole["tags"].as_array().into_iter().flatten().map(|tag| tag["name"].clone()).collect();
    let others = other["tags"].as_array().into_iter().flatten().filter(|tag| !known.contains(&tag["name"]));
    if let Some(tags) = whole["tags"].as_array_mut() {
        tags.extend(others.cloned());
    }
    Ok(whole)
}

fn schema_of<T: PartialSchema>() -> Value {
    serde_json::to_value(T::schema()).unwrap_or_default()
}

/// `restore-points` are `ReadRestorePoint`s: definitions and bodies of commands have names of their own.
fn schema_name(entity: &Entity) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    };
    let words: String = entity.path.split('-').map(word).collect();
    format!("Read{words}")
}

fn page(schema: &str) -> Value {
    json!({
        "type": "object",
        "description": "A page of a list.",
        "required": ["items", "next"],
        "properties": {
            "items": { "type": "array", "items": reference(schema) },
            "next": { "type": ["string", "null"], "description": "What `after` has to be for the page behind this one; null on the last one." },
        },
    })
}

/// No field is required: who asks for some does not get the others.
fn object(fields: &[Field]) -> Value {
    let properties: Map<String, Value> =
        fields.iter().map(|field| (field.name.to_owned(), property(field))).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn property(field: &Field) -> Value {
    let mut schema = match field.kind {
        Kind::Uuid => json!({ "type": "string", "format": "uuid" }),
        Kind::Int => json!({ "type": "integer", "format": "int64" }),
        Kind::Float => json!({ "type": "number", "format": "double" }),
        Kind::Text => json!({ "type": "string" }),
        Kind::Time => json!({ "type": "string", "format": "date-time" }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Json => json!({}),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Uuids => json!({ "type": "array", "items": { "type": "string", "format": "uuid" } }),
    };
    if field.nullable && field.kind != Kind::Json {
        schema["type"] = json!([schema["type"], "null"]);
    }
    let mut about = format!("{}.", field.about);
    if field.large {
        about.push_str(" Lists show it only to who names it in `fields`.");
    }
    schema["description"] = about.into();
    if !field.words.is_empty() {
        let null = field.nullable.then_some(Value::Null);
        schema["enum"] = field.words.iter().map(|word| Value::from(*word)).chain(null).collect();
    }
    schema
}

fn list(entity: &Entity, schema: &str) -> Value {
    let mut answer = answer(&format!("{schema}Page"), "A page");
    answer["headers"]["Link"] = json!({
        "description": "The page behind this one, where there is one: `<URL>; rel=\"next\"`.", "schema": { "type": "string" },
    });
    let parameters = parameters(&entity.listing);
    operation(entity, &format!("list {}", entity.path), "Lists", &parameters, &answer)
}

fn item(entity: &Entity, key: &str, schema: &str) -> Value {
    let id = json!({
        "name": key, "in": "path", "required": true, "schema": { "type": "string" },
        "description": format!("Which {}", entity.one),
    });
    let parameters = [id, fields(&entity.listing)];
    let mut operation =
        operation(entity, &format!("read {}", entity.path), "One of", &parameters, &answer(schema, "It"));
    operation["responses"]["404"] = problem("There is none");
    operation
}

fn operation(entity: &Entity, id: &str, verb: &str, parameters: &[Value], answer: &Value) -> Value {
    let tag = entity.path.replace('-', " ");
    let role = if entity.role > Role::Viewer {
        format!(" The role {} is needed.", entity.role)
    } else {
        String::new()
    };
    json!({
        "tags": [tag],
        "operationId": id.replace([' ', '-'], "_"),
        "summary": format!("{verb} {tag}"),
        "description": format!("{}{role}", entity.about),
        "parameters": parameters,
        "responses": responses(answer),
    })
}

fn report_file() -> Value {
    let formats: Vec<&str> = ReportFormat::ALL.iter().map(|format| format.as_str()).collect();
    let parameter = |name: &str, schema: Value, about: &str| json!({ "name": name, "in": "path", "required": true, "schema": schema, "description": about });
    let content: Map<String, Value> = ReportFormat::ALL
        .iter()
        .map(|format| {
            (format.media_type().to_owned(), json!({ "schema": { "type": "string", "format": "binary" } }))
        })
        .collect();
    let file = json!({
        "description": "The file, of which the list of reports has the SHA-256",
        "headers": { "ETag": { "description": "Send it in If-None-Match: what is known is not sent again.", "schema": { "type": "string" } } },
        "content": content,
    });
    json!({
        "tags": ["reports"],
        "operationId": "read_report_file",
        "summary": "The file of a report",
        "description": "A report in one of its formats. An audit report needs the role auditor.",
        "parameters": [
            parameter("id", json!({ "type": "string" }), "Which report"),
            parameter("format", json!({ "type": "string", "enum": formats }), "In which format"),
        ],
        "responses": responses(&file),
    })
}

fn summary() -> Value {
    json!({
        "tags": ["summary"],
        "operationId": "read_summary",
        "summary": "Where things stand",
        "description": "The figures that the metrics and the commands show.",
        "responses": responses(&answer("Summary", "Where things stand")),
    })
}

fn answer(schema: &str, what: &str) -> Value {
    json!({
        "description": what,
        "headers": {
            "ETag": { "description": "Send it in If-None-Match: what has not changed is not sent again.", "schema": { "type": "string" } },
        },
        "content": { "application/json": { "schema": reference(schema) } },
    })
}

fn responses(answer: &Value) -> Value {
    json!({
        "200": answer,
        "304": { "description": "It is what If-None-Match says" },
        "400": problem("A parameter is wrong, and is named"),
        "401": problem("No good token"),
        "403": problem("The token's role is not enough"),
        "404": problem("There is no such resource"),
        "414": problem("The URL is too long"),
        "429": problem("Too many requests; Retry-After says when to come again"),
        "503": problem("The database cannot be used now, or takes too long; Retry-After says when to come again"),
    })
}

fn problem(what: &str) -> Value {
    json!({ "description": what, "content": { "application/problem+json": { "schema": reference("Problem") } } })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn parameters(listing: &Listing) -> Vec<Value> {
    let limit = json!({
        "name": "limit", "in": "query", "schema": { "type": "integer", "minimum": 1, "maximum": MOST, "default": USUAL },
        "description": "How many there are on a page",
    });
    let after = json!({
        "name": "after", "in": "query", "schema": { "type": "string" },
        "description": "Where the page begins: the `next` of the one before it, with the same other parameters",
    });
    let orders = listing.sorts.iter().flat_map(|sort| [sort.name.to_owned(), format!("-{}", sort.name)]);
    let default =
        listing.sorts.first().map(|sort| format!("{}{}", if listing.from_end { "-" } else { "" }, sort.name));
    let needs = listing
        .sorts
        .iter()
        .filter_map(|sort| Some(format!("; {} only together with {}", sort.name, sort.needs?)));
    let sort = json!({
        "name": "sort", "in": "query", "schema": { "type": "string", "enum": orders.collect::<Vec<_>>(), "default": default },
        "description": format!("By what it is sorted, with - from the end{}", needs.collect::<String>()),
    });
    [limit, after, sort, fields(listing)].into_iter().chain(listing.filters.iter().map(filter)).collect()
}

fn fields(listing: &Listing) -> Value {
    let names: Vec<&str> = listing.fields.iter().map(|field| field.name).collect();
    json!({
        "name": "fields", "in": "query", "style": "form", "explode": false,
        "schema": { "type": "array", "minItems": 1, "items": { "type": "string", "enum": names } },
        "description": "Only these fields",
    })
}

fn filter(filter: &Filter) -> Value {
    let mut parameter = json!({ "name": filter.name, "in": "query", "description": filter.about });
    parameter["schema"] = match &filter.by {
        By::Text(_) => json!({ "type": "string" }),
        By::Uuid(_) => json!({ "type": "string", "format": "uuid" }),
        By::Time(_) => json!({ "type": "string", "format": "date-time" }),
        By::Flag { default, .. } => {
            json!({ "type": "string", "enum": ["true", "false", ANY], "default": default.map_or(ANY.to_owned(), |is| is.to_string()) })
        }
        By::Words { words, default, .. } => {
            parameter["style"] = "form".into();
            parameter["explode"] = false.into();
            let any = default.map(|_| ANY);
            let words: Vec<&str> = words.iter().copied().chain(any).collect();
            json!({ "type": "array", "minItems": 1, "items": { "type": "string", "enum": words } })
        }
    };
    parameter
}
