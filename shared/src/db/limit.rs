//! Table `limit_setting`: what keys are limited to, by the definitions and by people while everything runs.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use tokio_postgres::types::Json;

use super::statement::statement;
use super::{Error, cap, from_json, parsed};
use crate::limit::{Key, Limit};
use crate::name::text_enum;

text_enum! {
    /// Who says what a key is limited to.
    Origin {
        /// The definitions that were applied.
        Definitions = "definitions",
        /// A person, in the place of the definitions until it is cleared.
        Live = "live",
    }
}

/// What one origin says of a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Of which key.
    pub key: Key,
    /// Who.
    pub origin: Origin,
    /// What.
    pub limit: Limit,
    /// By whose hand.
    pub set_by: String,
    /// Since when.
    pub set_at: DateTime<Utc>,
}

/// Claims take this lock shared, who changes limits takes it alone: no claim goes on under limits that are changed meanwhile.
/// The number is arbitrary, and used for nothing else.
const LIMITS: i64 = 0x484f_4c44_0001;

/// Reads all settings, by key; of one key that of the definitions comes first.
pub async fn all<C: GenericClient>(client: &C) -> Result<Vec<Setting>, Error> {
    let statement = statement!(
        "limit.all",
        "select key, origin, setting, set_by, set_at from limit_setting order by key, origin"
    );
    statement.query(client, &[]).await?.iter().map(setting).collect()
}

/// What counts: the live setting of a key, or else that of the definitions.
#[must_use]
pub fn effective(settings: &[Setting]) -> BTreeMap<&Key, &Setting> {
    let mut effective: BTreeMap<&Key, &Setting> = BTreeMap::new();
    for setting in settings {
        if setting.origin == Origin::Live || !effective.contains_key(&setting.key) {
            effective.insert(&setting.key, setting);
        }
    }
    effective
}

/// Keeps limits as they are until the transaction ends, and reads the version of the definitions, which counts their changes
/// as well.
pub async fn hold<C: GenericClient>(transaction: &C) -> Result<i64, Error> {
    let lock =
        statement!("limit.hold", "select pg_advisory_xact_lock_shared($1)").prepared(transaction).await?;
    let version =
        statement!("limit.version", "select value from definitions_version").prepared(transaction).await?;
    // Both are on their way before the first answer, and the server takes them in this order.
    let (_, row) =
        tokio::try_join!(lock.query_one(transaction, &[&LIMITS]), version.query_one(transaction, &[]))?;
    Ok(row.try_get(0)?)
}

/// Sets and removes what one origin says of some keys, after all claims that are under way. What runs already counts
/// under a concurrency that is new.
pub async fn change(
    transaction: &Transaction<'_>,
    origin: Origin,
    set: &[(Key, Limit)],
    removed: &[Key],
    by: &str,
) -> Result<Changed, Error> {
    statement!("limit.lock", "select pg_advisory_xact_lock($1)").execute(transaction, &[&LIMITS]).await?;
    let names: Vec<String> = set.iter().map(|(key, _)| key.to_string()).collect();
    let limits: Vec<Json<&Limit>> = set.iter().map(|(_, limit)| Json(limit)).collect();
    let statement = statement!(
        "limit.set",
        "insert into limit_setting (key, origin, setting, set_by)
         select key, $3, setting, $4 from unnest($1::text[], $2::jsonb[]) as s(key, setting)
         on conflict (key, origin) do update
             set setting = excluded.setting, set_by = excluded.set_by, set_at = now()"
    );
    statement.execute(transaction, &[&names, &limits, &origin.as_str(), &by]).await?;
    let gone: Vec<String> = removed.iter().map(ToString::to_string).collect();
    let statement =
        statement!("limit.remove", "delete from limit_setting where key = any($1) and origin = $2");
    statement.execute(transaction, &[&gone, &origin.as_str()]).await?;

    let changed: Vec<String> = names.into_iter().chain(gone).collect();
    let statement = statement!(
        "limit.of_keys",
        "select key, origin, setting, set_by, set_at from limit_setting where key = any($1) order by key, origin"
    );
    let settings: Vec<Setting> =
        statement.query(transaction, &[&changed]).await?.iter().map(setting).collect::<Result<_, _>>()?;
    let caps: BTreeMap<String, u32> = effective(&settings)
        .into_iter()
        .filter_map(|(key, setting)| Some((key.to_string(), setting.limit.concurrency?)))
        .collect();
    cap::adopt(transaction, &caps).await?;
    let uncapped = changed.into_iter().filter(|key| !caps.contains_key(key)).collect();
    Ok(Changed { caps, uncapped })
}

/// Limits that were changed, but for the caps themselves: those come after all other locks, as whoever records takes them.
#[derive(Debug)]
#[must_use = "the caps are to follow"]
pub struct Changed {
    caps: BTreeMap<String, u32>,
    uncapped: Vec<String>,
}

impl Changed {
    /// Has the caps follow.
    pub async fn finish(self, transaction: &Transaction<'_>) -> Result<(), Error> {
        let all: Vec<&String> = self.caps.keys().chain(&self.uncapped).collect();
        cap::lock_all(transaction, &all).await?;
        cap::remove(transaction, &self.uncapped).await?;
        cap::set(transaction, &self.caps).await
    }
}

fn setting(row: &tokio_postgres::Row) -> Result<Setting, Error> {
    Ok(Setting {
        key: parsed(row, "key")?,
        origin: parsed(row, "origin")?,
        limit: from_json(row, "setting")?,
        set_by: row.try_get("set_by")?,
        set_at: row.try_get("set_at")?,
    })
}
