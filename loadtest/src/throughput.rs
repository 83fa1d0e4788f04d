//! Tasks a second through the whole pipeline: confirm-publish, claim, execute, record, judge.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;
use serde_json::json;
use shared::broker::{Broker, Publication, Publisher};
use shared::task::{Priority, TaskKind};
use shared::topology::{TASKS_EXCHANGE, routing_key};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::fleet::Fleet;

/// Publishes that wait for their confirms at once.
const WINDOW: usize = 1000;

/// The `throughput` scenario
#[derive(Debug, clap::Args)]
pub(crate) struct Throughput {
    /// Tasks to publish
    #[arg(long, default_value_t = 20_000)]
    tasks: usize,
    /// Simulated jobs that they belong to, in turn
    #[arg(long, default_value_t = 1000)]
    jobs: usize,
    /// Worker processes
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Slots of each worker
    #[arg(long, default_value_t = 1000)]
    slots: usize,
    /// Messages carry so many tasks
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=500))]
    per_message: u16,
}

#[derive(Debug, Serialize)]
struct Figures {
    scenario: &'static str,
    tasks: usize,
    seconds: f64,
    tasks_per_second: f64,
    lost: i64,
    doubled: i64,
}

impl Throughput {
    /// Runs the scenario; fails if a task was lost or doubled.
    pub(crate) async fn run(&self, json: Option<&Path>) -> anyhow::Result<()> {
        let fleet = Fleet::start(self.jobs, self.workers, self.slots).await?;
        let started = Instant::now();
        tokio::try_join!(self.publish(&fleet), self.watch(&fleet))?;
        let seconds = started.elapsed().as_secs_f64();
        let figures = self.figures(&fleet, seconds).await?;
        println!(
            "{} tasks over {} jobs in {seconds:.2} s, from the first publish to the last commit: {:.0} tasks/s",
            figures.tasks, self.jobs, figures.tasks_per_second
        );
        if let Some(path) = json {
            std::fs::write(path, serde_json::to_vec_pretty(&figures)?)?;
        }
        fleet.stack.stop().await?;
        ensure!(
            figures.lost == 0 && figures.doubled == 0,
            "{} lost, {} doubled",
            figures.lost,
            figures.doubled
        );
        Ok(())
    }

    async fn publish(&self, fleet: &Fleet) -> anyhow::Result<()> {
        let broker = Broker::new(fleet.stack.rabbitmq.url().into(), "loadtest")?;
        let (publisher, owner) = Publisher::new(broker, "publish");
        let stop = CancellationToken::new();
        let per_message = usize::from(self.per_message);
        let publishing = async {
            let numbers: Vec<usize> = (0..self.tasks).collect();
            let mut confirms = stream::iter(numbers.chunks(per_message))
                .map(|numbers| publisher.publish(self.publication(numbers)))
                .buffer_unordered(WINDOW);
            while let Some(confirm) = confirms.next().await {
                confirm?;
            }
            stop.cancel();
            anyhow::Ok(())
        };
        let ((), result) = tokio::join!(owner.run(stop.clone()), publishing);
        result
    }

    fn publication(&self, numbers: &[usize]) -> Publication {
        let task = |number: &usize| json!({ "version": 1, "id": Uuid::now_v7(), "kind": "backup", "job": format!("load-{}", number % self.jobs) });
        let body = match numbers {
            [number] => task(number),
            many => json!({ "version": 1, "tasks": many.iter().map(task).collect::<Vec<_>>() }),
        };
        Publication {
            exchange: TASKS_EXCHANGE,
            routing_key: routing_key(TaskKind::Backup, Priority::Normal),
            body: body.to_string().into_bytes(),
            message_id: Uuid::now_v7().to_string(),
            headers: Vec::new(),
        }
    }

    /// Waits for the last commit, and says how far it is.
    async fn watch(&self, fleet: &Fleet) -> anyhow::Result<()> {
        let client = fleet.database.client().await?;
        let (mut done, mut moved) = (0, Instant::now());
        while done < i64::try_from(self.tasks)? {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now: i64 = client.query_one("select count(*) from execution", &[]).await?.try_get(0)?;
            if now > done {
                (done, moved) = (now, Instant::now());
            }
            ensure!(
                moved.elapsed() < Duration::from_mins(1),
                "{done} of {} tasks, and no more for a minute",
                self.tasks
            );
        }
        Ok(())
    }

    async fn figures(&self, fleet: &Fleet, seconds: f64) -> anyhow::Result<Figures> {
        let statement = "select count(distinct task_id), count(*) - count(distinct task_id) from execution";
        let row = fleet.database.client().await?.query_one(statement, &[]).await?;
        let (once, doubled): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let tasks_per_second = self.tasks as f64 / seconds;
        let lost = i64::try_from(self.tasks)? - once;
        Ok(Figures { scenario: "throughput", tasks: self.tasks, seconds, tasks_per_second, lost, doubled })
    }
}
