//! The first stage: takes deliveries from a kind's two queues and reads the tasks in them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::StreamExt as _;
use lapin::options::BasicAckOptions;
use lapin::types::ShortString;
use lapin::{Channel, Connection, Consumer};
use shared::broker::{self, Broker};
use shared::message::{self, Refusal, Refused, TaskMessage};
use shared::task::{Priority, TaskKind};
use shared::{clock, topology};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::consumers::{self, Consuming};
use crate::events;
use crate::identity::Counter;
use crate::metrics;
use crate::queues::{Arrival, Queues};
use crate::refuse::Refusing;
use crate::slots::{Setting, Slots};
use crate::ticket::{Prefix, Ticket};
use crate::traced::Traced;
use crate::window::{Held, Windows};
use crate::worker::Worker;

/// No delivery is held for longer: it is claimed, parked, dead-lettered, or goes back.
const HOLD: Duration = Duration::from_secs(10);

/// How long an acknowledgement waits for others: much less than what the broker has delivered ahead lasts.
const LINGER: Duration = Duration::from_millis(2);
/// Deliveries that are acknowledged at once, before what comes during the wait.
const MAX_ACK: usize = 1000;

/// A task with the right to settle it.
#[derive(Debug)]
pub struct Received {
    /// The task.
    pub task: TaskMessage,
    /// Its ticket.
    pub ticket: Ticket,
    /// Its trace, if it is traced.
    pub traced: Option<Box<Traced>>,
}

/// Where one pool's deliveries come from and go to.
pub struct Intake {
    /// Which queues.
    pub kind: TaskKind,
    /// The pool's slots.
    pub slots: Slots,
    /// Takes tasks that could be read; a full channel leaves deliveries with the broker.
    pub tasks: mpsc::Sender<Received>,
    /// Takes what could not.
    pub refusals: mpsc::Sender<Refusing>,
    /// The worker: nothing is held while it cannot claim.
    pub worker: Arc<Worker>,
}

impl Intake {
    /// Consumes, over one connection after the other, until `stop`.
    pub async fn run(self, broker: &Broker, stop: &CancellationToken) {
        let purpose = format!("consume {}", self.kind);
        broker.supervise(&purpose, stop, |connection| self.session(connection, stop)).await;
    }

    async fn session(&self, connection: Connection, stop: &CancellationToken) -> anyhow::Result<()> {
        tokio::select! {
            () = self.worker.leases.able() => {}
            () = stop.cancelled() => return Ok(()),
        }
        let channel = connection.create_channel().await?;
        let looking = connection.create_channel().await?;
        let own = Consuming::default();
        tokio::select! {
            ended = self.deliver(&channel, &own, stop) => ended,
            // What is held goes back with the channel: another worker may be able to claim it.
            () = self.worker.leases.unable_for(HOLD) => {
                anyhow::bail!("the database is away: what was delivered goes back to its queue")
            }
            gone = consumers::until_gone(&looking, self.kind, &own) => {
                let why = gone?;
                self.worker.identity.counters.count(Counter::ConsumersLost);
                events::consumer_lost(self.kind, why);
                anyhow::bail!(why)
            }
        }
    }

    async fn deliver(
        &self,
        channel: &Channel,
        own: &Consuming,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let (settled, tags) = mpsc::unbounded_channel();
        let consuming = async {
            let consumed = self.consume(channel, own, &settled, stop).await;
            drop(settled);
            consumed
        };
        // Acknowledging goes on until the last ticket is settled or dropped, also while consuming waits.
        let acknowledging = async { acknowledge(channel, own, tags).await.map_err(anyhow::Error::new) };
        // A fault of either ends both: a delivery that stays unsettled must not keep a dead session.
        tokio::try_join!(consuming, acknowledging)?;
        // What was delivered but not read goes back to its queue with the channel.
        channel.close(200, "done".into()).await?;
        Ok(())
    }

    async fn consume(
        &self,
        channel: &Channel,
        own: &Consuming,
        settled: &mpsc::UnboundedSender<u64>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let mut pool =
            Open { setting: self.slots.setting(), long: self.worker.limits.lines().long(), kind: self.kind };
        while !stop.is_cancelled() {
            // Another number of slots begins with other windows.
            let mut windows = Windows::new(u16::try_from(self.slots.total() * 2)?);
            self.consume_under(channel, own, settled, stop, &mut windows, &mut pool).await?;
        }
        Ok(())
    }

    /// Consumes until `stop`, or until the pool has another number of slots.
    async fn consume_under(
        &self,
        channel: &Channel,
        own: &Consuming,
        settled: &mpsc::UnboundedSender<u64>,
        stop: &CancellationToken,
        windows: &mut Windows,
        pool: &mut Open,
    ) -> anyhow::Result<()> {
        let slots = self.slots.total();
        while !stop.is_cancelled() && self.slots.total() == slots {
            tokio::select! {
                () = pool.opened() => {}
                () = stop.cancelled() => break,
            }
            let mut queues = Queues::open(channel, self.kind, windows).await?;
            own.set_active(true);
            tokio::select! {
                ended = self.take(&mut queues, windows, own, settled, pool, slots) => ended?,
                () = stop.cancelled() => {}
            }
            own.set_active(false);
            queues.cancel(channel).await?;
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                ready = self.take_rest(&mut queues, windows, own, settled) => ready?,
            }
        }
        Ok(())
    }

    /// Takes deliveries until the pool closes or is resized, or another number of them is to be delivered ahead.
    async fn take(
        &self,
        queues: &mut Queues<Consumer>,
        windows: &mut Windows,
        own: &Consuming,
        settled: &mpsc::UnboundedSender<u64>,
        pool: &mut Open,
        slots: usize,
    ) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                biased;
                () = pool.closed_or_resized(slots) => {
                    events::paused(self.kind);
                    return Ok(());
                }
                arrival = queues.next() => match arrival {
                    Some(Arrival::Delivery(priority, delivery)) => {
                        let held = self.read(priority, delivery?, own, settled).await;
                        if windows.saw(priority, held) {
                            events::delivered_ahead(self.kind, priority, windows.prefetch(priority));
                            return Ok(());
                        }
                    }
                    Some(Arrival::Ended) | None => anyhow::bail!("the broker cancelled a consumer"),
                },
            }
        }
    }

    /// Reads what was delivered before the consumers were cancelled, which must not wait here.
    async fn take_rest(
        &self,
        queues: &mut Queues<Consumer>,
        windows: &mut Windows,
        own: &Consuming,
        settled: &mpsc::UnboundedSender<u64>,
    ) -> anyhow::Result<()> {
        while let Some(arrival) = queues.next().await {
            if let Arrival::Delivery(priority, delivery) = arrival {
                let held = self.read(priority, delivery?, own, settled).await;
                // Whatever that changes, the next consumers begin with it.
                windows.saw(priority, held);
            }
        }
        Ok(())
    }

    async fn read(
        &self,
        priority: Priority,
        delivery: lapin::message::Delivery,
        own: &Consuming,
        settled: &mpsc::UnboundedSender<u64>,
    ) -> Held {
        own.delivered();
        let trace = broker::trace(&delivery.properties);
        let tasks = message::read(&delivery.data, trace.as_ref(), clock::now());
        let held = Held { tasks: tasks.len(), bytes: delivery.data.len() };
        self.worker.identity.received.count(self.kind, held.tasks);
        metrics::received(self.kind, held.tasks);
        let tickets = Ticket::issue(delivery.delivery_tag, tasks.len(), settled);
        for (task, ticket) in tasks.into_iter().zip(tickets) {
            // A receiver that is gone belongs to a pipeline that ends: the ticket is dropped, the message comes again.
            match task.and_then(|task| self.check_route(task, priority)) {
                Ok(task) => {
                    let message = delivery.properties.message_id().as_ref();
                    let traced = Traced::delivered(&task, message.map(ShortString::as_str));
                    _ = self.tasks.send(Received { task, ticket, traced }).await;
                }
                Err(refused) => {
                    let queue = topology::queue(self.kind, priority);
                    _ = self.refusals.send(Refusing { refused, queue, ticket }).await;
                }
            }
        }
        held
    }

    fn check_route(&self, task: TaskMessage, priority: Priority) -> Result<TaskMessage, Refused> {
        if task.kind == self.kind && task.priority == priority {
            return Ok(task);
        }
        let (kind, said) = (task.kind, task.priority);
        let queue = topology::queue(self.kind, priority);
        let refusal = Refusal::Misrouted(format!("a task {kind}.{said} came through the queue {queue}"));
        Err(task.refused(refusal))
    }
}

/// Whether a pool takes tasks from its queues: unless people have closed it, or so many tasks wait for it already that more
/// would be in vain.
struct Open {
    setting: watch::Receiver<Setting>,
    long: watch::Receiver<BTreeSet<TaskKind>>,
    kind: TaskKind,
}

impl Open {
    async fn opened(&mut self) {
        loop {
            // Pool and lines are as old as the session.
            _ = self.setting.wait_for(Setting::is_open).await;
            _ = self.long.wait_for(|long| !long.contains(&self.kind)).await;
            if self.setting.borrow().is_open() {
                return;
            }
        }
    }

    async fn closed_or_resized(&mut self, slots: usize) {
        tokio::select! {
            _ = self.setting.wait_for(|setting| !setting.is_open() || setting.total != slots) => {}
            _ = self.long.wait_for(|long| long.contains(&self.kind)) => {}
        }
    }
}

/// Takes what has come meanwhile; returns how many.
fn gather(tags: &mut mpsc::UnboundedReceiver<u64>, batch: &mut Vec<u64>) -> usize {
    let before = batch.len();
    batch.extend(std::iter::from_fn(|| tags.try_recv().ok()));
    batch.len() - before
}

/// Acknowledges whole prefixes of settled deliveries until no ticket is left. A delivery that stays unsettled for long,
/// because its dead letter cannot be published, holds up only itself: those after it are acknowledged one by one.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that acknowledges: tags come from settled tickets"
)]
async fn acknowledge(
    channel: &Channel,
    own: &Consuming,
    mut tags: mpsc::UnboundedReceiver<u64>,
) -> lapin::Result<()> {
    let (one, up_to_here) = (BasicAckOptions { multiple: false }, BasicAckOptions { multiple: true });
    let mut prefix = Prefix::default();
    let mut batch = Vec::new();
    let mut looks = tokio::time::interval(HOLD / 2);
    loop {
        let ended = tokio::select! {
            settled = tags.recv_many(&mut batch, MAX_ACK) => {
                // What was claimed together is acknowledged together: each acknowledgement is an entry of the queue's log.
                tokio::time::sleep(LINGER).await;
                let settled = settled + gather(&mut tags, &mut batch);
                own.settled(settled);
                if let Some(up_to) = batch.drain(..).filter_map(|tag| prefix.settle(tag)).last() {
                    channel.basic_ack(up_to, up_to_here).await?;
                }
                settled == 0
            }
            _ = looks.tick() => false,
        };
        if ended || prefix.is_stuck() {
            for tag in prefix.overtake() {
                channel.basic_ack(tag, one).await?;
            }
        }
        if ended {
            return Ok(());
        }
    }
}
