//! A job's retention as users write it.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use shared::retention::{Keep, MOST_KEPT, Retention};

use super::fields::Fields;
use super::node::Value;
use super::schedule;

/// Reads a retention; `None` when a problem was noted.
pub(super) fn read(mut fields: Fields<'_, '_>) -> Option<Retention> {
    let before = fields.problems();
    let mut keep = BTreeMap::new();
    for rule in Keep::ALL {
        if let Some(count) = fields.optional(rule.as_str(), count).and_then(NonZeroU16::new) {
            keep.insert(*rule, count);
        }
    }
    let timezone = fields.optional("timezone", schedule::timezone).unwrap_or_default();
    let schedule = fields.optional_below("schedule").and_then(schedule::read);
    if keep.is_empty() && fields.problems() == before {
        let rules: Vec<&str> = Keep::ALL.iter().map(|rule| rule.as_str()).collect();
        fields.reject(format!("needs at least one of {} above 0", rules.join(", ")));
    }
    let fine = fields.problems() == before;
    fields.finish();
    fine.then_some(Retention { keep, timezone, schedule })
}

fn count(value: &Value) -> Result<u16, String> {
    match value {
        Value::Whole(count) => u16::try_from(*count).ok().filter(|count| *count <= MOST_KEPT),
        other => return Err(format!("is {}, a whole number from 0 to {MOST_KEPT} is needed", other.what())),
    }
    .ok_or_else(|| format!("is not from 0 to {MOST_KEPT}"))
}
