//! Other systems that publish: with confirms, and remembering what was confirmed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use serde_json::{Value, json};
use shared::broker::{Broker, Publication, Publisher};
use shared::task::{Priority, TaskId, TaskKind};
use shared::tls::Trust;
use shared::topology::{TASKS_EXCHANGE, routing_key};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::screen::Screen;

/// Publishes that wait for their confirms at once.
const WINDOW: usize = 1000;
/// How often a steady load looks how many publishes are due.
const TICK: Duration = Duration::from_millis(20);
/// A publish that failed is tried again after this long, under the same id.
const AGAIN: Duration = Duration::from_millis(200);

/// What a load asks for.
#[derive(Debug, Clone)]
pub struct Order {
    kind: TaskKind,
    job: String,
    params: Value,
}

/// A backup of a job; verifications follow from it.
pub fn backup(job: impl Into<String>) -> Order {
    Order { kind: TaskKind::Backup, job: job.into(), params: json!({}) }
}

/// A restore of a job: no task follows from it.
pub fn restore(job: impl Into<String>) -> Order {
    Order { kind: TaskKind::Restore, job: job.into(), params: json!({ "into": "again" }) }
}

/// Publishes with confirms and `mandatory`, until each publish was confirmed.
pub struct Load {
    publisher: Publisher,
    confirmed: Mutex<Vec<TaskId>>,
    count: AtomicUsize,
    unconfirmed: AtomicUsize,
    screen: Screen,
    _owner: JoinSet<()>,
}

impl Load {
    /// A load for the broker at `url`; it connects by itself, again and again, and counts on `screen`.
    pub fn new(url: &str, screen: &Screen) -> Self {
        let broker = Broker::new(url.into(), Trust::default(), "load").expect("a broker's URL");
        let (publisher, owner) = Publisher::new(broker, "publish");
        let mut running = JoinSet::new();
        running.spawn(owner.run(CancellationToken::new()));
        Self {
            publisher,
            confirmed: Mutex::default(),
            count: AtomicUsize::new(0),
            unconfirmed: AtomicUsize::new(0),
            screen: screen.clone(),
            _owner: running,
        }
    }

    /// Publishes one task and waits for its confirm, however long that takes.
    pub async fn publish(&self, order: &Order) -> TaskId {
        let id = TaskId::generate();
        let body =
            json!({ "version": 1, "id": id, "kind": order.kind, "job": order.job, "params": order.params });
        let publication = Publication {
            exchange: TASKS_EXCHANGE,
            routing_key: routing_key(order.kind, Priority::Normal),
            body: body.to_string().into_bytes(),
            message_id: id.to_string(),
            headers: Vec::new(),
        };
        // Whatever went wrong, unroutable included, as on a wiped broker: in doubt it was published, and an id runs once.
        while self.publisher.publish(publication.clone()).await.is_err() {
            self.unconfirmed.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(AGAIN).await;
        }
        self.remember(id);
        id
    }

    /// Publishes many tasks as fast as the broker confirms them.
    pub async fn publish_all(&self, orders: impl IntoIterator<Item = Order>) {
        let publishing = futures_util::stream::iter(orders)
            .map(|order| async move { self.publish(&order).await })
            .buffer_unordered(WINDOW);
        publishing.for_each(|_| async {}).await;
    }

    /// Publishes `rate` tasks a second until `tasks` were published or `stop` says so, and waits for the confirms of
    /// those. What an outage holds up is not made up for.
    pub async fn steady(
        &self,
        rate: f64,
        tasks: usize,
        stop: &CancellationToken,
        order: impl Fn(usize) -> Order,
    ) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut due, mut published, mut last) = (0.0_f64, 0, Instant::now());
        let mut publishing = FuturesUnordered::new();
        while published < tasks && !stop.is_cancelled() {
            tokio::select! {
                _ = ticks.tick() => {
                    due = rate.mul_add(last.elapsed().as_secs_f64(), due).min(WINDOW as f64);
                    last = Instant::now();
                }
                Some(_) = publishing.next(), if !publishing.is_empty() => {}
                () = stop.cancelled() => {}
            }
            while due >= 1.0 && published < tasks {
                due -= 1.0;
                if publishing.len() < WINDOW {
                    let order = order(published);
                    publishing.push(async move { self.publish(&order).await });
                    published += 1;
                }
            }
        }
        publishing.for_each(|_| async {}).await;
    }

    /// Remembers a task that came in another way, as a committed row of the outbox.
    pub fn remember(&self, id: TaskId) {
        self.lock().push(id);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.screen.confirmed();
    }

    /// How many publishes were confirmed.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// How many publishes were not confirmed and were made again.
    pub fn unconfirmed(&self) -> usize {
        self.unconfirmed.load(Ordering::Relaxed)
    }

    /// What was confirmed.
    pub fn confirmed(&self) -> Vec<TaskId> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<TaskId>> {
        self.confirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
