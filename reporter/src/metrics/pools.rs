//! The scaling signal, from the database, the queues and what the workers say.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use deadpool_postgres::GenericClient;
use metrics::gauge;
use shared::db::backlog::{self, Backlog};
use shared::db::pool_setting::{self, PoolState};
use shared::db::worker::{PoolUse, Received, Worker};
use shared::db::{Error, limit, running};
use shared::limit::{Key, Limit};
use shared::task::{Priority, TaskKind, WorkerId};
use shared::topology;

use super::executions::Ended;
use super::queues::Depths;
use super::{POOL_ARRIVALS, POOL_COMPLETIONS, POOL_DRAIN, POOL_WAITING, POOL_WORK};
use crate::signal::{Estimator, Look};

/// The messages over which the tasks in one are averaged.
const MESSAGES: f64 = 100.0;

/// What is known of all pools.
#[derive(Debug, Default)]
pub(super) struct Pools {
    looked: Option<Instant>,
    by_kind: BTreeMap<TaskKind, Pool>,
    received: HashMap<(WorkerId, TaskKind), Received>,
}

/// What is known of the pools of one kind.
#[derive(Debug, Default)]
struct Pool {
    estimator: Estimator,
    per_message: PerMessage,
    /// What ended while nothing could be said of the pool.
    ended: Ended,
}

impl Pools {
    /// Looks at all pools; without the depths of the queues nothing can be said.
    pub(super) async fn look<C: GenericClient>(
        &mut self,
        client: &C,
        workers: &[Worker],
        depths: Option<&Depths>,
        ended: &BTreeMap<TaskKind, Ended>,
    ) -> Result<(), Error> {
        for (kind, received) in
            workers.iter().flat_map(|worker| self.new_messages(worker)).collect::<Vec<_>>()
        {
            self.by_kind.entry(kind).or_default().per_message.add(received);
        }
        for (kind, ended) in ended {
            let sum = &mut self.by_kind.entry(*kind).or_default().ended;
            *sum = Ended { attempts: sum.attempts + ended.attempts, seconds: sum.seconds + ended.seconds };
        }
        let Some(depths) = depths else { return Ok(()) };
        let backlog = backlog::by_kind(client).await?;
        let running: HashMap<String, i64> = running::count(client).await?.into_iter().collect();
        let limits = limit::all(client).await?;
        let (limits, settings) = (limit::effective(&limits), pool_setting::all(client).await?);
        let now = Instant::now();
        let elapsed = self.looked.replace(now).map(|before| now - before).unwrap_or_default();
        for &kind in TaskKind::ALL {
            let pool = self.by_kind.entry(kind).or_default();
            let messages =
                Priority::ALL.iter().filter_map(|&priority| depths.get(&topology::queue(kind, priority)));
            let messages: f64 = messages.map(|messages| f64::from(*messages)).sum();
            let Backlog { in_database, published } = backlog.get(&kind).copied().unwrap_or_default();
            // What was published is in one of the messages, or on its way from there to a slot.
            let in_queues = (messages * pool.per_message.mean()).max(published as f64);
            let limit = limits.get(&Key::Pool(kind)).map(|setting| setting.limit);
            // What no worker may start, more of them may not start either.
            let is_open = settings.iter().filter(|setting| setting.kind == kind && setting.worker.is_none());
            let is_open =
                is_open.filter_map(|setting| setting.state).all(|state| state == PoolState::Running);
            let ended = std::mem::take(&mut pool.ended);
            let look = Look {
                elapsed,
                waiting: in_database as f64 + in_queues,
                running: running.get(kind.as_str()).copied().unwrap_or(0) as f64,
                slots: open_slots(workers, kind),
                ended: ended.attempts,
                took: ended.seconds,
                cap: if is_open {
                    limit.and_then(|limit| limit.concurrency).map(f64::from)
                } else {
                    Some(0.0)
                },
                rate: limit.as_ref().and_then(Limit::rate).map(|rate| rate.per_second),
            };
            gauge!(POOL_WAITING, "kind" => kind.as_str()).set(look.waiting);
            if let Some(signal) = pool.estimator.look(&look) {
                gauge!(POOL_ARRIVALS, "kind" => kind.as_str()).set(signal.arrivals);
                gauge!(POOL_COMPLETIONS, "kind" => kind.as_str()).set(signal.completions);
                gauge!(POOL_WORK, "kind" => kind.as_str()).set(signal.work);
                gauge!(POOL_DRAIN, "kind" => kind.as_str()).set(signal.drain);
            }
        }
        Ok(())
    }

    /// What a worker has received since it was heard of before.
    fn new_messages(&mut self, worker: &Worker) -> Vec<(TaskKind, Received)> {
        let new = |(kind, pool): (&TaskKind, &PoolUse)| {
            let before = self.received.insert((worker.id, *kind), pool.received).unwrap_or_default();
            let Received { messages, tasks } = pool.received;
            let messages = messages.saturating_sub(before.messages);
            (*kind, Received { messages, tasks: tasks.saturating_sub(before.tasks) })
        };
        worker.pools.iter().map(new).collect()
    }
}

fn open_slots(workers: &[Worker], kind: TaskKind) -> f64 {
    let pools = workers.iter().filter_map(|worker| worker.pools.get(&kind));
    pools.filter(|pool| !pool.closed).map(|pool| pool.slots).sum::<usize>() as f64
}

/// How many tasks a message holds, by the last ones that were received: the broker only counts messages.
#[derive(Debug, Default)]
struct PerMessage {
    messages: f64,
    tasks: f64,
}

impl PerMessage {
    fn add(&mut self, received: Received) {
        let messages = received.messages as f64;
        let kept = (-messages / MESSAGES).exp();
        self.messages = self.messages * kept + messages;
        self.tasks = self.tasks * kept + received.tasks as f64;
    }

    fn mean(&self) -> f64 {
        if self.messages > 0.0 { self.tasks / self.messages } else { 1.0 }
    }
}
