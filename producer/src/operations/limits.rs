//! Limits in the place of those that the definitions say.

use deadpool_postgres::Transaction;
use serde_json::json;
use shared::db;
use shared::db::limit::{self, Origin, Setting};
use shared::limit::{Key, Limit};

use super::{Actor, Entry, Refused, record};

/// Limits a key while everything runs. Nothing at all is a limit only in the place of what the definitions say.
pub(crate) async fn set(
    transaction: &Transaction<'_>,
    key: &Key,
    limit: Limit,
    actor: &Actor,
) -> Result<(), Refused> {
    db::job::lock_definitions(transaction).await?;
    check_exists(transaction, key).await?;
    let settings = limit::all(transaction).await?;
    let is_defined = said(&settings, key, Origin::Definitions).is_some();
    if limit != Limit::default() || !is_defined {
        limit.check(key).map_err(|wrong| Refused::Invalid {
            field: wrong.first().and_then(|wrong| wrong.field).unwrap_or("limit").to_owned(),
            why: wrong.iter().map(|wrong| wrong.why.clone()).collect::<Vec<_>>().join("; "),
        })?;
    }
    let set = [(key.clone(), limit)];
    let changed = limit::change(transaction, Origin::Live, &set, &[], &actor.name).await?;
    changed.finish(transaction).await?;
    let before = limit::effective(&settings).get(key).map(|setting| json!(setting.limit));
    let after = Some(json!(limit));
    let entry = Entry { action: "set", subject: "limit", name: &key.to_string(), before, after };
    Ok(record(transaction, actor, &[entry]).await?)
}

/// Takes away what was set while everything ran, and what the definitions say if that is asked for; returns what limits the key then.
pub(crate) async fn clear(
    transaction: &Transaction<'_>,
    key: &Key,
    definitions: bool,
    actor: &Actor,
) -> Result<Option<Limit>, Refused> {
    db::job::lock_definitions(transaction).await?;
    let settings = limit::all(transaction).await?;
    let defined = said(&settings, key, Origin::Definitions);
    let origins = [Some(Origin::Live), definitions.then_some(Origin::Definitions)];
    let cleared: Vec<Origin> =
        origins.into_iter().flatten().filter(|origin| said(&settings, key, *origin).is_some()).collect();
    if cleared.is_empty() {
        let hint = if defined.is_some() { ": --definitions takes away what the definitions say" } else { "" };
        return Err(Refused::Missing(format!("{key} was not set with `limits set`{hint}")));
    }
    for origin in cleared {
        let changed = limit::change(transaction, origin, &[], std::slice::from_ref(key), &actor.name).await?;
        changed.finish(transaction).await?;
    }
    let before = limit::effective(&settings).get(key).map(|setting| json!(setting.limit));
    let after = defined.filter(|_| !definitions);
    let entry = Entry {
        action: "clear",
        subject: "limit",
        name: &key.to_string(),
        before,
        after: after.map(|limit| json!(limit)),
    };
    record(transaction, actor, &[entry]).await?;
    Ok(after)
}

fn said(settings: &[Setting], key: &Key, origin: Origin) -> Option<Limit> {
    let mut settings = settings.iter();
    settings.find(|setting| setting.key == *key && setting.origin == origin).map(|setting| setting.limit)
}

async fn check_exists(transaction: &Transaction<'_>, key: &Key) -> Result<(), Refused> {
    let exists = match key {
        Key::Pool(_) => true,
        Key::Target(target) => {
            db::target::by_name(transaction, target).await?.is_some_and(|stored| !stored.removed)
        }
        Key::Owner(owner) => db::job::keys(transaction).await?.iter().any(|job| job.owner == owner.as_str()),
        Key::Source(source) => {
            db::job::keys(transaction).await?.iter().any(|job| job.source == source.as_str())
        }
    };
    if exists {
        return Ok(());
    }
    let why = match key {
        Key::Target(target) => format!("no target is named \"{target}\""),
        Key::Owner(_) => "no job has this owner".to_owned(),
        Key::Source(_) | Key::Pool(_) => "no job's source has this failure_domain".to_owned(),
    };
    Err(Refused::Missing(format!("{key}: {why}")))
}
