//! How long each report over a year takes, and in how much memory of its worker.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use deadpool_postgres::Client;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::measure::{Spread, Usage, number};
use crate::report::{Report, Table};
use crate::system::{Fleet, Layout, Servers, producer};

/// The `reports` scenario
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Reports {
    /// Jobs, each with three copies
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    jobs: u32,
    /// Days of history, which the reports cover
    #[arg(long, default_value_t = 366, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    /// Runs of each report, each by a new worker
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
}

const KINDS: [&str; 5] = ["daily", "weekly", "monthly", "compliance", "audit"];
const FORMATS: [&str; 4] = ["html", "pdf", "csv", "json"];
const MIB: f64 = 1024.0 * 1024.0;
/// Changes on record.
const CHANGES: u32 = 20_000;

/// What one run found.
#[derive(Debug, Clone, Serialize)]
struct Run {
    kind: &'static str,
    /// The whole attempt.
    seconds: f64,
    /// Reading the facts.
    read_seconds: f64,
    /// Writing each format.
    format_seconds: Vec<f64>,
    format_mib: Vec<f64>,
    /// The most that the worker held in memory.
    peak_mib: f64,
}

impl Reports {
    /// Runs the scenario.
    pub(crate) async fn run(&self, servers: &Servers) -> anyhow::Result<Report> {
        let database_url = servers.create_database("reports").await?;
        let layout = || Layout {
            database_url: Some(database_url.clone()),
            definitions: Some(definitions(servers, self.jobs)),
            producer: true,
            ..Layout::default()
        };
        let fleet = Fleet::start(servers, layout()).await?;
        let client = fleet.database.client().await?;
        self.back_up(servers, &database_url, &client).await?;
        fleet.stop().await?;
        self.seed(&client).await?;
        let mut runs = Vec::new();
        for round in 1..=self.runs {
            for kind in KINDS {
                let fleet = Fleet::start(servers, layout()).await?;
                let run = self.measure(servers, &fleet, &client, kind).await?;
                eprintln!("round {round}: {run:?}");
                runs.push(run);
                fleet.stop().await?;
            }
        }
        Ok(self.report(&runs))
    }

    /// Has each job backed up once, copied twice and verified, so that there is evidence, and verdicts.
    async fn back_up(&self, servers: &Servers, database_url: &str, client: &Client) -> anyhow::Result<()> {
        let mut lines = String::new();
        for job in 0..self.jobs {
            let message =
                json!({ "version": 1, "id": Uuid::now_v7(), "kind": "backup", "job": format!("load-{job}") });
            _ = writeln!(lines, "{message}");
        }
        let file = servers.directory().join("backups.jsonl");
        std::fs::write(&file, lines)?;
        let file = file.to_str().context("a path that is not UTF-8")?;
        producer(servers, database_url, &["enqueue", "--from", file])?;
        let started = Instant::now();
        loop {
            let left = "select (select count(*) from task) + (select count(*) from lease)
                 + greatest($1 - (select count(*) from execution where kind = 'backup'), 0)";
            let left: i64 = client.query_one(left, &[&i64::from(self.jobs)]).await?.try_get(0)?;
            if left == 0 {
                return Ok(());
            }
            ensure!(started.elapsed().as_secs() < 600, "{left} tasks are left after ten minutes");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }

    /// Writes the rest of the history as if it had been rolled up: ten rows a job and day, three restore points, a change of each
    /// kind now and then.
    async fn seed(&self, client: &Client) -> anyhow::Result<()> {
        let days = i32::try_from(self.days)?;
        let rollup = "insert into rollup (span, at, job_id, kind, outcome, target_id, bucket, count, microseconds, bytes, bytes_added, \
                 files, source_errors)
             select 'day', date_bin('1 day', now(), 'epoch') - make_interval(days => d), j.id, w.kind,
                 case when (j.id + d) % 50 = 0 and w.n = 1 then 'failed' else 'success' end, 1 + w.n % 3, 60 + j.id % 40 + (d + w.n) % 6,
                 1, 1000000 * (1 + (j.id + d) % 600), 1000000000 + j.id, 10000000 + d, 1000, 0
             from generate_series(1, $1::integer) d cross join job j cross join (values (1, 'backup'), (2, 'copy'), (3, 'copy'),
                 (4, 'verify'), (5, 'verify'), (6, 'verify'), (7, 'verify'), (8, 'verify'), (9, 'verify'), (10, 'probe')) w(n, kind)
             on conflict do nothing";
        client.execute(rollup, &[&days]).await?;
        let points = "insert into restore_point (id, job_id, target_id, snapshot, data_time, created_at, seconds, files, bytes, bytes_added, \
                 source_errors, task_id, forgotten_at)
             select gen_random_uuid(), j.job_id, j.target_id, 'x', at, at + interval '5 minutes', 60, 1000, 1000000000, 10000000, 0, \
                 gen_random_uuid(), case when d > 30 then now() end
             from generate_series(1, $1::integer) d cross join job_target j
                 cross join lateral (select now() - make_interval(days => d) as at) t";
        client.execute(points, &[&days]).await?;
        let hours = "insert into compliance_hour
             select date_bin('1 hour', now(), 'epoch') - make_interval(hours => h), 1000, 950 + h % 50
             from generate_series(1, 24 * $1::integer) h on conflict do nothing";
        client.execute(hours, &[&days]).await?;
        record_changes(client, days, CHANGES).await?;
        client.batch_execute("vacuum (analyze)").await?;
        client.batch_execute("checkpoint").await?;
        Ok(())
    }

    async fn measure(
        &self,
        servers: &Servers,
        fleet: &Fleet,
        client: &Client,
        kind: &'static str,
    ) -> anyhow::Result<Run> {
        let to = shared::clock::now().date_naive();
        let from = to - chrono::Days::new(u64::from(self.days) - 1);
        let id = Uuid::now_v7().to_string();
        let params = [format!("report={kind}"), format!("from={from}"), format!("to={to}")];
        let params = params.iter().flat_map(|param| ["--param", param]);
        let arguments: Vec<&str> =
            ["enqueue", "report", "--wait", "--id", &id].into_iter().chain(params).collect();
        producer(servers, &fleet.database_url, &arguments)?;
        let attempt = "select seconds, detail -> 'seconds' as parts, detail ->> 'report' as report from execution where task_id = $1";
        let attempt = client.query_one(attempt, &[&Uuid::parse_str(&id)?]).await?;
        let parts: Value = attempt.try_get("parts")?;
        let part = |name: &str| parts[name].as_f64().unwrap_or_default();
        let report: String = attempt.try_get("report")?;
        let files = client
            .query(
                "select format, bytes from report_file where report_id = $1",
                &[&Uuid::parse_str(&report)?],
            )
            .await?;
        let size = |format: &str| {
            let file = files.iter().find(|row| row.get::<_, &str>("format") == format);
            file.map_or(0.0, |row| row.get::<_, i64>("bytes") as f64 / MIB)
        };
        let worker = fleet.workers.first().context("a worker")?;
        Ok(Run {
            kind,
            seconds: attempt.try_get("seconds")?,
            read_seconds: part("read"),
            format_seconds: FORMATS.map(part).to_vec(),
            format_mib: FORMATS.map(size).to_vec(),
            peak_mib: Usage::of(worker.pid())?.peak as f64 / MIB,
        })
    }

    fn report(&self, runs: &[Run]) -> Report {
        let Self { jobs, days, runs: times } = self;
        let mut table = Table::new([
            "report",
            "in all, s",
            "facts, s",
            "HTML",
            "PDF",
            "CSV",
            "JSON",
            "worker's peak, MiB",
        ]);
        for kind in KINDS {
            let of = || runs.iter().filter(move |run| run.kind == kind);
            let median = |figure: fn(&Run) -> f64| Spread::of(of().map(figure)).median;
            let most = Spread::of(of().map(|run| run.seconds)).most;
            let format = |place: usize| {
                let seconds = Spread::of(of().map(|run| run.format_seconds[place])).median;
                let size = Spread::of(of().map(|run| run.format_mib[place])).median;
                format!("{} s, {} MiB", number(seconds), number(size))
            };
            table.row([
                kind.to_owned(),
                format!("{} (at most {})", number(median(|run| run.seconds)), number(most)),
                number(median(|run| run.read_seconds)),
                format(0),
                format(1),
                format(2),
                format(3),
                number(Spread::of(of().map(|run| run.peak_mib)).most),
            ]);
        }
        Report {
            about: format!(
                "{times} runs of each report over {days} days and {jobs} jobs, each by a worker that has just started; medians, and the most of \
                 memory. Each job has three copies with evidence of every level, and ten rows of rollups a day; {} restore points and {} \
                 changes are on record. All four formats are made by one attempt.",
                number(f64::from(*jobs) * 3.0 * f64::from(*days)),
                number(f64::from(CHANGES)),
            ),
            tables: vec![table],
            json: json!({
                "scenario": "reports",
                "jobs": jobs,
                "days": days,
                "runs": runs,
                "most_seconds": Spread::of(runs.iter().map(|run| run.seconds)).most,
                "peak_mib": Spread::of(runs.iter().map(|run| run.peak_mib)).most,
            }),
        }
    }
}

/// Puts changes on record, evenly spread over some days.
pub(super) async fn record_changes(client: &Client, days: i32, changes: u32) -> anyhow::Result<()> {
    let statement = "insert into audit (at, actor, action, subject, name, after)
         select now() - make_interval(secs => n * $1::integer * 86400.0 / $2::integer), 'person-' || n % 20, 'enqueue', 'task', \
             gen_random_uuid()::text, '{\"kind\": \"backup\", \"priority\": \"normal\"}'
         from generate_series(1, $2::integer) n";
    client.execute(statement, &[&days, &i32::try_from(changes)?]).await?;
    Ok(())
}

/// Jobs with three targets, one of them at another site.
pub(super) fn definitions(servers: &Servers, jobs: u32) -> Value {
    let target = |name: &str, media: &str, site: &str| {
        json!({ "name": name, "repository": servers.directory().join(name), "site": site, "media": media, "failure_domain": name,
            "password": { "env": "UNUSED" } })
    };
    let source = json!({ "kind": "simulated", "failure_domain": "host-1", "site": "hq", "media": "disk", "bytes": "1GiB" });
    let job = |number: u32| {
        json!({ "name": format!("load-{number}"), "owner": format!("team-{}", number % 20), "source": source,
            "targets": ["disk", "nas", "away"] })
    };
    json!({
        "targets": [target("disk", "disk", "hq"), target("nas", "nas", "hq"), target("away", "object", "elsewhere")],
        "jobs": (0..jobs).map(job).collect::<Vec<_>>(),
    })
}
