//! T6b: the broker loses everything while the outbox is full.

use std::time::{Duration, Instant};

use devstack::Options;
use serde_json::json;
use shared::db::task::Waiting;
use shared::db::{self, known_id};
use shared::params::Params;
use shared::task::{Priority, Task, TaskId, TaskKind};

use super::arena::{Arena, Findings, OwnServers};
use super::form::Form;
use super::report::{Report, bar};
use super::screen::Screen;
use crate::Servers;

/// Rows that are written in one transaction.
const BATCH: usize = 1000;

/// Runs the scenario.
pub(super) async fn run(_: &Servers, form: Form, screen: &Screen) -> anyhow::Result<Report> {
    let (rows, wipes) = form.pick((300, 2), (20_000, 4));
    let mut own = OwnServers::start(Options::default(), screen).await?;
    let arena = Arena::on(&own.servers(), "T6b", form, screen).await;
    arena.define([("short".to_owned(), json!({ "duration": "100ms" }))]).await;
    let producer = arena.producer(&[("HOLDFAST_REPUBLISH_AFTER", "3s")]);
    arena.tell("filling the outbox");
    fill_outbox(&arena, rows).await?;
    let confirmed = "select count(*) from task where confirmed > 0";
    arena.until_number("all is confirmed", Duration::from_mins(2), confirmed, i64::try_from(rows)?).await;

    let began = Instant::now();
    let mut workers = Vec::new();
    for wipe in 0..wipes {
        arena.tell("the broker is wiped");
        arena.injected();
        own.stack.rabbitmq.wipe().await?;
        own.stack.rabbitmq.start().await?;
        arena.world.broker.ensure().await;
        // The later ones happen while workers run.
        if wipe == 0 {
            workers.extend((0..2).map(|number| arena.worker(&format!("w{number}"), &[])));
        }
        let part = rows * (wipe + 1) / (wipes + 1);
        let done = format!("select (count(*) >= {part})::int::bigint from execution");
        arena.until_number("some are done", Duration::from_mins(3), &done, 1).await;
    }
    arena.drain().await;
    let recovery = began.elapsed();
    let ended = "select count(*) from execution where outcome = 'success'";
    let ended = arena.number(ended).await.unwrap_or(-1);

    let findings = Findings {
        load: format!("{rows} rows in the outbox"),
        recovery: Some(recovery),
        bars: vec![bar(ended == i64::try_from(rows)?, format!("{ended} of {rows} reached their end"))],
    };
    let report = arena.close(findings).await;
    drop((producer, workers));
    own.discard().await?;
    report
}

/// Writes rows as a command does, and remembers their ids once they are committed.
async fn fill_outbox(arena: &Arena, rows: usize) -> anyhow::Result<()> {
    let mut client = arena.world.database.client().await?;
    let job: i32 = client.query_one("select id from job where name = 'short'", &[]).await?.try_get(0)?;
    let tasks: Vec<Task> = (0..rows).map(|_| task(job)).collect();
    for tasks in tasks.chunks(BATCH) {
        let transaction = client.transaction().await?;
        let now = db::now(&transaction).await?;
        let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
        known_id::insert(&transaction, &ids).await?;
        let waiting: Vec<Waiting> = tasks.iter().map(|task| Waiting::new(task.clone(), now)).collect();
        db::task::insert(&transaction, &waiting).await?;
        transaction.commit().await?;
        for id in ids {
            arena.load.remember(id);
        }
    }
    Ok(())
}

fn task(job: i32) -> Task {
    Task {
        id: TaskId::generate(),
        kind: TaskKind::Restore,
        priority: Priority::Normal,
        job: Some(shared::job::JobId(job)),
        params: Params::from(&json!({ "into": "again" })),
        requested_by: "faults".to_owned(),
        enqueued_at: shared::clock::now(),
        trace: None,
    }
}
