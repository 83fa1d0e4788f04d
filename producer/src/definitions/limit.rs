//! A limit as users write it: below a target, or in the list `limits` with the key that it is for.

use shared::limit::{Key, Label, Limit};
use shared::task::TaskKind;

use super::fields::{Fields, Located};
use super::node::Value;
use super::values::{bytes, count, number, parsed, truth};

/// A limit with the key that it is for, and where that stands.
pub(super) type Limited = (Located<Key>, Limit);

/// Reads an entry of the list `limits`; `None` when a problem was noted.
pub(super) fn read(mut fields: Fields<'_, '_>) -> Option<Limited> {
    let before = fields.problems();
    let pool = fields.located("pool", pool);
    let source = fields.located("source", source);
    let owner = fields.located("owner", owner);
    let mut keys = [pool, source, owner].into_iter().flatten();
    let key = match (keys.next(), keys.next()) {
        (Some(key), None) => Some(key),
        _ => {
            if fields.problems() == before {
                fields.reject("needs one of pool, source and owner; what limits a target stands below it");
            }
            None
        }
    };
    let limit = what(fields, key.as_ref().map(|key| &key.value));
    Some((key?, limit?))
}

/// Reads what a target is limited to; `None` when a problem was noted.
pub(super) fn below(fields: Fields<'_, '_>, key: &Key) -> Option<Limit> {
    what(fields, Some(key))
}

fn what(mut fields: Fields<'_, '_>, key: Option<&Key>) -> Option<Limit> {
    let before = fields.problems();
    let limit = Limit {
        starts_per_minute: fields.optional("starts_per_minute", number),
        burst: fields.optional("burst", count),
        concurrency: fields.optional("concurrency", count),
        bytes_per_second: fields.optional("bytes_per_second", bytes),
        weight: fields.optional("weight", count),
        strict: fields.optional("strict", truth).unwrap_or(false),
    };
    // What could not be read is not called missing as well.
    if fields.problems() == before
        && let Some(key) = key
        && let Err(wrong) = limit.check(key)
    {
        for wrong in wrong {
            match wrong.field {
                Some(field) => fields.problem(0, field, wrong.why),
                None => fields.reject(wrong.why),
            }
        }
    }
    let fine = fields.problems() == before;
    fields.finish();
    fine.then_some(limit)
}

fn pool(value: &Value) -> Result<Key, String> {
    parsed::<TaskKind>(value).map(Key::Pool)
}

fn source(value: &Value) -> Result<Key, String> {
    parsed::<Label>(value).map(Key::Source)
}

fn owner(value: &Value) -> Result<Key, String> {
    parsed::<Label>(value).map(Key::Owner)
}
