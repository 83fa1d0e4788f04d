//! Publishing over AMQP with confirms, as another system would.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::ops::Range;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use shared::task::{Priority, TaskKind};
use shared::topology::{TASKS_EXCHANGE, routing_key};
use uuid::Uuid;

/// Publishes that wait for their confirms at once.
const WINDOW: usize = 1000;
/// How long the broker may refuse messages after the first.
const REFUSALS: Duration = Duration::from_secs(10);

/// What is published.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// Of which kind.
    pub(crate) kind: TaskKind,
    /// Its parameters, as JSON.
    pub(crate) params: &'static str,
    /// The jobs `load-0` and so on, in turn.
    pub(crate) jobs: usize,
    /// Tasks that travel in one message.
    pub(crate) per_message: usize,
    /// Through which queue.
    pub(crate) priority: Priority,
}

impl Load {
    /// Probes of the load's target, each a message.
    pub(crate) const fn probes(jobs: usize) -> Self {
        Self {
            kind: TaskKind::Probe,
            params: r#"{"target":"load"}"#,
            jobs,
            per_message: 1,
            priority: Priority::Normal,
        }
    }

    /// The body of a message with the tasks of these numbers.
    pub(crate) fn body(&self, numbers: Range<usize>) -> String {
        let mut body = String::with_capacity(160 * numbers.len() + 32);
        let many = self.per_message > 1;
        if many {
            body.push_str(r#"{"version":1,"tasks":["#);
        }
        for number in numbers.clone() {
            if number > numbers.start {
                body.push(',');
            }
            self.write(&mut body, number, Uuid::now_v7());
        }
        if many {
            body.push_str("]}");
        }
        body
    }

    /// The body of a message with one task of a given id.
    pub(super) fn single(&self, number: usize, id: Uuid) -> String {
        let mut body = String::with_capacity(192);
        self.write(&mut body, number, id);
        body
    }

    fn write(&self, body: &mut String, number: usize, id: Uuid) {
        let Self { kind, params, jobs, priority, .. } = self;
        let job = number % jobs;
        // Writing into a string cannot fail.
        _ = write!(
            body,
            r#"{{"version":1,"id":"{id}","kind":"{kind}","job":"load-{job}","requested_by":"loadtest","priority":"{priority}","params":{params}}}"#
        );
    }
}

/// Publishes `tasks` tasks to Holdfast and waits until the broker has confirmed all of them.
pub(crate) async fn publish(amqp_url: &str, load: &Load, tasks: usize) -> anyhow::Result<()> {
    publish_to(amqp_url, TASKS_EXCHANGE, &routing_key(load.kind, load.priority), load, tasks).await
}

/// As [`publish`], to any exchange.
pub(crate) async fn publish_to(
    amqp_url: &str,
    exchange: &str,
    key: &str,
    load: &Load,
    tasks: usize,
) -> anyhow::Result<()> {
    publish_numbers(amqp_url, exchange, key, load, 0..tasks).await
}

/// As [`publish_to`], the tasks of these numbers, and so of the jobs with these numbers.
pub(crate) async fn publish_numbers(
    amqp_url: &str,
    exchange: &str,
    key: &str,
    load: &Load,
    Range { start: mut first, end: tasks }: Range<usize>,
) -> anyhow::Result<()> {
    let (connection, channel) = open(amqp_url).await?;
    let mut confirms = VecDeque::new();
    // A quorum queue that was just declared refuses until it has a leader.
    let patience = Instant::now() + REFUSALS;
    let mut refused = Vec::new();
    while first < tasks || !refused.is_empty() || !confirms.is_empty() {
        let mut bodies = std::mem::take(&mut refused);
        while confirms.len() + bodies.len() < WINDOW && first < tasks {
            let end = (first + load.per_message).min(tasks);
            bodies.push(load.body(first..end));
            first = end;
        }
        // The client's call ends when its message is written: one after the other, each would be a write of its own, and
        // would wake three threads.
        let sent = bodies.iter().map(|body| send(&channel, exchange, key, body.as_bytes()));
        let sent = try_join_all(sent).await?;
        confirms.extend(bodies.into_iter().zip(sent));
        for (body, confirm) in confirms.drain(..confirms.len().div_ceil(2)) {
            match confirm.await? {
                Confirmation::Ack(None) => {}
                Confirmation::Nack(_) if Instant::now() < patience => refused.push(body),
                other => anyhow::bail!("the broker did not take a message: {other:?}"),
            }
        }
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}

/// A connection, which closes when its last handle is gone, and a channel of it with confirms.
pub(super) async fn open(amqp_url: &str) -> anyhow::Result<(Connection, Channel)> {
    let connection = Connection::connect(amqp_url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok((connection, channel))
}

/// Sends one message that is kept through a restart.
pub(super) async fn send(
    channel: &Channel,
    exchange: &str,
    key: &str,
    body: &[u8],
) -> lapin::Result<lapin::PublisherConfirm> {
    let properties =
        BasicProperties::default().with_delivery_mode(2).with_content_type("application/json".into());
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    channel.basic_publish(exchange.into(), key.into(), options, body, properties).await
}
