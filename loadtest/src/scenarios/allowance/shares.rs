//! Who of those that wait in line for one target gets its rate.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::Serialize;
use serde_json::{Value, json};
use shared::db::Database;
use shared::task::Priority;
use tokio::time::sleep;

use super::{PATIENCE, definitions, start};
use crate::system::{Load, Servers, producer, publish};

/// Tasks that wait, of each owner and priority.
const WAITING: usize = 4000;
/// How many of all may start in a minute.
const RATE: usize = 6000;
/// How much more a task of high priority counts.
const HIGH: f64 = shared::db::line::HIGH_WEIGHT as f64;

/// What one of those that wait got.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Share {
    pub(super) who: String,
    /// Its part of all starts by its weight.
    pub(super) expected: f64,
    pub(super) got: f64,
    pub(super) starts: i64,
}

/// Those of three owners.
pub(super) async fn of_owners(servers: &Servers, length: Duration) -> anyhow::Result<Vec<Share>> {
    let weights = [1, 2, 4];
    let limits: Vec<Value> = weights
        .iter()
        .enumerate()
        .map(|(owner, weight)| json!({ "owner": format!("owner-{owner}"), "weight": weight }))
        .collect();
    let loads = [Load { per_message: 100, ..Load::probes(weights.len()) }];
    let starts = measure(servers, "owners", weights.len(), &json!(limits), &loads, length).await?;
    let of = |(owner, weight): (usize, &i32)| {
        let who = format!("an owner of weight {weight}");
        (
            who,
            f64::from(*weight),
            starts.get(&(format!("owner-{owner}"), "normal".to_owned())).copied().unwrap_or(0),
        )
    };
    shares(weights.iter().enumerate().map(of).collect())
}

/// Those of both priorities.
pub(super) async fn of_priorities(servers: &Servers, length: Duration) -> anyhow::Result<Vec<Share>> {
    let normal = Load { per_message: 100, ..Load::probes(1) };
    let high = Load { priority: Priority::High, ..normal.clone() };
    let starts = measure(servers, "priorities", 1, &json!([]), &[normal, high], length).await?;
    let of = |(priority, weight): (Priority, f64)| {
        let started = starts.get(&("owner-0".to_owned(), priority.to_string())).copied().unwrap_or(0);
        (format!("tasks of {priority} priority"), weight, started)
    };
    shares([(Priority::High, HIGH), (Priority::Normal, 1.0)].map(of).to_vec())
}

fn shares(of: Vec<(String, f64, i64)>) -> anyhow::Result<Vec<Share>> {
    let weights: f64 = of.iter().map(|(_, weight, _)| weight).sum();
    let all: i64 = of.iter().map(|(.., starts)| starts).sum();
    ensure!(all > 0, "nothing started");
    let shares: Vec<Share> = of
        .into_iter()
        .map(|(who, weight, starts)| Share {
            who,
            expected: weight / weights,
            got: starts as f64 / all as f64,
            starts,
        })
        .collect();
    let fair = shares.iter().all(|share| (share.got - share.expected).abs() < 0.1);
    ensure!(fair, "it is not shared by weight: {shares:?}");
    Ok(shares)
}

/// Numbers of tasks by owner and priority.
type Counts = BTreeMap<(String, String), i64>;

/// How many of each start while all of them have tasks in line.
async fn measure(
    servers: &Servers,
    name: &str,
    jobs: usize,
    limits: &Value,
    loads: &[Load],
    length: Duration,
) -> anyhow::Result<Counts> {
    // Nothing starts until all stand in line.
    let closed = json!({ "starts_per_minute": 0.001 });
    let definitions = definitions(servers, &vec![Duration::ZERO; jobs], Some(&closed), limits);
    let fleet = start(servers, name, 2, definitions, None).await?;
    let all = WAITING * jobs * loads.len();
    for load in loads {
        publish(servers.amqp_url(), load, WAITING * jobs).await?;
    }
    let (asked, since) = (i64::try_from(all)?, Instant::now());
    loop {
        let waiting: i64 = in_line(&fleet.database).await?.values().sum();
        // The first of all may have started.
        if waiting >= asked - 2 {
            break;
        }
        ensure!(since.elapsed() < PATIENCE, "{waiting} of {asked} tasks stand in line");
        sleep(Duration::from_millis(100)).await;
    }
    let open = ["limits", "set", "target:load", "--starts-per-minute", &RATE.to_string()];
    producer(servers, &fleet.database_url, &open)?;
    // Until all workers have taken the change in.
    sleep(Duration::from_secs(3)).await;
    let before = in_line(&fleet.database).await?;
    sleep(length).await;
    let after = in_line(&fleet.database).await?;
    fleet.stop().await?;
    let left = |of: &(String, String)| after.get(of).copied().unwrap_or(0);
    ensure!(before.keys().all(|of| left(of) > 0), "a line ran empty: a shorter time is to be looked at");
    Ok(before.into_iter().map(|(of, waiting)| (of.clone(), waiting - left(&of))).collect())
}

async fn in_line(database: &Database) -> anyhow::Result<Counts> {
    let statement = "select owner, priority, count(*) from task where waiting_for = 'limit:target:load'
         group by owner, priority";
    let rows = database.client().await?.query(statement, &[]).await?;
    rows.iter().map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?))).collect()
}
