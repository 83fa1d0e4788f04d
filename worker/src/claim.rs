//! The third stage: one transaction makes a batch of tasks this worker's own, or has them wait in the database; then they
//! are acknowledged.

mod start;
mod transaction;
mod waiting;

use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::db;
use shared::db::lease::Leased;
use shared::limit::Key;
use shared::message::{Refusal, TaskMessage};
use shared::task::{Epoch, TaskId, TaskKind};
use shared::topology;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admit::{Admitted, Permits, Wish};
use crate::batches::Batches;
use crate::call::Call;
use crate::events;
use crate::lease::Lease;
use crate::metrics::{self, Stage};
use crate::plan::Plan;
use crate::refuse::Refusing;
use crate::slots::Slot;
use crate::ticket::Ticket;
use crate::traced::{self, Traced};
use crate::worker::Worker;
pub(crate) use transaction::Answer;
use transaction::{Earlier, Persisted, Started, transact};

/// How long a transaction waits for more tasks under load.
const LINGER: Duration = Duration::from_millis(5);
/// How long a transaction may go on after the stop.
const LAST_MOMENT: Duration = Duration::from_secs(3);
/// How long a transaction may take before it is begun anew on another connection: less than a delivery is held. For
/// one task alone it is doubled each time.
const TRANSACTION_LIMIT: Duration = Duration::from_secs(8);
/// No transaction may take longer.
const LONGEST_TRANSACTION: Duration = Duration::from_mins(2);

/// A task that this worker owns and runs.
#[derive(Debug)]
pub struct Claimed {
    /// The task with its attempt.
    pub leased: Leased,
    /// Its job and targets.
    pub plan: Plan,
    /// Extended as long as it is held.
    pub lease: Lease,
    /// Freed at the end of the work.
    pub slot: Slot,
    /// What lets it start, where a rate is limited.
    pub permits: Permits,
    /// Its trace, if it is traced.
    pub traced: Option<Box<Traced>>,
}

/// What comes to be claimed.
#[derive(Debug)]
pub enum Entry {
    /// A task from a queue.
    Delivered(Admitted),
    /// Tasks that wait in a line.
    Called(Call),
}

/// What is claimed in one transaction.
struct Batch {
    delivered: Vec<Admitted>,
    calls: Vec<Call>,
    /// What tries of the transaction may have done before this batch was halved.
    earlier: Earlier,
}

impl Batch {
    fn of(entries: Vec<Entry>) -> Self {
        let delivered = Vec::with_capacity(entries.len());
        let mut batch = Self { delivered, calls: Vec::new(), earlier: Earlier::default() };
        for entry in entries {
            match entry {
                Entry::Delivered(admitted) => batch.delivered.push(admitted),
                Entry::Called(call) => batch.calls.push(call),
            }
        }
        batch
    }

    const fn len(&self) -> usize {
        self.delivered.len() + self.calls.len()
    }

    /// Two halves, to look for the one at fault.
    fn halves(mut self) -> [Self; 2] {
        let (calls, delivered) = (self.calls.len().div_ceil(2), self.delivered.len() / 2);
        self.earlier.called.resize(self.calls.len(), Vec::new());
        let earlier = Earlier { called: self.earlier.called.split_off(calls), ..self.earlier };
        let (calls, delivered) = (self.calls.split_off(calls), self.delivered.split_off(delivered));
        [Self { delivered, calls, earlier }, self]
    }
}

/// Claims in batches, as large as what came while the transaction before ran, until nothing comes any more. What the
/// database has not taken by the time of `stop` goes back to its queue.
pub async fn run(
    kind: TaskKind,
    entries: mpsc::Receiver<Entry>,
    claimed: mpsc::Sender<Claimed>,
    refusals: mpsc::Sender<Refusing>,
    worker: &Worker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut entries = Batches::new(entries, LINGER);
    let mut last_moment = None;
    while let Some(batch) = entries.next().await {
        // A batch that the database refuses is halved until the task at fault stands alone.
        let mut batches = vec![Batch::of(batch)];
        while let Some(mut batch) = batches.pop() {
            let mut earlier = std::mem::take(&mut batch.earlier);
            let persisted = tokio::select! {
                persisted = persist(kind, &batch, &mut earlier, worker) => persisted,
                () = given_up(stop, &mut last_moment) => continue,
            };
            match persisted {
                Ok(persisted) => hand_over(kind, batch, persisted, &claimed, &refusals, worker).await,
                Err(error) if batch.len() > 1 => {
                    events::batch_split("claim", batch.len(), &error.to_string());
                    batches.extend(Batch { earlier, ..batch }.halves());
                }
                Err(error) => refuse_all(kind, batch, &error, &refusals, worker).await,
            }
        }
    }
    Ok(())
}

/// A transaction that is under way gets another moment: a lease that nobody knows of would have to expire.
async fn given_up(stop: &CancellationToken, last_moment: &mut Option<Instant>) {
    stop.cancelled().await;
    // One moment for all batches together.
    tokio::time::sleep_until(*last_moment.get_or_insert_with(|| Instant::now() + LAST_MOMENT)).await;
}

/// Runs the transaction until it succeeds or fails for a reason of its own.
async fn persist(
    kind: TaskKind,
    batch: &Batch,
    earlier: &mut Earlier,
    worker: &Worker,
) -> Result<Persisted, db::Error> {
    let (mut delays, mut limit) = (worker.backoff(), TRANSACTION_LIMIT);
    loop {
        worker.leases.healthy().await;
        let began = Instant::now();
        match db::within(limit, transact(kind, batch, earlier, worker)).await {
            Ok(persisted) => {
                worker.leases.claimed(true);
                metrics::batch(Stage::Claim, batch.len(), began.elapsed());
                return Ok(persisted);
            }
            // Also one that somebody who hangs held on to for too long.
            Err(error) if error.is_conflict() || error.is_busy() => metrics::batch_retried(Stage::Claim),
            // Perhaps it is too much at once.
            Err(error @ db::Error::TimedOut(_)) if batch.len() > 1 => {
                earlier.any = true;
                return Err(error);
            }
            Err(error) if error.blames_the_rows() => return Err(error),
            Err(error) => {
                if let db::Error::TimedOut(_) = error {
                    limit = (limit * 2).min(LONGEST_TRANSACTION);
                }
                events::batch_delayed("claim", &error.to_string());
                metrics::batch_retried(Stage::Claim);
                worker.leases.claimed(false);
                worker.database.forget_statements();
                tokio::time::sleep(delays.next().unwrap_or(Duration::from_secs(5))).await;
                earlier.any = true;
            }
        }
    }
}

/// After the commit: acknowledges, and hands each task to the stage that is next for it.
async fn hand_over(
    kind: TaskKind,
    batch: Batch,
    persisted: Persisted,
    claimed: &mpsc::Sender<Claimed>,
    refusals: &mpsc::Sender<Refusing>,
    worker: &Worker,
) {
    let Persisted { committed, deadline, began, mut started, mut refused, jobs, answers, entered } =
        persisted;
    let mut transaction = traced::Batch::ended("claim", began, batch.len());
    let (mut starting, mut refusing, mut others) = (Vec::new(), Vec::new(), 0);
    let mut could_start = Vec::new();
    // `due` is since when a task could have started, where that counts.
    let mut start = |task: TaskId,
                     slot: Slot,
                     own: Permits,
                     due: Option<DateTime<Utc>>,
                     delivered: Option<Box<Traced>>| {
        let Some(Started { leased, mut permits, since }) = started.remove(&task) else { return false };
        // Counts of attempts are given back by what could not begin, an epoch never.
        if leased.epoch == Epoch(1) {
            could_start.extend(due.map(|due| due.max(leased.could_start_at)));
        }
        let others =
            own.into_iter().filter(|(key, _)| permits.iter().all(|(of, _)| of != key)).collect::<Vec<_>>();
        permits.extend(others);
        let plan: Plan = leased.task.job.and_then(|job| jobs.get(&job).cloned()).into();
        let lease = worker.leases.hold(&leased, &plan, deadline);
        let traced = Traced::claimed(delivered, &leased, since);
        if let Some(traced) = &traced {
            traced.started(&leased, since.is_some(), &transaction);
            transaction.held(traced.attempt(&leased));
        }
        starting.push(Claimed { leased, plan, lease, slot, permits, traced });
        true
    };
    // Nothing is awaited here: from its commit on, a lease needs its heartbeat.
    for (place, Admitted { task, ticket, wish, traced }) in batch.delivered.into_iter().enumerate() {
        if let Some(refusal) = refused.remove(&place) {
            if let Some(traced) = traced {
                traced.not_started(&task, Some(refusal.code()));
            }
            refusing.push((task, refusal, ticket));
            continue;
        }
        ticket.committed(committed);
        let starts = match wish {
            Wish::Start(slot, permits) => {
                let due = Some(task.not_before.unwrap_or(task.enqueued_at));
                start(task.id, slot, permits, due, traced.clone())
            }
            Wish::Line(_) | Wish::HandBack | Wish::Wait => false,
        };
        if let (false, Some(traced)) = (starts, traced) {
            traced.not_started(&task, None);
        }
        others += usize::from(!starts);
    }
    let lines = worker.limits.lines();
    for (Call { key, slots, permits }, answer) in batch.calls.into_iter().zip(answers) {
        lines.answered(kind, &key, &answer);
        let mut permits = permits.into_iter();
        // What a limit held back was not waiting for us.
        let since = (key == Key::Pool(kind)).then_some(DateTime::UNIX_EPOCH);
        for (task, slot) in answer.tasks.into_iter().zip(slots) {
            let own = permits.next().map(|permit| (key.clone(), permit)).into_iter().collect();
            start(task, slot, own, since, None);
        }
    }
    for (key, full) in &entered {
        lines.entered(kind, key, *full);
    }
    transaction.send();
    events::claimed(kind, starting.len() + others, starting.len(), others);
    metrics::started(kind, starting.len(), &could_start);
    for next in starting {
        // The pool's executor outlives this stage.
        _ = claimed.send(next).await;
    }
    for (task, refusal, ticket) in refusing {
        refuse(&task, refusal, ticket, refusals).await;
    }
}

async fn refuse_all(
    kind: TaskKind,
    batch: Batch,
    error: &db::Error,
    refusals: &mpsc::Sender<Refusing>,
    worker: &Worker,
) {
    for Admitted { task, ticket, traced, .. } in batch.delivered {
        events::not_claimable(task.id, &error.to_string());
        let refusal = Refusal::NotATask(format!("the database refuses it: {error}"));
        if let Some(traced) = traced {
            traced.not_started(&task, Some(refusal.code()));
        }
        refuse(&task, refusal, ticket, refusals).await;
    }
    for Call { key, .. } in batch.calls {
        events::not_callable(kind, &key, &error.to_string());
        // Perhaps another version can start what stands there. It is tried again when lines are looked at the next time.
        worker.limits.lines().answered(kind, &key, &Answer { full: true, ..Answer::default() });
    }
}

async fn refuse(task: &TaskMessage, refusal: Refusal, ticket: Ticket, refusals: &mpsc::Sender<Refusing>) {
    let queue = topology::queue(task.kind, task.priority);
    let refused = task.refused(refusal);
    _ = refusals.send(Refusing { refused, queue, ticket }).await;
}
