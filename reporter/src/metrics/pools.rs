//! The scaling signal, from the database, the queues and what the workers say.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use deadpool_postgres::GenericClient;
use metrics::gauge;
use shared::db::backlog::Backlog;
use shared::db::pool_setting::{self, PoolSetting, PoolState};
use shared::db::worker::{PoolUse, Received, Worker};
use shared::db::{Error, cap, limit, line};
use shared::limit::{Key, Limit};
use shared::task::{Priority, TaskKind, WorkerId};
use shared::topology;

use super::executions::Ended;
use super::pressure::{OfKind, Pressure};
use super::queues::Depths;
use crate::signal::{Estimator, Look, Recent};
use shared::metric;
use shared::metric::Metric;

metric!(POOL_WAITING: Metric::gauge(
    "holdfast_pool_waiting", &["kind"],
    "Tasks that wait for a slot of their pool and for nothing else, in queues and in the database, by \
     kind"
));
metric!(POOL_ARRIVALS: Metric::gauge(
    "holdfast_pool_arrivals_per_second", &["kind"],
    "Tasks that come to wait for a slot, averaged over the last minute, by kind"
));
metric!(POOL_COMPLETIONS: Metric::gauge(
    "holdfast_pool_completions_per_second", &["kind"],
    "Attempts that end, averaged over the last minute, by kind"
));
metric!(POOL_NEEDED: Metric::gauge(
    "holdfast_pool_slots_needed", &["kind"],
    "Slots that are needed, by kind: those in which tasks run, and as many more as have all that \
     waits begin within five minutes, at most one for each task; none for what the pool's own limits \
     or a pause hold back"
));
metric!(POOL_DRAIN: Metric::gauge(
    "holdfast_pool_drain_seconds", &["kind"],
    "In how long the last task that waits now has begun, with the slots that there are, by kind; \
     infinite without any"
));

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
#[derive(Debug)]
struct Pool {
    estimator: Estimator,
    /// How many tasks a message holds: the broker only counts messages.
    per_message: Recent,
    /// What left, and what ended, while nothing could be said of the pool.
    left: f64,
    ended: f64,
}

impl Default for Pool {
    fn default() -> Self {
        Self { estimator: Estimator::default(), per_message: Recent::new(MESSAGES), left: 0.0, ended: 0.0 }
    }
}

impl Pools {
    /// Looks at all pools; without the depths of the queues nothing can be said, and at the first look neither.
    pub(super) async fn look<C: GenericClient>(
        &mut self,
        client: &C,
        backlog: &BTreeMap<TaskKind, Backlog>,
        workers: &[Worker],
        depths: Option<&Depths>,
        ended: BTreeMap<TaskKind, Ended>,
    ) -> Result<Option<Pressure>, Error> {
        for (kind, received) in
            workers.iter().flat_map(|worker| self.new_messages(worker)).collect::<Vec<_>>()
        {
            if received.messages > 0 {
                let messages = received.messages as f64;
                let mean = received.tasks as f64 / messages;
                self.by_kind.entry(kind).or_default().per_message.add(messages, mean);
            }
        }
        for (kind, ended) in &ended {
            let pool = self.by_kind.entry(*kind).or_default();
            (pool.left, pool.ended) = (pool.left + ended.left, pool.ended + ended.attempts);
        }
        let Some(depths) = depths else { return Ok(None) };
        let mut kinds = BTreeMap::new();
        let limits = limit::all(client).await?;
        let (limits, settings) = (limit::effective(&limits), pool_setting::all(client).await?);
        let lines = line::waiting(client).await?;
        let caps: HashMap<Key, usize> =
            cap::all(client).await?.into_iter().map(|cap| (cap.key.clone(), cap.room())).collect();
        let now = Instant::now();
        let elapsed = self.looked.replace(now).map(|before| now - before).unwrap_or_default();
        for &kind in TaskKind::ALL {
            let pool = self.by_kind.entry(kind).or_default();
            let of_kind = backlog.get(&kind).copied().unwrap_or_default();
            let limit = limits.get(&Key::Pool(kind)).map(|setting| setting.limit);
            let look = Look {
                elapsed,
                waiting: of_kind.for_slot as f64
                    + pool.in_queues(kind, depths, of_kind)
                    + startable(kind, &lines, &limits, &caps),
                running: of_kind.running as f64,
                slots: open_slots(workers, kind),
                left: std::mem::take(&mut pool.left),
                ended: std::mem::take(&mut pool.ended),
                took: ended.get(&kind).and_then(|ended| ended.took.mean()),
                open: is_open(&settings, kind),
                cap: limit.and_then(|limit| limit.concurrency).map(f64::from),
                rate: limit.as_ref().and_then(Limit::rate).map(|rate| rate.per_second),
            };
            gauge!(POOL_WAITING, "kind" => kind.as_str()).set(look.waiting);
            if let Some(signal) = pool.estimator.look(&look) {
                gauge!(POOL_ARRIVALS, "kind" => kind.as_str()).set(signal.arrivals);
                gauge!(POOL_COMPLETIONS, "kind" => kind.as_str()).set(signal.completions);
                gauge!(POOL_NEEDED, "kind" => kind.as_str()).set(signal.needed);
                gauge!(POOL_DRAIN, "kind" => kind.as_str()).set(signal.drain);
                kinds.insert(kind, OfKind { drain: signal.drain, oldest_due: of_kind.oldest_due });
            }
        }
        Ok((!kinds.is_empty()).then(|| Pressure::now(kinds)))
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

/// How many tasks stand in lines of other keys than their pool although these would let them start, if they were called.
fn startable(
    kind: TaskKind,
    lines: &[line::Waiting],
    limits: &BTreeMap<&Key, &limit::Setting>,
    caps: &HashMap<Key, usize>,
) -> f64 {
    let of_kind = lines.iter().filter(|line| line.kind == kind && line.key != Key::Pool(kind));
    let startable = |line: &line::Waiting| {
        let tasks = usize::try_from(line.tasks).unwrap_or(0);
        match limits.get(&line.key).map(|setting| setting.limit) {
            // When a rate lets the next one start, it is called.
            Some(limit) if limit.rate().is_some() => 0,
            Some(limit) if limit.concurrency.is_some() => {
                tasks.min(caps.get(&line.key).copied().unwrap_or(tasks))
            }
            _ => tasks,
        }
    };
    of_kind.map(startable).sum::<usize>() as f64
}

/// Whether people let workers that are new start tasks of a kind: what was said of one worker alone does not count.
fn is_open(settings: &[PoolSetting], kind: TaskKind) -> bool {
    let of_all = settings.iter().filter(|setting| setting.kind == kind && setting.worker.is_none());
    of_all.filter_map(|setting| setting.state).all(|state| state == PoolState::Running)
}

impl Pool {
    /// Tasks in the queues of a kind. Those that the database knows are certain; of the messages, so many are taken to be copies of
    /// them, and the others to hold what messages held before.
    fn in_queues(&self, kind: TaskKind, depths: &Depths, backlog: Backlog) -> f64 {
        let messages =
            Priority::ALL.iter().filter_map(|&priority| depths.get(&topology::queue(kind, priority)));
        let messages: f64 = messages.map(|messages| f64::from(*messages)).sum();
        let tasks = messages * self.per_message.mean().unwrap_or(1.0);
        backlog.published as f64 + (tasks - backlog.publications as f64).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_line_of_a_key_that_has_room_counts_as_far_as_that_goes() {
        let key = |owner: &str| Key::Owner(owner.parse().unwrap());
        let line = |owner: &str, tasks| line::Waiting {
            kind: TaskKind::Backup,
            key: key(owner),
            tasks,
            since: shared::clock::now(),
        };
        let setting = |owner: &str, limit| limit::Setting {
            key: key(owner),
            origin: limit::Origin::Live,
            limit,
            set_by: "test".to_owned(),
            set_at: shared::clock::now(),
        };
        let capped = Limit { concurrency: Some(5), ..Limit::default() };
        let paced = Limit { starts_per_minute: Some(60.0), ..capped };
        let settings = [setting("capped", capped), setting("full", capped), setting("paced", paced)];
        let limits = limit::effective(&settings);
        let caps = HashMap::from([(key("capped"), 3), (key("full"), 0), (key("paced"), 5)]);
        let lines = [line("capped", 10), line("full", 20), line("paced", 40), line("free", 80)];
        let count = |kind| startable(kind, &lines, &limits, &caps);
        assert!((count(TaskKind::Backup) - 83.0).abs() < 1e-9, "{}", count(TaskKind::Backup));
        assert!(count(TaskKind::Verify).abs() < 1e-9);
    }

    #[test]
    fn what_was_published_again_and_again_counts_once() {
        let mut pool = Pool::default();
        let depths = Depths::from([(topology::queue(TaskKind::Backup, Priority::Normal), 120)]);
        let in_queues = |pool: &Pool, published, publications| {
            pool.in_queues(
                TaskKind::Backup,
                &depths,
                Backlog { published, publications, ..Backlog::default() },
            )
        };
        // All messages are somebody else's; then thirty tasks that were published four times each.
        assert!((in_queues(&pool, 0, 0) - 120.0).abs() < 1e-9);
        assert!((in_queues(&pool, 30, 120) - 30.0).abs() < 1e-9);
        // They are on their way from a queue to a slot.
        assert!((in_queues(&pool, 500, 500) - 500.0).abs() < 1e-9);
        pool.per_message.add(10.0, 50.0);
        assert!((in_queues(&pool, 30, 120) - (30.0 + 6000.0 - 120.0)).abs() < 1e-9);
    }
}
