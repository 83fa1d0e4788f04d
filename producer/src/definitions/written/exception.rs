//! A job's exceptions from rules of compliance as users write them.

use chrono::NaiveDate;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use shared::compliance::{self, Rule};

use super::values::{text, words};

/// That somebody answers for it that the job does not follow a rule for a while.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct Exception {
    /// From which rule.
    #[schemars(schema_with = "rules")]
    rule: Rule,
    /// Why.
    #[schemars(schema_with = "text")]
    reason: String,
    /// Who answers for it.
    #[schemars(schema_with = "text")]
    owner: String,
    /// The last day in UTC on which it counts.
    #[schemars(schema_with = "day")]
    until: NaiveDate,
}

impl From<&compliance::Exception> for Exception {
    fn from(exception: &compliance::Exception) -> Self {
        let compliance::Exception { rule, reason, owner, until } = exception;
        Self { rule: *rule, reason: reason.clone(), owner: owner.clone(), until: *until }
    }
}

/// The exceptions of a job.
pub(super) fn exceptions(generator: &mut SchemaGenerator) -> Schema {
    let exception = generator.subschema_for::<Exception>();
    json_schema!({ "type": "array", "items": exception, "maxItems": Rule::ALL.len() })
}

fn rules(_: &mut SchemaGenerator) -> Schema {
    words(Rule::ALL)
}

fn day(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$" })
}
