//! The broker forgets a worker's consumers and says nothing: the stream of deliveries stays open for ever.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use devstack::{Options, RabbitMq};
use serde_json::json;
use shared::task::{Priority, TaskKind};
use shared::topology;

use super::arena::{Arena, Findings, OwnServers, until};
use super::form::Form;
use super::report::{Report, bar};
use super::screen::Screen;
use crate::Servers;

/// Two looks of the watchdog, the time between them, and a new session.
const NOTICED_WITHIN: Duration = Duration::from_mins(1);
/// How long a step may take.
const LIMIT: Duration = Duration::from_mins(2);

/// Runs the scenario.
pub(super) async fn run(_: &Servers, form: Form, screen: &Screen) -> anyhow::Result<Report> {
    let rounds = form.pick(1, 3);
    let own = OwnServers::start(Options::default(), screen).await?;
    let arena = Arena::on(&own.servers(), "consumer", form, screen).await;
    arena.define([("short".to_owned(), json!({}))]).await;
    let producer = arena.producer(&[]);
    let worker = arena.worker("w0", &[]);

    let mut recovery = Duration::ZERO;
    let mut forgotten = 0;
    for _ in 0..rounds {
        arena.mark("short", LIMIT).await;
        forgotten += forget_consumers(&own.stack.rabbitmq, &arena).await?;
        arena.injected();
        arena.tell("the broker has forgotten the consumers");
        recovery = recovery.max(arena.mark("short", LIMIT).await);
    }
    arena.drain().await;
    let noticed = worker.log().matches("a consumer has silently gone").count();
    let findings = Findings {
        load: format!("one task a round, {forgotten} consumers forgotten"),
        recovery: Some(recovery),
        bars: vec![
            bar(noticed >= rounds, format!("the watchdog noticed it {noticed} times")),
            bar(
                recovery <= NOTICED_WITHIN,
                format!("the next task ran after {:.0} s <= 60 s", recovery.as_secs_f64()),
            ),
        ],
    };
    let report = arena.close(findings).await;
    drop((producer, worker));
    own.discard().await?;
    report
}

/// Takes the consumers of the restore queues out of the broker's own books, behind the back of their channels; returns
/// how many there were.
async fn forget_consumers(broker: &RabbitMq, arena: &Arena) -> anyhow::Result<usize> {
    let began = Instant::now();
    let (_, host) = arena.world.broker.url.rsplit_once('/').context("a URL with a virtual host")?;
    let mut forgotten = 0;
    for &priority in Priority::ALL {
        let queue = topology::queue(TaskKind::Restore, priority);
        let lookup = format!(
            "{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"{host}\">>, queue, <<\"{queue}\">>))"
        );
        let consumers = format!("begin {lookup}, length(rabbit_amqqueue:consumers(Q)) end.");
        let forget = format!(
            "begin {lookup}, [begin Consumer = {{element(2, C), element(1, C)}}, \
             {{ok, _, _}} = ra:process_command(amqqueue:get_pid(Q), \
             rabbit_fifo:make_checkout(Consumer, cancel, #{{}})), gone end || C <- rabbit_amqqueue:consumers(Q)] end."
        );
        let said = broker.control(&["eval", &forget]).await?;
        forgotten += said.matches("gone").count();
        until("the broker has no consumer", LIMIT.saturating_sub(began.elapsed()), async || {
            let left = broker.control(&["eval", &consumers]).await.ok()?;
            (left.trim() == "0").then_some(())
        })
        .await;
    }
    anyhow::ensure!(forgotten > 0, "there was no consumer to forget");
    Ok(forgotten)
}
