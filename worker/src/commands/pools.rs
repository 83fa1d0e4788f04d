//! `worker pools`: what applies to this worker's pools, and what their tasks wait for.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::db::line::{self, Waiting};
use shared::db::pool_setting::{self, PoolState};
use shared::db::{self, Database};
use shared::limit::{Key, Limit};
use shared::task::TaskKind;
use shared::{clock, terminal};

use crate::config::Config;

/// What `worker pools` can be told.
#[derive(Debug, clap::Args)]
pub struct PoolsArgs {
    /// Prints a JSON array
    #[arg(long)]
    json: bool,
}

/// A pool of this worker.
#[derive(Debug, Serialize)]
struct Pool {
    kind: TaskKind,
    /// What people told it, or else as it is configured.
    slots: usize,
    state: PoolState,
    /// What all pools of the kind are limited to together.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<Limit>,
    /// How many tasks of the kind run, on all workers.
    running: i64,
    /// Who waits for what.
    waiting: Vec<Waiting>,
}

/// Shows the pools that a worker with this configuration has.
///
/// # Errors
/// The database's.
pub async fn run(args: &PoolsArgs, config: &Config, database: &Database) -> anyhow::Result<()> {
    let pools = pools(config, database).await?;
    if args.json {
        shared::say!("{}", serde_json::to_string(&pools)?);
    } else {
        shared::say!("{}", table(&pools, clock::now()));
    }
    Ok(())
}

async fn pools(config: &Config, database: &Database) -> Result<Vec<Pool>, db::Error> {
    let client = database.client().await?;
    let (settings, limits) = (pool_setting::all(&client).await?, db::limit::all(&client).await?);
    let (limits, waiting) = (db::limit::effective(&limits), line::waiting(&client).await?);
    let mut pools = Vec::new();
    for (&kind, configured) in &config.pools {
        let asked = pool_setting::asked(&settings, kind, &config.name);
        pools.push(Pool {
            kind,
            slots: asked.slots.and_then(|slots| usize::try_from(slots).ok()).unwrap_or(configured.slots),
            state: asked.state,
            limit: limits.get(&Key::Pool(kind)).map(|setting| setting.limit),
            running: db::running::count_of(&client, kind, None).await?,
            waiting: waiting.iter().filter(|waiting| waiting.kind == kind).cloned().collect(),
        });
    }
    Ok(pools)
}

fn table(pools: &[Pool], now: DateTime<Utc>) -> String {
    let mut table = terminal::table(&["pool", "slots", "state", "limit of all", "running", "waiting"]);
    for pool in pools {
        let waiting = pool.waiting.iter().map(|Waiting { key, tasks, since, .. }| {
            let seconds = (now - *since).num_milliseconds().max(0) as f64 / 1000.0;
            let why = if *key == Key::Pool(pool.kind) && pool.limit.is_none() {
                "a slot".to_owned()
            } else {
                key.to_string()
            };
            format!("{tasks} for {why}, the oldest for {}", terminal::seconds(seconds))
        });
        table.add_row([
            pool.kind.to_string(),
            pool.slots.to_string(),
            pool.state.to_string(),
            pool.limit.map(|limit| limit.to_string()).unwrap_or_default(),
            pool.running.to_string(),
            waiting.collect::<Vec<_>>().join("\n"),
        ]);
    }
    table.to_string()
}
