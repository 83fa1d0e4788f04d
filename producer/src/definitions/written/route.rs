//! Routes as users write them.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use shared::alert::{Rule, Severity};
use shared::route::{self, GROUP_WAIT, RouteName};

use super::values::{Length, delay, label, name, words};

/// Which alerts are told by which channels.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Route {
    /// Its name. Of several routes that lead an alert to a channel the first by name says how.
    #[schemars(schema_with = "name")]
    name: RouteName,
    /// The least severity.
    #[schemars(default = "info", schema_with = "severities")]
    severity: Severity,
    /// Of jobs of which owners; of any, and what is no job's, without it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default, schema_with = "labels")]
    owners: Vec<String>,
    /// Of jobs with one of which tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default, schema_with = "names")]
    tags: Vec<String>,
    /// By which rules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default, schema_with = "rules")]
    rules: Vec<Rule>,
    /// By which channels.
    #[schemars(schema_with = "channels")]
    channels: Vec<String>,
    /// How long the first alert of a group waits for others, at most 1h.
    #[schemars(default = "group_wait", schema_with = "delay")]
    group_wait: Length,
    /// After what time an alert that is still open and that nobody has acknowledged is told again, 1m at least; never, without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Length")]
    repeat: Option<Length>,
    /// Whether it is told as well that an alert is over.
    #[schemars(default = "resolved")]
    resolved: bool,
}

impl From<&route::Route> for Route {
    fn from(route: &route::Route) -> Self {
        Self {
            name: route.name.clone(),
            severity: route.severity,
            owners: route.owners.iter().map(|owner| owner.as_str().to_owned()).collect(),
            tags: route.tags.iter().map(ToString::to_string).collect(),
            rules: route.rules.clone(),
            channels: route.channels.iter().map(ToString::to_string).collect(),
            group_wait: Length(route.group_wait),
            repeat: route.repeat.map(Length),
            resolved: route.resolved,
        }
    }
}

fn info() -> Severity {
    Severity::Info
}

fn severities(_: &mut SchemaGenerator) -> Schema {
    words(Severity::ALL)
}

fn labels(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": label(generator), "uniqueItems": true })
}

fn names(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": name(generator), "uniqueItems": true })
}

fn rules(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": words(Rule::ALL), "uniqueItems": true })
}

fn channels(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": name(generator), "minItems": 1, "uniqueItems": true })
}

fn group_wait() -> Length {
    Length(GROUP_WAIT)
}

const fn resolved() -> bool {
    true
}
