//! How soon a reporter rolls up a backlog, what it holds in memory meanwhile, and what new attempts cost after that.

use std::time::{Duration, Instant};

use anyhow::ensure;
use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Client;
use reporter::rollup::{Step, check, step};
use serde::Serialize;
use serde_json::json;
use shared::db::{Database, partition, rollup};

use crate::measure::{Spread, Usage, number};
use crate::report::{Report, Table};
use crate::system::{Fleet, Layout, Servers};

/// The `rollups` scenario
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Rollups {
    /// Attempts of the last day that nobody has rolled up yet
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..))]
    executions: u32,
    /// Attempts that come after that, and then a tenth as many
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(10..))]
    more: u32,
    /// Runs, each with a database of its own
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
}

/// The jobs that the attempts belong to, in turn.
const JOBS: usize = 1000;
/// Attempts of one transaction, as a worker records them.
const BATCH: u32 = 500;
/// How long it may take at most.
const PATIENCE: Duration = Duration::from_mins(10);
const MIB: f64 = 1024.0 * 1024.0;

/// What one run found.
#[derive(Debug, Clone, Copy, Serialize)]
struct Run {
    /// From the start of the reporter until all was rolled up.
    backlog_seconds: f64,
    /// The most that the reporter held in memory until then.
    peak_mib: f64,
    /// Rolling up what came after that, and a tenth as many, and nothing.
    more_ms: f64,
    tenth_ms: f64,
    nothing_ms: f64,
    /// Rows of the table in the end.
    rows: i64,
}

/// A figure of a run.
type Figure = fn(&Run) -> f64;

impl Rollups {
    /// Runs the scenario; fails if an attempt was lost or doubled.
    pub(crate) async fn run(&self, servers: &Servers) -> anyhow::Result<Report> {
        let mut runs = Vec::new();
        for number in 1..=self.runs {
            let run = self.measure(servers).await?;
            eprintln!("run {number}: {run:?}");
            runs.push(run);
        }
        Ok(self.report(&runs))
    }

    async fn measure(&self, servers: &Servers) -> anyhow::Result<Run> {
        let database_url = servers.create_database("rollups").await?;
        let layout = |reporter| Layout {
            database_url: Some(database_url.clone()),
            jobs: JOBS,
            workers: 0,
            reporter,
            ..Layout::default()
        };
        let defined = Fleet::start(servers, layout(false)).await?;
        let mut client = defined.database.client().await?;
        let end = shared::clock::now();
        partition::create_ahead(&mut client, end - TimeDelta::days(1), 1).await?;
        self.record(&mut client, end, 0..self.executions).await?;
        client.batch_execute("vacuum (analyze)").await?;
        client.batch_execute("checkpoint").await?;

        let started = Instant::now();
        let fleet = Fleet::start(servers, layout(true)).await?;
        until_rolled_up(&fleet.database).await?;
        let backlog_seconds = started.elapsed().as_secs_f64();
        let reporter =
            fleet.reporter.as_ref().map(|reporter| Usage::of(reporter.service.pid())).transpose()?;
        // Its next look is seconds away, and is not to be in the way of ours.
        fleet.stop().await?;

        let more = self.executions..self.executions + self.more;
        let tenth = more.end..more.end + self.more / 10;
        self.record(&mut client, end, more).await?;
        let more_ms = roll_up(&mut client).await?;
        self.record(&mut client, end, tenth.clone()).await?;
        let tenth_ms = roll_up(&mut client).await?;
        let nothing_ms = roll_up(&mut client).await?;
        let checked = check(&mut client).await?;
        let attempts = checked.differences.attempts;
        ensure!(checked.is_clean() && attempts == u64::from(tenth.end), "lost or doubled: {checked:?}");
        let rows = client.query_one("select count(*) from rollup", &[]).await?.try_get(0)?;
        let peak_mib = reporter.map_or(0.0, |usage| usage.peak as f64 / MIB);
        Ok(Run { backlog_seconds, peak_mib, more_ms, tenth_ms, nothing_ms, rows })
    }

    /// Records attempts of the last day, evenly spread, in transactions of a worker's size: backups and what follows them. Each job has
    /// a duration of its own, by a quarter more or less.
    async fn record(
        &self,
        client: &mut Client,
        end: DateTime<Utc>,
        which: std::ops::Range<u32>,
    ) -> anyhow::Result<()> {
        let statement = "insert into execution (task_id, epoch, attempt, kind, job_id, target_id, outcome, requested_by, \
                 enqueued_at, started_at, finished_at, seconds, files, bytes, bytes_added)
             select gen_random_uuid(), 1, 1, (array['backup', 'copy', 'verify', 'verify'])[1 + n % 4], j.id, t.id,
                 case when n % 50 = 0 then 'failed' else 'success' end, 'loadtest', at, at, at,
                 0.05 * exp(8 * (n % $5::integer)::float8 / $5::integer) * (0.75 + 0.5 * random()), 1000, 1000000 + n, n
             from generate_series($1::integer, $2::integer - 1) n
                 cross join lateral (select $3::timestamptz - interval '1 day' * (1 - (n + 1)::float8 / $4::integer) as at) w
                 join job j on j.name = 'load-' || n % $5::integer cross join target t";
        let statement = client.prepare(statement).await?;
        let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let jobs = i32::try_from(JOBS)?;
        for first in which.clone().step_by(BATCH as usize) {
            let last = first.saturating_add(BATCH).min(which.end);
            // What comes after the backlog is of the day's last moment.
            let all = number(self.executions.max(last));
            client.execute(&statement, &[&number(first), &number(last), &end, &all, &jobs]).await?;
        }
        Ok(())
    }

    fn report(&self, runs: &[Run]) -> Report {
        let Self { executions, more, runs: times } = self;
        let mut table = Table::new(["", "median", "least", "most"]);
        let attempts = |attempts: u32| number(f64::from(attempts));
        let figures: [(String, Figure); 6] = [
            (format!("{} attempts rolled up by a reporter that starts, s", attempts(*executions)), |run| {
                run.backlog_seconds
            }),
            ("the reporter's peak until then, MiB resident".to_owned(), |run| run.peak_mib),
            (format!("{} attempts more, ms", attempts(*more)), |run| run.more_ms),
            (format!("{} attempts more, ms", attempts(*more / 10)), |run| run.tenth_ms),
            ("no attempt more, ms".to_owned(), |run| run.nothing_ms),
            ("rows of `rollup` in the end".to_owned(), |run| run.rows as f64),
        ];
        for (what, figure) in figures {
            let Spread { median, least, most } = Spread::of(runs.iter().map(figure));
            table.row([what, number(median), number(least), number(most)]);
        }
        Report {
            about: format!(
                "{times} runs, each with a database of its own: {} attempts of the last day over {JOBS} jobs, in transactions of \
                 {BATCH}, of three kinds and two outcomes; each job takes its own time, from 50 ms to 2 min, by a quarter more or less. The seconds are from the start \
                 of `reporter run`, which also counts all attempts for its metrics, until all was rolled up. What comes after that is rolled \
                 up without it, in one step. A recount found the same sums; no attempt was lost or doubled.",
                attempts(*executions),
            ),
            tables: vec![table],
            json: json!({
                "scenario": "rollups",
                "executions": executions,
                "more": more,
                "runs": runs,
                "backlog_seconds": Spread::of(runs.iter().map(|run| run.backlog_seconds)).median,
                "peak_mib": Spread::of(runs.iter().map(|run| run.peak_mib)).most,
            }),
        }
    }
}

async fn until_rolled_up(database: &Database) -> anyhow::Result<()> {
    let (client, started) = (database.client().await?, Instant::now());
    while rollup::behind(&client).await? > 0.0 {
        ensure!(started.elapsed() < PATIENCE, "it is not rolled up after {} s", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Rolls all up that there is, and returns how many milliseconds that took. Where a transaction of somebody else on the server is open
/// still, what it keeps from being rolled up is waited for, and not counted.
async fn roll_up(client: &mut Client) -> anyhow::Result<f64> {
    let (begun, mut took) = (Instant::now(), Duration::ZERO);
    loop {
        let started = Instant::now();
        while let Step::More(_) = step(client).await? {}
        took += started.elapsed();
        if rollup::behind(client).await? <= 0.0 {
            return Ok(took.as_secs_f64() * 1e3);
        }
        ensure!(begun.elapsed() < PATIENCE, "it is not rolled up after {} s", PATIENCE.as_secs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
