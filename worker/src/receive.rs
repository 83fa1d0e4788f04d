//! The first stage: takes deliveries from a kind's two queues and reads the tasks in them.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{Stream, StreamExt as _};
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use shared::broker::Broker;
use shared::message::{self, Refusal, Refused, TaskMessage};
use shared::task::{Priority, TaskKind};
use shared::{clock, topology};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::admit::Slots;
use crate::events;
use crate::refuse::Refusing;
use crate::ticket::{Prefix, Ticket};

/// How many tasks of high priority may pass one of normal priority that waits.
const HIGH_IN_A_ROW: u32 = 4;

/// A task with the right to settle it.
#[derive(Debug)]
pub struct Received {
    /// The task.
    pub task: TaskMessage,
    /// Its ticket.
    pub ticket: Ticket,
}

/// Where one pool's deliveries come from and go to.
pub struct Intake {
    /// Which queues.
    pub kind: TaskKind,
    /// The pool's slots: nothing is consumed while none is free.
    pub slots: Slots,
    /// Takes tasks that could be read; a full channel leaves deliveries with the broker.
    pub tasks: mpsc::Sender<Received>,
    /// Takes what could not.
    pub refusals: mpsc::Sender<Refusing>,
}

impl Intake {
    /// Consumes, over one connection after the other, until `stop`.
    pub async fn run(self, broker: &Broker, stop: &CancellationToken) {
        let purpose = format!("consume {}", self.kind);
        broker.supervise(&purpose, stop, |connection| self.session(connection, stop)).await;
    }

    async fn session(&self, connection: Connection, stop: &CancellationToken) -> anyhow::Result<()> {
        let channel = connection.create_channel().await?;
        let prefetch = u16::try_from(self.slots.total() * 2)?;
        channel.basic_qos(prefetch, BasicQosOptions { global: false }).await?;
        let (settled, tags) = mpsc::unbounded_channel();
        let consuming = async {
            let consumed = self.consume(&channel, &settled, stop).await;
            drop(settled);
            consumed
        };
        // Acknowledging goes on until the last ticket is settled or dropped, also while consuming waits.
        let (consumed, acknowledged) = tokio::join!(consuming, acknowledge(&channel, tags));
        consumed?;
        acknowledged?;
        // What was delivered but not read goes back to its queue with the channel.
        channel.close(200, "done".into()).await?;
        Ok(())
    }

    async fn consume(
        &self,
        channel: &Channel,
        settled: &mpsc::UnboundedSender<u64>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let mut saturated = self.slots.saturated();
        while !stop.is_cancelled() {
            let mut queues = self.open(channel).await?;
            let paused = tokio::select! {
                ended = self.take(&mut queues, settled, &mut saturated) => ended?,
                () = stop.cancelled() => false,
            };
            queues.cancel(channel).await?;
            if paused {
                events::paused(self.kind);
                // What was delivered already must not wait here: it is parked, like all that came before it.
                self.drain(&mut queues, settled).await?;
                tokio::select! {
                    () = self.slots.freed() => {}
                    () = stop.cancelled() => {}
                }
            }
        }
        Ok(())
    }

    /// Takes deliveries until the pool is saturated (`true`).
    async fn take(
        &self,
        queues: &mut Queues,
        settled: &mpsc::UnboundedSender<u64>,
        saturated: &mut watch::Receiver<bool>,
    ) -> anyhow::Result<bool> {
        loop {
            tokio::select! {
                biased;
                () = wait_until_saturated(saturated) => return Ok(true),
                delivery = queues.next() => match delivery {
                    Some((priority, delivery)) => self.read(priority, delivery?, settled).await,
                    None => anyhow::bail!("the broker cancelled the consumer"),
                },
            }
        }
    }

    async fn drain(&self, queues: &mut Queues, settled: &mpsc::UnboundedSender<u64>) -> anyhow::Result<()> {
        while let Some((priority, delivery)) = queues.next().await {
            self.read(priority, delivery?, settled).await;
        }
        Ok(())
    }

    async fn read(
        &self,
        priority: Priority,
        delivery: lapin::message::Delivery,
        settled: &mpsc::UnboundedSender<u64>,
    ) {
        let tasks = message::read(&delivery.data, clock::now());
        let tickets = Ticket::issue(delivery.delivery_tag, tasks.len(), settled);
        for (task, ticket) in tasks.into_iter().zip(tickets) {
            // A receiver that is gone belongs to a pipeline that ends: the ticket is dropped, the message comes again.
            match task.and_then(|task| self.check_route(task, priority)) {
                Ok(task) => _ = self.tasks.send(Received { task, ticket }).await,
                Err(refused) => {
                    let queue = topology::queue(self.kind, priority);
                    _ = self.refusals.send(Refusing { refused, queue, ticket }).await;
                }
            }
        }
    }

    fn check_route(&self, task: TaskMessage, priority: Priority) -> Result<TaskMessage, Refused> {
        if task.kind == self.kind && task.priority == priority {
            return Ok(task);
        }
        let (kind, said) = (task.kind, task.priority);
        let queue = topology::queue(self.kind, priority);
        let refusal = Refusal::Misrouted(format!("a task {kind}.{said} came through the queue {queue}"));
        Err(Refused { refusal, body: task.to_body() })
    }

    async fn open(&self, channel: &Channel) -> lapin::Result<Queues> {
        let consume = async |priority| {
            let queue = topology::queue(self.kind, priority);
            let options = BasicConsumeOptions::default();
            channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default()).await
        };
        Ok(Queues {
            high: consume(Priority::High).await?,
            normal: consume(Priority::Normal).await?,
            streak: 0,
        })
    }
}

async fn wait_until_saturated(saturated: &mut watch::Receiver<bool>) {
    if saturated.wait_for(|saturated| *saturated).await.is_err() {
        // The slots are as old as the pool; without them nothing is ever saturated.
        std::future::pending::<()>().await;
    }
}

/// Acknowledges whole prefixes of settled deliveries until no ticket is left.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that acknowledges: tags come from settled tickets"
)]
async fn acknowledge(channel: &Channel, mut tags: mpsc::UnboundedReceiver<u64>) -> lapin::Result<()> {
    let mut prefix = Prefix::default();
    let mut batch = Vec::new();
    while tags.recv_many(&mut batch, 1000).await > 0 {
        if let Some(up_to) = batch.drain(..).filter_map(|tag| prefix.settle(tag)).last() {
            channel.basic_ack(up_to, BasicAckOptions { multiple: true }).await?;
        }
    }
    Ok(())
}

/// The two queues of a kind as one stream: high before normal, but never for ever.
struct Queues {
    high: Consumer,
    normal: Consumer,
    streak: u32,
}

impl Queues {
    async fn cancel(&self, channel: &Channel) -> lapin::Result<()> {
        for consumer in [&self.high, &self.normal] {
            channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
        }
        Ok(())
    }
}

impl Stream for Queues {
    type Item = (Priority, lapin::Result<lapin::message::Delivery>);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let normal_first = self.streak >= HIGH_IN_A_ROW;
        let order = if normal_first {
            [Priority::Normal, Priority::High]
        } else {
            [Priority::High, Priority::Normal]
        };
        let mut ended = 0;
        for priority in order {
            let queue = if priority == Priority::High { &mut self.high } else { &mut self.normal };
            match queue.poll_next_unpin(context) {
                Poll::Ready(Some(delivery)) => {
                    self.streak = if priority == Priority::High { self.streak + 1 } else { 0 };
                    return Poll::Ready(Some((priority, delivery)));
                }
                Poll::Ready(None) => ended += 1,
                Poll::Pending => {}
            }
        }
        if normal_first {
            self.streak = 0;
        }
        if ended == 2 { Poll::Ready(None) } else { Poll::Pending }
    }
}
