//! Upkeep of the database as users write it.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use shared::work::maintain::{Action, Table, UpkeepName};

use super::schedule::Schedule;
use super::values::{name, words};
use crate::definitions;

/// Upkeep of the database that is done again and again.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Upkeep {
    /// What its schedule is called.
    #[schemars(schema_with = "name")]
    name: UpkeepName,
    /// What is done: `vacuum` makes the room of dead rows usable again, `analyze` makes the planner's statistics anew, `reindex`
    /// builds indexes anew that have much empty room, while they are used.
    #[schemars(schema_with = "actions")]
    action: Action,
    /// On which tables; where it is needed without it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default, schema_with = "tables")]
    tables: Vec<Table>,
    /// When it is done.
    schedule: Schedule,
}

impl From<&definitions::Upkeep> for Upkeep {
    fn from(upkeep: &definitions::Upkeep) -> Self {
        let definitions::Upkeep { name, action, tables, schedule } = upkeep;
        let tables = tables.iter().copied().collect();
        Self { name: name.clone(), action: *action, tables, schedule: schedule.into() }
    }
}

fn actions(_: &mut SchemaGenerator) -> Schema {
    words(definitions::Upkeep::ACTIONS)
}

fn tables(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": words(Table::ALL), "uniqueItems": true })
}
