//! A job's exceptions from rules of compliance as users write them.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use shared::compliance::Exception;

use super::fields::Fields;
use super::node::Value;
use super::values::{parsed, text};

/// Reads the list `exceptions` of a job.
pub(super) fn read(job: &mut Fields<'_, '_>) -> Vec<Exception> {
    let exceptions: Vec<Exception> = job.each_below("exceptions", one).into_iter().flatten().collect();
    let mut seen = BTreeSet::new();
    for exception in &exceptions {
        if !seen.insert(exception.rule) {
            job.problem(0, "exceptions", format!("{} has two exceptions", exception.rule));
        }
    }
    exceptions
}

fn one(mut fields: Fields<'_, '_>) -> Option<Exception> {
    let rule = fields.required("rule", parsed);
    let reason = fields.required("reason", text);
    let owner = fields.required("owner", text);
    let until = fields.required("until", day);
    fields.finish();
    Some(Exception { rule: rule?.value, reason: reason?.value, owner: owner?.value, until: until?.value })
}

fn day(value: &Value) -> Result<NaiveDate, String> {
    let text = text(value)?;
    let day = (text.len() == 10).then(|| text.parse().ok()).flatten();
    day.ok_or_else(|| format!("{text:?} is no date such as 2026-12-31"))
}
