//! Secrets by reference, as users write them.

use schemars::JsonSchema;
use serde::Serialize;
use shared::target::SecretRef;

use super::values::{path, variable};

/// Where a secret is found: never inline.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Secret {
    /// The first line of a file on the machine of each program that uses it.
    File(#[schemars(schema_with = "path")] String),
    /// A variable in the environment of each program that uses it.
    Env(#[schemars(schema_with = "variable")] String),
}

impl From<&SecretRef> for Secret {
    fn from(secret: &SecretRef) -> Self {
        match secret {
            SecretRef::File(path) => Self::File(path.display().to_string()),
            SecretRef::Env(variable) => Self::Env(variable.clone()),
        }
    }
}
