//! Limits as users write them.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use shared::limit::{Key, Limit};
use shared::task::TaskKind;

use super::values::{Size, is_false, label, words};

/// What the tasks on a target are limited to, over all workers together.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(
    deny_unknown_fields,
    extend("minProperties" = 1, "dependencies" = { "burst": ["starts_per_minute"] })
)]
pub struct TargetLimits {
    #[serde(flatten)]
    common: Common,
    /// How much they may read and write together in a second: 64KiB to 1TiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Size")]
    bytes_per_second: Option<Size>,
}

/// What the tasks of a pool, a source or an owner are limited to, over all workers together.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(
    deny_unknown_fields,
    extend(
        "minProperties" = 2,
        "oneOf" = [{ "required": ["pool"] }, { "required": ["source"] }, { "required": ["owner"] }],
        "dependencies" = { "burst": ["starts_per_minute"], "weight": ["owner"] }
    )
)]
pub struct OtherLimit {
    /// The tasks of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "pool")]
    pool: Option<TaskKind>,
    /// The tasks of jobs whose source has this failure domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "label")]
    source: Option<String>,
    /// The tasks of jobs of this owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "label")]
    owner: Option<String>,
    #[serde(flatten)]
    common: Common,
    /// How much of what others may start an owner gets among those that wait; 1 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "u32", range(min = 1, max = 100))]
    weight: Option<u32>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Common {
    /// How many may start in a minute, on average.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "f64", range(min = 0.001, max = 60_000_000.0))]
    starts_per_minute: Option<f64>,
    /// How many may start at once after a pause.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "u32", range(min = 1, max = 1_000_000))]
    burst: Option<u32>,
    /// How many may run at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "u32", range(min = 1, max = 1_000_000))]
    concurrency: Option<u32>,
    /// Whether the rate is never exceeded, whatever happens to workers.
    #[serde(skip_serializing_if = "is_false")]
    #[schemars(default)]
    strict: bool,
}

impl From<&Limit> for Common {
    fn from(limit: &Limit) -> Self {
        let Limit { starts_per_minute, burst, concurrency, strict, bytes_per_second: _, weight: _ } = *limit;
        Self { starts_per_minute, burst, concurrency, strict }
    }
}

impl From<&Limit> for TargetLimits {
    fn from(limit: &Limit) -> Self {
        Self { common: limit.into(), bytes_per_second: limit.bytes_per_second.map(Size) }
    }
}

impl OtherLimit {
    /// A limit of a key; `None` for that of a target, which stands below it.
    #[must_use]
    pub fn new(key: &Key, limit: &Limit) -> Option<Self> {
        let (pool, source, owner) = match key {
            Key::Pool(kind) => (Some(*kind), None, None),
            Key::Source(source) => (None, Some(source.as_str().to_owned()), None),
            Key::Owner(owner) => (None, None, Some(owner.as_str().to_owned())),
            Key::Target(_) => return None,
        };
        Some(Self { pool, source, owner, common: limit.into(), weight: limit.weight })
    }
}

/// A limit, wherever it stands.
#[must_use]
pub fn limit(key: &Key, limit: &Limit) -> serde_json::Value {
    match OtherLimit::new(key, limit) {
        Some(other) => serde_json::json!(other),
        None => serde_json::json!(TargetLimits::from(limit)),
    }
}

fn pool(_: &mut SchemaGenerator) -> Schema {
    words(TaskKind::ALL)
}
