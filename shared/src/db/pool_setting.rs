//! Table `pool_setting`: what people told pools while they run.

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use serde::Serialize;

use super::statement::statement;
use super::{Error, parsed};
use crate::name::text_enum;
use crate::task::TaskKind;

text_enum! {
    /// What a pool is to do.
    PoolState {
        /// Take tasks and run them.
        Running = "running",
        /// Start nothing more, and let what runs end.
        Paused = "paused",
        /// Start nothing more, and give back what runs: its attempts do not count.
        Draining = "draining",
    }
}

/// What people said of a kind's pools on all workers, or of the pool of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PoolSetting {
    /// Which kind's.
    pub kind: TaskKind,
    /// The worker's name; all workers when absent.
    pub worker: Option<String>,
    /// How many tasks the pool of each of these workers runs at once; the worker's own configuration when absent.
    pub slots: Option<i32>,
    /// What it is to do; what all workers are told, or running, when absent.
    pub state: Option<PoolState>,
    /// By whose hand.
    pub set_by: String,
    /// Since when.
    pub set_at: DateTime<Utc>,
}

/// Reads all settings, by kind; those of all workers come first.
pub async fn all<C: GenericClient>(client: &C) -> Result<Vec<PoolSetting>, Error> {
    let statement = statement!(
        "pool_setting.all",
        "select kind, worker, slots, state, set_by, set_at from pool_setting order by kind, worker"
    );
    let rows = statement.query(client, &[]).await?;
    rows.iter()
        .map(|row| {
            let worker: String = row.try_get("worker")?;
            let state: Option<&str> = row.try_get("state")?;
            Ok(PoolSetting {
                kind: parsed(row, "kind")?,
                worker: (!worker.is_empty()).then_some(worker),
                slots: row.try_get("slots")?,
                state: if state.is_some() { Some(parsed(row, "state")?) } else { None },
                set_by: row.try_get("set_by")?,
                set_at: row.try_get("set_at")?,
            })
        })
        .collect()
}

/// What one pool is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked<'a> {
    /// How many tasks it runs at once; as configured when absent.
    pub slots: Option<i32>,
    /// What it is to do.
    pub state: PoolState,
    /// Who spoke last, if anybody.
    pub set_by: Option<&'a str>,
}

/// What the pool of a worker is to do: what was said of this worker counts more than what was said of all.
#[must_use]
pub fn asked<'a>(settings: &'a [PoolSetting], kind: TaskKind, worker: &str) -> Asked<'a> {
    let mut asked = Asked { slots: None, state: PoolState::Running, set_by: None };
    // Those of all workers come first.
    for setting in settings.iter().filter(|setting| setting.kind == kind) {
        if setting.worker.as_ref().is_none_or(|name| name == worker) {
            asked.slots = setting.slots.or(asked.slots);
            asked.state = setting.state.unwrap_or(asked.state);
            asked.set_by = Some(&setting.set_by);
        }
    }
    asked
}

/// What a person asks of pools; what is absent stays as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change {
    /// How many tasks run at once; `Some(None)` leaves it to the workers' configuration again.
    pub slots: Option<Option<i32>>,
    /// What the pools are to do; `Some(None)` leaves that to what all workers are told.
    pub state: Option<Option<PoolState>>,
}

/// Changes what is asked of a kind's pools. A setting that says nothing any more is removed.
pub async fn change<C: GenericClient>(
    client: &C,
    kind: TaskKind,
    worker: Option<&str>,
    change: Change,
    by: &str,
) -> Result<(), Error> {
    let statement = statement!(
        "pool_setting.change",
        "insert into pool_setting (kind, worker, slots, state, set_by) values ($1, $2, $3, $4, $7)
         on conflict (kind, worker) do update
             set slots = case when $5 then excluded.slots else pool_setting.slots end,
                 state = case when $6 then excluded.state else pool_setting.state end,
                 set_by = excluded.set_by, set_at = now()"
    );
    let worker = worker.unwrap_or_default();
    let state = change.state.flatten().map(PoolState::as_str);
    let (sets_slots, sets_state) = (change.slots.is_some(), change.state.is_some());
    statement
        .execute(
            client,
            &[&kind.as_str(), &worker, &change.slots.flatten(), &state, &sets_slots, &sets_state, &by],
        )
        .await?;
    let statement = statement!(
        "pool_setting.drop_empty",
        "delete from pool_setting where kind = $1 and worker = $2 and slots is null and state is null"
    );
    statement.execute(client, &[&kind.as_str(), &worker]).await?;
    Ok(())
}
