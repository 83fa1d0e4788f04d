//! `producer pools list`

use serde::Serialize;
use shared::db::pool_setting::{self, PoolSetting, PoolState};
use shared::db::worker::Worker;
use shared::db::{self, Database};
use shared::task::TaskKind;
use shared::terminal;

use crate::commands::{Exit, Failure, shown};

/// A pool of a worker that is there.
#[derive(Debug, Serialize)]
struct Pool {
    kind: TaskKind,
    worker: String,
    /// As the worker said last.
    slots: usize,
    busy: usize,
    /// What it was told.
    state: PoolState,
    #[serde(skip_serializing_if = "Option::is_none")]
    asked_slots: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_by: Option<String>,
}

pub(super) async fn run(database: &Database, as_json: bool) -> Result<Exit, Failure> {
    let client = database.client().await?;
    let settings = pool_setting::all(&client).await?;
    let workers = db::worker::present(&client).await?;
    let pools: Vec<Pool> = workers.iter().flat_map(|worker| pools(worker, &settings)).collect();
    if as_json {
        shown::print_json(&pools)?;
        return Ok(Exit::Done);
    }
    if pools.is_empty() {
        shown::print("no worker is there")?;
        return Ok(Exit::Done);
    }
    let mut table = terminal::table(&["pool", "worker", "slots", "busy", "state", "told by"]);
    for pool in &pools {
        let asked = pool.asked_slots.filter(|asked| usize::try_from(*asked).ok() != Some(pool.slots));
        table.add_row([
            pool.kind.to_string(),
            shown::line(&pool.worker, shown::CELL),
            asked.map_or_else(|| pool.slots.to_string(), |asked| format!("{} (told {asked})", pool.slots)),
            pool.busy.to_string(),
            pool.state.to_string(),
            shown::line(pool.set_by.as_deref().unwrap_or_default(), shown::CELL),
        ]);
    }
    shown::print(&table.to_string())?;
    Ok(Exit::Done)
}

fn pools<'a>(worker: &'a Worker, settings: &'a [PoolSetting]) -> impl Iterator<Item = Pool> + 'a {
    worker.pools.iter().map(|(kind, used)| {
        let asked = pool_setting::asked(settings, *kind, &worker.name);
        Pool {
            kind: *kind,
            worker: worker.name.clone(),
            slots: used.slots,
            busy: used.busy,
            state: asked.state,
            asked_slots: asked.slots,
            set_by: asked.set_by.map(ToOwned::to_owned),
        }
    })
}
