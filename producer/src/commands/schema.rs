//! `producer schema`

use anyhow::Context as _;

use super::{Exit, Failure, shown};
use crate::definitions::schema::schema;

pub(super) fn run() -> Result<Exit, Failure> {
    shown::print(&serde_json::to_string_pretty(&schema()).context("printing the schema")?)?;
    Ok(Exit::Done)
}
