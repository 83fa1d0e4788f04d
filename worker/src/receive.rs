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
                tokio::select! {
                    resumed = self.pause(&mut queues, settled) => resumed?,
                    () = stop.cancelled() => {}
                }
            }
        }
        Ok(())
    }

    /// Takes deliveries until the pool is saturated (`true`).
    async fn take(
        &self,
        queues: &mut Queues<Consumer>,
        settled: &mpsc::UnboundedSender<u64>,
        saturated: &mut watch::Receiver<bool>,
    ) -> anyhow::Result<bool> {
        loop {
            tokio::select! {
                biased;
                () = wait_until_saturated(saturated) => return Ok(true),
                arrival = queues.next() => match arrival {
                    Some(Arrival::Delivery(priority, delivery)) => self.read(priority, delivery?, settled).await,
                    Some(Arrival::Ended) | None => anyhow::bail!("the broker cancelled a consumer"),
                },
            }
        }
    }

    /// What was delivered already must not wait here: unless a slot becomes free soon, it is parked like all before.
    async fn pause(
        &self,
        queues: &mut Queues<Consumer>,
        settled: &mpsc::UnboundedSender<u64>,
    ) -> anyhow::Result<()> {
        self.drain(queues, settled).await?;
        self.slots.freed().await;
        Ok(())
    }

    async fn drain(
        &self,
        queues: &mut Queues<Consumer>,
        settled: &mpsc::UnboundedSender<u64>,
    ) -> anyhow::Result<()> {
        while let Some(arrival) = queues.next().await {
            if let Arrival::Delivery(priority, delivery) = arrival {
                self.read(priority, delivery?, settled).await;
            }
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

    async fn open(&self, channel: &Channel) -> lapin::Result<Queues<Consumer>> {
        let consume = async |priority| {
            let queue = topology::queue(self.kind, priority);
            let options = BasicConsumeOptions::default();
            channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default()).await
        };
        Ok(Queues {
            high: Some(consume(Priority::High).await?),
            normal: Some(consume(Priority::Normal).await?),
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
struct Queues<S> {
    /// Absent once it has ended: a consumer tells its end only once.
    high: Option<S>,
    normal: Option<S>,
    streak: u32,
}

/// What comes from the two queues.
#[derive(Debug, PartialEq, Eq)]
enum Arrival<D> {
    /// A delivery.
    Delivery(Priority, D),
    /// A consumer was cancelled, by us or by the broker, and nothing more is in its buffer.
    Ended,
}

impl Queues<Consumer> {
    async fn cancel(&self, channel: &Channel) -> lapin::Result<()> {
        for consumer in self.high.iter().chain(&self.normal) {
            channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
        }
        Ok(())
    }
}

impl<S: Stream + Unpin> Queues<S> {
    fn queue(&mut self, priority: Priority) -> &mut Option<S> {
        match priority {
            Priority::High => &mut self.high,
            Priority::Normal => &mut self.normal,
        }
    }
}

impl<S: Stream + Unpin> Stream for Queues<S> {
    type Item = Arrival<S::Item>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.high.is_none() && self.normal.is_none() {
            return Poll::Ready(None);
        }
        let normal_first = self.streak >= HIGH_IN_A_ROW;
        let order = if normal_first {
            [Priority::Normal, Priority::High]
        } else {
            [Priority::High, Priority::Normal]
        };
        for priority in order {
            let Some(queue) = self.queue(priority) else { continue };
            match queue.poll_next_unpin(context) {
                Poll::Ready(Some(delivery)) => {
                    self.streak = if priority == Priority::High { self.streak + 1 } else { 0 };
                    return Poll::Ready(Some(Arrival::Delivery(priority, delivery)));
                }
                Poll::Ready(None) => {
                    *self.queue(priority) = None;
                    return Poll::Ready(Some(Arrival::Ended));
                }
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    /// As lapin's consumer: it tells its end once, and then hangs.
    fn consumer(deliveries: Vec<u32>) -> impl Stream<Item = u32> + Unpin {
        let mut deliveries = deliveries.into_iter();
        let mut ended = false;
        stream::poll_fn(move |_| match deliveries.next() {
            Some(delivery) => Poll::Ready(Some(delivery)),
            None if ended => Poll::Pending,
            None => {
                ended = true;
                Poll::Ready(None)
            }
        })
    }

    #[tokio::test]
    async fn two_queues_that_end_one_after_the_other_end_together() {
        let queues = Queues { high: Some(consumer(vec![])), normal: Some(consumer(vec![1, 2])), streak: 0 };
        let arrivals: Vec<_> = queues.collect().await;
        let normal = |delivery| Arrival::Delivery(Priority::Normal, delivery);
        assert_eq!(arrivals, [Arrival::Ended, normal(1), normal(2), Arrival::Ended]);
    }

    #[tokio::test]
    async fn a_long_high_queue_lets_a_normal_task_through_after_each_few() {
        let queues =
            Queues { high: Some(consumer((0..9).collect())), normal: Some(consumer(vec![1, 2])), streak: 0 };
        let arrivals: Vec<_> = queues.collect().await;
        let normal =
            arrivals.iter().position(|arrival| matches!(arrival, Arrival::Delivery(Priority::Normal, _)));
        assert_eq!(normal, Some(4));
    }
}
