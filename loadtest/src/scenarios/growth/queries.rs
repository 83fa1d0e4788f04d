//! What people and pages ask today, and how long it takes.

use std::time::Instant;

use anyhow::Context as _;
use chrono::{TimeDelta, Utc};
use deadpool_postgres::GenericClient;
use serde::Serialize;
use shared::db::execution::{self, Xact};
use shared::db::restore_point::Wanted;
use shared::db::task::Which;
use shared::db::{
    Database, compliance, dead_task, job, partition, restore_point, running, target, task, worker,
};
use shared::job::{JobId, JobName};
use shared::target::TargetId;
use shared::task::TaskId;
use uuid::Uuid;

use crate::measure::{Spread, number};
use crate::report::Table;

/// Measured calls of each query on each database.
pub(super) const CALLS: usize = 15;
/// Calls before that.
const WARM_UPS: usize = 3;

/// A question, as a function of ours asks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Query {
    /// `reporter status`, the daily report.
    TallyOfADay,
    /// The daily report.
    TroubledOfADay,
    /// The daily report.
    NewestOfEach,
    /// `reporter status`, `reporter compliance`, gauges.
    Verdicts,
    /// The reporter, every few seconds.
    DueVerdicts,
    /// The reporter's counters.
    Slices,
    /// The reporter's gauges.
    Gauges,
    /// `reporter status`, `producer tasks list`.
    TaskLists,
    /// `producer tasks show`.
    OfTask,
    /// `producer enqueue --wait`.
    TaskState,
    /// `producer dead list`.
    DeadList,
    /// What a copy or a verification begins with.
    NewestPoint,
    /// What a restore begins with.
    ReachablePoints,
    /// `producer target detach`.
    WithPointsOn,
}

impl Query {
    pub(super) const ALL: [Self; 14] = [
        Self::TallyOfADay,
        Self::TroubledOfADay,
        Self::NewestOfEach,
        Self::Verdicts,
        Self::DueVerdicts,
        Self::Slices,
        Self::Gauges,
        Self::TaskLists,
        Self::OfTask,
        Self::TaskState,
        Self::DeadList,
        Self::NewestPoint,
        Self::ReachablePoints,
        Self::WithPointsOn,
    ];

    /// The function and who calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::TallyOfADay => "execution::tally of a day (status, report)",
            Self::TroubledOfADay => "execution::troubled of a day (report)",
            Self::NewestOfEach => "restore_point::newest_of_each (report)",
            Self::Verdicts => "compliance::verdicts (status, compliance)",
            Self::DueVerdicts => "compliance::due (reporter)",
            Self::Slices => "execution::slices of an hour (metrics)",
            Self::Gauges => "counts of tasks, leases, dead and default rows (metrics, status)",
            Self::TaskLists => "task::list, running::oldest, worker::present (tasks list, status)",
            Self::OfTask => "execution::of_task (tasks show)",
            Self::TaskState => "task::state (enqueue --wait)",
            Self::DeadList => "dead_task::list (dead list)",
            Self::NewestPoint => "restore_point::newest (copy, verify)",
            Self::ReachablePoints => "restore_point::reachable (restore)",
            Self::WithPointsOn => "job::with_points_on (target detach)",
        }
    }

    /// Asks once.
    pub(super) async fn ask<C: GenericClient>(self, client: &C, sample: &Sample) -> anyhow::Result<()> {
        let now = sample.now;
        let yesterday = now - TimeDelta::days(1);
        match self {
            Self::TallyOfADay => _ = execution::tally(client, yesterday, now).await?,
            Self::TroubledOfADay => _ = execution::troubled(client, yesterday, now, None, 100).await?,
            Self::NewestOfEach => _ = restore_point::newest_of_each(client, None).await?,
            Self::Verdicts => _ = compliance::verdicts(client, None).await?,
            Self::DueVerdicts => _ = compliance::due(client, 500).await?,
            Self::Slices => {
                let (from, to) = sample.transactions;
                _ = execution::slices(client, from, to, &[0.1, 1.0, 10.0]).await?;
            }
            Self::Gauges => {
                _ = task::count_waiting(client).await?;
                _ = running::count(client).await?;
                _ = dead_task::count(client).await?;
                _ = partition::rows_in_default(client).await?;
            }
            Self::TaskLists => {
                _ = task::list(client, &Which::default(), 100).await?;
                _ = running::oldest(client, 100).await?;
                _ = worker::present(client).await?;
            }
            Self::OfTask => _ = execution::of_task(client, sample.task).await?,
            Self::TaskState => _ = task::state(client, sample.task).await?,
            Self::DeadList => _ = dead_task::list(client, &dead_task::Filter::default(), false, 100).await?,
            Self::NewestPoint => _ = restore_point::newest(client, sample.job, sample.target).await?,
            Self::ReachablePoints => {
                _ = restore_point::reachable(client, sample.job, Wanted::default()).await?;
            }
            Self::WithPointsOn => _ = job::with_points_on(client, &"load".parse()?).await?,
        }
        Ok(())
    }

    /// Asks once, and returns how many milliseconds that took.
    pub(super) async fn time<C: GenericClient>(self, client: &C, sample: &Sample) -> anyhow::Result<f64> {
        let started = Instant::now();
        self.ask(client, sample).await.with_context(|| self.name())?;
        Ok(started.elapsed().as_secs_f64() * 1e3)
    }
}

/// What is asked for: something of the last day.
pub(super) struct Sample {
    now: chrono::DateTime<Utc>,
    /// Those that wrote the attempts of the last hour.
    transactions: (Xact, Xact),
    task: TaskId,
    job: JobId,
    target: TargetId,
}

impl Sample {
    pub(super) async fn of<C: GenericClient>(client: &C) -> anyhow::Result<Self> {
        let newest = "select task_id from execution where finished_at > now() - interval '1 day' \
             order by finished_at desc limit 1";
        let task: Uuid = client
            .query_one(newest, &[])
            .await
            .context("no execution of the last day: take more of them")?
            .try_get(0)?;
        let first = "select min(xact)::text from execution where finished_at > now() - interval '1 hour'";
        let first: Option<String> = client.query_one(first, &[]).await?.try_get(0)?;
        let first = first.context("no execution of the last hour: take more of them")?;
        let name: JobName = "load-7".parse()?;
        let jobs = job::resolve(client, &[&name]).await?;
        let target = target::by_name(client, &"load".parse()?).await?.context("no target `load`")?;
        Ok(Self {
            now: shared::clock::now(),
            transactions: (Xact(first.parse()?), execution::horizon(client).await?),
            task: TaskId(task),
            job: jobs.get(&name).context("no job `load-7`")?.id,
            target: target.id,
        })
    }
}

/// A query's times, in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Timed {
    name: &'static str,
    empty_ms: f64,
    full_ms: f64,
    ratio: f64,
}

/// Asks both databases in turn.
pub(super) async fn compare(empty: &str, full: &str) -> anyhow::Result<Vec<Timed>> {
    let open = |url: &str| Database::new(&url.into(), "holdfast loadtest");
    let (empty, full) = (open(empty)?.client().await?, open(full)?.client().await?);
    let samples = (Sample::of(&empty).await?, Sample::of(&full).await?);
    let mut found = Vec::new();
    for query in Query::ALL {
        let mut times = (Vec::new(), Vec::new());
        for call in 0..WARM_UPS + CALLS {
            let time = (query.time(&empty, &samples.0).await?, query.time(&full, &samples.1).await?);
            if call >= WARM_UPS {
                times.0.push(time.0);
                times.1.push(time.1);
            }
        }
        let (empty_ms, full_ms) = (Spread::of(times.0).median, Spread::of(times.1).median);
        found.push(Timed { name: query.name(), empty_ms, full_ms, ratio: full_ms / empty_ms });
    }
    Ok(found)
}

pub(super) fn table(queries: &[Timed]) -> Table {
    let mut table = Table::new(["query", "ms without history", "ms with history", "ratio"]);
    for Timed { name, empty_ms, full_ms, ratio } in queries {
        table.row([(*name).to_owned(), number(*empty_ms), number(*full_ms), number(*ratio)]);
    }
    table
}
