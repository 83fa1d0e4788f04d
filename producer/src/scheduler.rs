//! The scheduler: puts the tasks of due times into the outbox, each due time once, whatever number of producers runs.
//!
//! One of them leads. That the others rest saves work and no more: a due time, its task and the next due time are written in
//! one transaction that has the schedule's row, and a due time that somebody noted already is left alone.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Transaction;
use shared::db::readable::Readable;
use shared::db::schedule::{Advance, Open, Run, Stored};
use shared::db::{self, Database, leader, schedule, session};
use shared::job::JobId;
use shared::schedule::Overlap;
use shared::task::{Priority, Task, TaskId};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{events, metrics, outbox};

/// How often the leader looks, and the others whether they are to lead.
const LOOK: Duration = Duration::from_millis(250);
/// How long a leader may go without a word.
pub const TTL: Duration = Duration::from_secs(5);
/// A leader that is stopped in its transaction keeps its successor, who leads after [`TTL`], from the schedules in it until then.
const LONGEST_STOP: Duration = Duration::from_secs(4);
/// Schedules that are seen to in one transaction.
const BATCH: usize = 1000;
/// Due times that one transaction sees to, more or less: each schedule may have a thousand to catch up.
const MOST_RUNS: usize = 5000;
/// When a schedule that this version cannot read is looked at again: another version may lead by then.
const LATER: TimeDelta = TimeDelta::minutes(1);
/// The role in the table of leaders.
const ROLE: &str = "scheduler";
/// Who asks, in the tasks of schedules.
const REQUESTED_BY: &str = "schedule";

/// A scheduler among others.
#[derive(Debug)]
pub struct Scheduler {
    id: Uuid,
    leads: bool,
}

impl Default for Scheduler {
    fn default() -> Self {
        Self { id: Uuid::now_v7(), leads: false }
    }
}

impl Scheduler {
    /// Sees to due times until `stop`, while it leads.
    pub async fn run(mut self, database: &Database, stop: &CancellationToken) {
        // Until when nobody else can lead, if this one does.
        let mut until = Instant::now();
        while !stop.is_cancelled() {
            let asked = Instant::now();
            let stepped = async {
                let now = db::now(&database.client().await?).await?;
                self.step(database, now).await
            };
            let rest = match db::within(TTL, stepped).await {
                Ok(seen_to) => {
                    until = asked + TTL;
                    if seen_to == BATCH { Duration::ZERO } else { LOOK }
                }
                Err(error) => {
                    events::scheduler_failed(&error);
                    if Instant::now() >= until {
                        metrics::leads(false);
                    }
                    LOOK
                }
            };
            _ = tokio::time::timeout(rest, stop.cancelled()).await;
        }
        self.resign(database).await;
    }

    /// Leads if nobody else does, and sees to what is due at a moment; returns how many schedules it has seen to.
    ///
    /// # Errors
    /// The database's.
    pub async fn step(&mut self, database: &Database, now: DateTime<Utc>) -> Result<usize, db::Error> {
        let mut client = database.client().await?;
        let term = leader::hold(&client, ROLE, self.id, now, TTL).await?;
        metrics::leads(term.is_some());
        if self.leads != term.is_some() {
            self.leads = term.is_some();
            events::scheduler_leads(term);
        }
        if term.is_none() {
            return Ok(0);
        }
        let transaction = client.transaction().await?;
        session::set_longest_idle(&transaction, LONGEST_STOP).await?;
        let Readable { rows: firing, unreadable } =
            schedule::take_firing(&transaction, now, i64::try_from(BATCH).unwrap_or(i64::MAX)).await?;
        let taken = firing.len() + unreadable.len();
        let last: Vec<TaskId> = firing.iter().filter_map(|stored| stored.last_task).collect();
        let open = schedule::open(&transaction, &last).await?;
        let priorities = priorities(&transaction, &firing).await?;
        let (mut runs, mut tasks, mut advances) = (Vec::new(), Vec::new(), Vec::new());
        for stored in &firing {
            if runs.len() >= MOST_RUNS {
                break;
            }
            let seen = see_to(stored, now, &open);
            advances.push(seen.advance);
            for run in &seen.runs {
                let priority = stored.job.and_then(|job| priorities.get(&job).copied());
                let enqueued = run.task.map(|id| Task { id, ..task(stored, priority, REQUESTED_BY, now) });
                tasks.extend(enqueued);
            }
            runs.extend(seen.runs);
        }
        let fresh = schedule::note(&transaction, &runs).await?;
        tasks.retain(|task| fresh.contains(&task.id));
        outbox::put(&transaction, tasks, now).await?;
        // A due time that somebody noted already has its own task.
        for advance in &mut advances {
            advance.last_task = advance.last_task.filter(|task| fresh.contains(task));
        }
        schedule::advance(&transaction, &advances).await?;
        if !unreadable.is_empty() {
            let put_off: Vec<i32> = unreadable.iter().map(|schedule| schedule.key.id).collect();
            schedule::put_off(&transaction, &put_off, now + LATER).await?;
        }
        transaction.commit().await?;
        unreadable.iter().for_each(events::unreadable_schedule);
        if !firing.is_empty() {
            events::scheduled(advances.len(), fresh.len());
            measure(&runs, &fresh, now);
        }
        // What was left is due still: there is no time to rest.
        Ok(if advances.len() < firing.len() { BATCH } else { taken })
    }

    async fn resign(&self, database: &Database) {
        let resigned = async { leader::resign(&database.client().await?, ROLE, self.id).await };
        // Otherwise it expires.
        if self.leads
            && let Err(error) = db::within(Duration::from_secs(2), resigned).await
        {
            events::scheduler_failed(&error);
        }
    }
}

/// Counts the due times that were noted just now: those with a task, and those without.
fn measure(runs: &[Run], fresh: &HashSet<TaskId>, now: DateTime<Utc>) {
    let enqueued = runs.iter().filter(|run| run.task.is_some_and(|task| fresh.contains(&task)));
    for run in enqueued {
        metrics::enqueued((now - run.due_at).as_seconds_f64());
    }
    metrics::skipped(runs.iter().filter(|run| run.task.is_none()).count());
}

/// Enqueues the work of a schedule that is locked, and notes it as its last.
pub(crate) async fn enqueue_now(
    transaction: &Transaction<'_>,
    stored: &Stored,
    priority: Option<Priority>,
    requested_by: &str,
) -> Result<TaskId, db::Error> {
    let now = db::now(transaction).await?;
    let task = task(stored, priority, requested_by, now);
    let id = task.id;
    outbox::put(transaction, vec![task], now).await?;
    schedule::set_last_task(transaction, stored.id, id).await?;
    Ok(id)
}

fn task(stored: &Stored, priority: Option<Priority>, requested_by: &str, now: DateTime<Utc>) -> Task {
    Task {
        id: TaskId::generate(),
        kind: stored.kind,
        priority: priority.unwrap_or(Priority::Normal),
        job: stored.job,
        params: stored.params.clone(),
        requested_by: requested_by.to_owned(),
        enqueued_at: now,
        trace: None,
    }
}

/// The priorities of the jobs of some schedules.
async fn priorities(
    transaction: &Transaction<'_>,
    firing: &[Stored],
) -> Result<BTreeMap<JobId, Priority>, db::Error> {
    let jobs: Vec<JobId> = firing.iter().filter_map(|stored| stored.job).collect();
    db::job::priorities(transaction, &jobs).await
}

/// What is written of one schedule.
struct Seen {
    runs: Vec<Run>,
    advance: Advance,
}

/// Decides about the due times of a schedule that fires. All that are due at once are worked on or passed over together: they
/// overlap with what was enqueued before, not with each other.
fn see_to(stored: &Stored, now: DateTime<Utc>, open: &BTreeMap<TaskId, Open>) -> Seen {
    let Stored { id, spec, name, .. } = stored;
    let delay = spec.delay(name);
    let first = stored.next_due.unwrap_or(now);
    let tick = spec.tick(first, now - delay);
    let before = stored.last_task.and_then(|task| open.get(&task));
    let runs = match (spec.overlap, before) {
        (_, None) | (Overlap::Allow, _) | (Overlap::Queue, Some(Open::Runs)) => true,
        (Overlap::Skip, Some(_)) | (Overlap::Queue, Some(Open::Waits)) => false,
    };
    let run = |due_at| Run { schedule: *id, due_at, task: runs.then(TaskId::generate) };
    let runs: Vec<Run> = tick.due.into_iter().map(run).collect();
    let last_task = runs.last().and_then(|run| run.task);
    let next = tick.next.map(|next| (next, next + delay));
    Seen { runs, advance: Advance { schedule: *id, next, last_task } }
}
