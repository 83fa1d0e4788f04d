//! T9: the broker's disk alarm stops all publishers.

use std::time::{Duration, Instant};

use devstack::{Options, RabbitMq};
use serde_json::json;
use shared::task::TaskId;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::arena::{Arena, Findings, OwnServers, until};
use super::form::Form;
use super::load::restore;
use super::report::{Report, bar};
use super::screen::Screen;
use crate::Servers;

/// More than any disk has free, so that the alarm goes off.
const UNREACHABLE: &str = "1000000000000000";
/// What the broker is satisfied with otherwise.
const LITTLE: &str = "50000000";
/// How soon a person who enqueues has to know.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// How long a step may take.
const LIMIT: Duration = Duration::from_mins(2);

/// Runs the scenario.
pub(super) async fn run(_: &Servers, form: Form, screen: &Screen) -> anyhow::Result<Report> {
    let (rate, alarms) = form.pick((50.0, 1), (500.0, 3));
    let own = OwnServers::start(Options::default(), screen).await?;
    let arena = Arena::on(&own.servers(), "T9", form, screen).await;
    arena.define([("short".to_owned(), json!({}))]).await;
    let producer = arena.producer(&[]);
    let worker = arena.worker("w0", &[("HOLDFAST_POOLS_RESTORE_SLOTS", "200")]);

    let over = CancellationToken::new();
    let publishing = arena.load.steady(rate, usize::MAX, &over, |_| restore("short"));
    let breaking = async {
        // However this ends, so does the load.
        let _over = over.clone().drop_guard();
        let (mut slowest_answer, mut recovery) = (Duration::ZERO, Duration::ZERO);
        let (mut kept, mut stopped) = (true, true);
        for _ in 0..alarms {
            arena.mark("short", LIMIT).await;
            alarm(&own.stack.rabbitmq, UNREACHABLE, true).await?;
            arena.injected();
            arena.tell("the broker's disk alarm is on");
            let began = Instant::now();
            for _ in 0..form.pick(3, 10) {
                let answer = enqueue(&arena).await?;
                slowest_answer = slowest_answer.max(answer.took);
                kept &= answer.kept;
            }
            let confirmed = arena.load.count();
            // The fault itself takes its time.
            tokio::time::sleep(form.seconds(5, 40).saturating_sub(began.elapsed())).await;
            stopped &= arena.load.count() == confirmed;
            let off = Instant::now();
            alarm(&own.stack.rabbitmq, LITTLE, false).await?;
            arena.tell("the alarm is off");
            until("a publish is confirmed", LIMIT, async || (arena.load.count() > confirmed).then_some(()))
                .await;
            recovery = recovery.max(off.elapsed());
        }
        anyhow::Ok((slowest_answer, kept, stopped, recovery))
    };
    let ((), measured) = tokio::join!(publishing, breaking);
    let (slowest_answer, kept, stopped, recovery) = measured?;
    arena.drain().await;

    let unconfirmed = arena.load.unconfirmed();
    let findings = Findings {
        load: format!("{rate} publishes/s, {unconfirmed} unconfirmed and made again"),
        recovery: Some(recovery),
        bars: vec![
            bar(
                slowest_answer <= ANSWERED_WITHIN,
                format!("enqueue answers within {:.1} s <= 5 s", slowest_answer.as_secs_f64()),
            ),
            bar(stopped, "the alarm stops all publishers"),
            bar(kept, "what was enqueued is kept in the outbox"),
        ],
    };
    let report = arena.close(findings).await;
    drop((producer, worker));
    own.discard().await?;
    report
}

/// Moves the limit and waits until the alarm is as it should be.
async fn alarm(broker: &RabbitMq, limit: &str, on: bool) -> anyhow::Result<()> {
    broker.control(&["set_disk_free_limit", limit]).await?;
    until("the alarm has changed", LIMIT, async || {
        let alarms = broker.control(&["eval", "rabbit_alarm:get_alarms()."]).await.ok()?;
        (alarms.contains("disk") == on).then_some(())
    })
    .await;
    Ok(())
}

struct Answer {
    took: Duration,
    kept: bool,
}

/// Enqueues a task as a person would, and looks for its row.
async fn enqueue(arena: &Arena) -> anyhow::Result<Answer> {
    let id = Uuid::now_v7();
    let began = Instant::now();
    let id_text = id.to_string();
    let arguments = ["enqueue", "restore", "--job", "short", "--param", "into=again", "--id", &id_text];
    let run = arena.world.producer(&arguments).await;
    let took = began.elapsed();
    anyhow::ensure!(run.code == 0, "{run:?}");
    arena.load.remember(TaskId(id));
    let row = format!("select count(*) from task where id = '{id}'");
    Ok(Answer { took, kept: arena.number(&row).await == Some(1) })
}
