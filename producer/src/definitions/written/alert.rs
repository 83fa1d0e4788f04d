//! What users write of alerts: how strict rules are, and when nobody is told.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::alert::{self, Rule, Severity, Tag, Threshold};

use super::values::{Length, delay, label, name, text, words};

/// How strict a rule is, where definitions say so.
#[derive(Debug, Serialize)]
pub struct Setting {
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<Severity>,
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pending: Option<Length>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cooldown: Option<Length>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failures: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    below: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spreads: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shrunk_to: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<Length>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Length>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<Length>,
}

impl From<&alert::Setting> for Setting {
    fn from(setting: &alert::Setting) -> Self {
        let alert::Setting {
            enabled,
            severity,
            pending,
            cooldown,
            failures,
            below,
            tasks,
            spreads,
            shrunk_to,
            by,
            after,
            waiting,
        } = *setting;
        Self {
            enabled,
            severity,
            pending: pending.map(Length),
            cooldown: cooldown.map(Length),
            failures,
            below,
            tasks,
            spreads,
            shrunk_to,
            by: by.map(Length),
            after: after.map(Length),
            waiting: waiting.map(Length),
        }
    }
}

/// Settings by rule.
pub(super) fn settings<'a>(
    settings: impl IntoIterator<Item = (&'a Rule, &'a alert::Setting)>,
) -> BTreeMap<Rule, Setting> {
    settings.into_iter().map(|(rule, setting)| (*rule, setting.into())).collect()
}

/// When nobody is told about some alerts, again and again.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Maintenance {
    /// What people call it.
    #[schemars(schema_with = "name")]
    name: String,
    /// When it begins: a cron expression of five fields, or six with seconds first, or a nickname such as `@daily`.
    #[schemars(schema_with = "text")]
    cron: String,
    /// How long it lasts, at most 7d.
    #[serde(rename = "for")]
    lasts: Length,
    /// By whose clock it begins, such as `Europe/Berlin`.
    #[schemars(default = "utc", schema_with = "text")]
    timezone: String,
    /// Which alerts: those that match one of these, or all without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    matches: Vec<Match>,
}

/// Alerts that match all that is given.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 1))]
struct Match {
    /// By this rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "rule")]
    rule: Option<Rule>,
    /// About this job.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "name")]
    job: Option<String>,
    /// About this target, or about a job whose first one it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "name")]
    target: Option<String>,
    /// About jobs of this owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "label")]
    owner: Option<String>,
    /// About jobs with this tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "name")]
    tag: Option<Tag>,
    /// Exactly as bad as this.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "severity")]
    severity: Option<Severity>,
}

impl From<&alert::Maintenance> for Maintenance {
    fn from(window: &alert::Maintenance) -> Self {
        let alert::Maintenance { name, cron, lasts, timezone, matches } = window;
        Self {
            name: name.to_string(),
            cron: cron.to_string(),
            lasts: Length(*lasts),
            timezone: timezone.to_string(),
            matches: matches.iter().map(Match::from).collect(),
        }
    }
}

impl From<&alert::Matcher> for Match {
    fn from(matcher: &alert::Matcher) -> Self {
        let alert::Matcher { rule, job, target, owner, tag, severity } = matcher;
        Self {
            rule: *rule,
            job: job.as_ref().map(ToString::to_string),
            target: target.as_ref().map(ToString::to_string),
            owner: owner.as_ref().map(|owner| owner.as_str().to_owned()),
            tag: tag.clone(),
            severity: *severity,
        }
    }
}

fn utc() -> String {
    chrono_tz::Tz::default().to_string()
}

fn rule(_: &mut SchemaGenerator) -> Schema {
    words(Rule::ALL)
}

fn severity(_: &mut SchemaGenerator) -> Schema {
    words(Severity::ALL)
}

/// The settings of all rules.
pub(super) fn rules(generator: &mut SchemaGenerator) -> Schema {
    of_rules(Rule::ALL.iter().copied(), generator)
}

/// The settings of the rules that are about jobs.
pub(super) fn job_rules(generator: &mut SchemaGenerator) -> Schema {
    of_rules(Rule::ALL.iter().copied().filter(|rule| rule.is_of_jobs()), generator)
}

/// Up to twenty words.
pub(super) fn tags(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": name(generator), "maxItems": 20, "uniqueItems": true })
}

fn of_rules(rules: impl Iterator<Item = Rule>, generator: &mut SchemaGenerator) -> Schema {
    let properties: Map<String, Value> =
        rules.map(|rule| (rule.to_string(), of_rule(rule, generator))).collect();
    json_schema!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn of_rule(rule: Rule, generator: &mut SchemaGenerator) -> Value {
    let described = |schema: Schema, description: &str| {
        let mut schema = json!(schema);
        schema["description"] = json!(description);
        schema
    };
    let mut properties = Map::new();
    let truth = json_schema!({ "type": "boolean" });
    properties.insert("enabled".to_owned(), described(truth, "Whether the rule finds anything."));
    properties.insert("severity".to_owned(), described(severity(generator), "How bad it is."));
    let pending = "How long it must last before the alert opens, at most 30d.";
    properties.insert("for".to_owned(), described(delay(generator), pending));
    let cooldown = "How soon after its end it is the same alert when it comes back, at most 30d.";
    properties.insert("cooldown".to_owned(), described(delay(generator), cooldown));
    for threshold in rule.thresholds() {
        let (schema, description) = of_threshold(*threshold, generator);
        properties.insert(threshold.to_string(), described(schema, description));
    }
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn of_threshold(threshold: Threshold, generator: &mut SchemaGenerator) -> (Schema, &'static str) {
    match threshold {
        Threshold::Failures => (
            json_schema!({ "type": "integer", "minimum": 1, "maximum": 100 }),
            "So many that failed in a row.",
        ),
        Threshold::Below => (
            json_schema!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1 }),
            "The share of successes below which there are too few.",
        ),
        Threshold::Tasks => (
            json_schema!({ "type": "integer", "minimum": 1, "maximum": 10_000 }),
            "So many backups at least, before anything can be said of their share.",
        ),
        Threshold::Spreads => (
            json_schema!({ "type": "number", "minimum": 1, "maximum": 1000 }),
            "So many spreads from the median are unusual.",
        ),
        Threshold::ShrunkTo => (
            json_schema!({ "type": "number", "minimum": 0, "exclusiveMaximum": 1 }),
            "The share of the median from which on a backup has shrunk.",
        ),
        Threshold::By => (delay(generator), "So long from the median, at least."),
        Threshold::After => (delay(generator), "Only what lasts for longer, at most 30d."),
        Threshold::Waiting => (delay(generator), "Only what waits for longer, at most 30d."),
    }
}
