//! T4: the broker closes channels that hold a delivery for some seconds, and tasks run and wait for much longer.

use std::time::Duration;

use devstack::Options;
use futures_util::StreamExt as _;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use reqwest::Method;
use serde_json::json;

use super::arena::{Arena, Findings, OwnServers};
use super::form::Form;
use super::load::{Load, restore};
use super::report::{Report, bar};
use super::screen::Screen;
use crate::{Servers, VirtualHost};

/// How long the broker lets a consumer hold a delivery: half as long again as a worker does at most.
const TIMEOUT: Duration = Duration::from_secs(15);
/// What the broker says when it closes a channel for that.
const CLOSED: &str = "delivery acknowledgement on channel";

/// Runs the scenario.
pub(super) async fn run(_: &Servers, form: Form, screen: &Screen) -> anyhow::Result<Report> {
    let (slots, rounds, takes) = form.pick((2, 2, "25s"), (10, 3, "60s"));
    let options = Options {
        rabbitmq_settings: format!("consumer_timeout = {}", TIMEOUT.as_millis()),
        // It is looked at on the channel's tick, once a minute as delivered.
        rabbitmq_advanced: "[{rabbit, [{channel_tick_interval, 1000}]}].\n".to_owned(),
        ..Options::default()
    };
    let own = OwnServers::start(options, screen).await?;
    let arena = Arena::on(&own.servers(), "T4", form, screen).await;
    arena.define([("long".to_owned(), json!({ "duration": takes }))]).await;
    let producer = arena.producer(&[]);
    let slot_text = slots.to_string();
    let worker = arena.worker("w0", &[("HOLDFAST_POOLS_RESTORE_SLOTS", slot_text.as_str())]);
    // Some run, the others wait for a slot: neither may keep its delivery.
    arena.load.publish_all(vec![restore("long"); slots * rounds]).await;
    arena.injected();
    arena.tell("running and waiting far beyond the time-out");
    let servers = own.servers();
    let (drained, control) = tokio::join!(arena.drain(), control(&servers));
    let control = control?;

    let log = std::fs::read_to_string(own.stack.directory().join("rabbitmq.log"))?;
    let closes = closes(&log, arena.world.broker.name());
    let redelivered = redelivered(&arena).await;
    let findings = Findings {
        load: format!("{} tasks of {takes} in {slots} slots", slots * rounds),
        recovery: None,
        bars: vec![
            bar(control, format!("a consumer that holds a delivery for {} s is closed", TIMEOUT.as_secs())),
            bar(closes == 0, format!("{closes} channels of ours were closed")),
            bar(redelivered == 0, format!("{redelivered} messages were delivered again")),
            bar(drained > TIMEOUT * 2, "tasks took far longer than the time-out"),
        ],
    };
    let report = arena.close(findings).await;
    drop((producer, worker));
    own.discard().await?;
    report
}

/// A consumer that does what ours must not, in a virtual host of its own: holds a delivery. Whether it is closed.
async fn control(servers: &Servers) -> anyhow::Result<bool> {
    let host = VirtualHost::create(servers, "control").await;
    let (_connection, channel) = host.channel().await;
    Load::new(&host.url, &Screen::default()).publish(&restore("nobody")).await;
    channel.basic_qos(1, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let mut consumer = channel
        .basic_consume("holdfast.restore.normal".into(), "".into(), options, FieldTable::default())
        .await?;
    let held = consumer.next().await;
    anyhow::ensure!(matches!(held, Some(Ok(_))), "the control consumer got no delivery: {held:?}");
    let closed = tokio::time::timeout(TIMEOUT * 3, consumer.next()).await;
    Ok(matches!(closed, Ok(None | Some(Err(_)))))
}

/// How many channels of a virtual host the broker closed for holding a delivery, by its log. The virtual host stands
/// in the line before.
fn closes(log: &str, host: &str) -> usize {
    let lines: Vec<&str> = log.lines().collect();
    lines.windows(2).filter(|pair| pair[1].contains(CLOSED) && pair[0].contains(host)).count()
}

/// Messages that were delivered again, as far as the broker counts.
async fn redelivered(arena: &Arena) -> u64 {
    let path = format!("queues/{}", arena.world.broker.name());
    let queues = arena.world.broker.manage(Method::GET, &path, None).await;
    let queues = queues.as_array().into_iter().flatten();
    // Reading the dead letters for the check comes later than this.
    queues.filter_map(|queue| queue["message_stats"]["redeliver"].as_u64()).sum()
}
