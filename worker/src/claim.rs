//! The third stage: one transaction makes a batch of tasks this worker's own, or parks them; then they are
//! acknowledged.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::db::definition::JobWithTargets;
use shared::db::lease::Leased;
use shared::db::task::Waiting;
use shared::db::{self, Committed};
use shared::job::JobId;
use shared::message::{Refusal, Refused, TaskMessage};
use shared::task::{Task, TaskId, TaskKind};
use shared::topology;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admit::{Admitted, Wish};
use crate::batches::Batches;
use crate::engine::clock::BootInstant;
use crate::events;
use crate::lease::{self, Lease};
use crate::plan::Plan;
use crate::refuse::Refusing;
use crate::slots::Slot;
use crate::ticket::Ticket;
use crate::worker::Worker;

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
}

/// Claims in batches, as large as what came while the transaction before ran, until nothing comes any more. What the
/// database has not taken by the time of `stop` goes back to its queue.
pub async fn run(
    kind: TaskKind,
    admitted: mpsc::Receiver<Admitted>,
    claimed: mpsc::Sender<Claimed>,
    refusals: mpsc::Sender<Refusing>,
    worker: &Worker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut admitted = Batches::new(admitted, LINGER);
    let mut last_moment = None;
    while let Some(batch) = admitted.next().await {
        // A batch that the database refuses is halved until the task at fault stands alone.
        let mut batches = vec![batch];
        while let Some(mut batch) = batches.pop() {
            let persisted = tokio::select! {
                persisted = persist(&batch, worker) => persisted,
                () = given_up(stop, &mut last_moment) => continue,
            };
            match persisted {
                Ok(persisted) => hand_over(kind, batch, persisted, &claimed, &refusals, worker).await,
                Err(error) if batch.len() > 1 => {
                    events::batch_split("claim", batch.len(), &error.to_string());
                    let rest = batch.split_off(batch.len() / 2);
                    batches.extend([rest, batch]);
                }
                Err(error) => refuse_all(batch, &error, &refusals).await,
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

/// What the transaction decided.
struct Persisted {
    committed: Committed,
    /// Taken before the transaction, so that it cannot be later than the database's.
    deadline: BootInstant,
    leased: HashMap<TaskId, Leased>,
    /// By place in the batch: two tasks of one id may differ in everything else.
    refused: HashMap<usize, Refusal>,
    jobs: HashMap<JobId, Arc<JobWithTargets>>,
}

/// Runs the transaction until it succeeds or fails for a reason of its own.
async fn persist(batch: &[Admitted], worker: &Worker) -> Result<Persisted, db::Error> {
    let mut delays = worker.backoff();
    let (mut again, mut limit) = (false, TRANSACTION_LIMIT);
    loop {
        worker.leases.healthy().await;
        match db::within(limit, transact(batch, again, worker)).await {
            Ok(persisted) => {
                worker.leases.claimed(true);
                return Ok(persisted);
            }
            Err(error) if error.is_conflict() => {}
            // Perhaps it is too much at once.
            Err(error @ db::Error::TimedOut(_)) if batch.len() > 1 => return Err(error),
            Err(error) if error.blames_the_rows() => return Err(error),
            Err(error) => {
                if let db::Error::TimedOut(_) = error {
                    limit = (limit * 2).min(LONGEST_TRANSACTION);
                }
                events::batch_delayed("claim", &error.to_string());
                worker.leases.claimed(false);
                worker.database.forget_statements();
                tokio::time::sleep(delays.next().unwrap_or(Duration::from_secs(5))).await;
                again = true;
            }
        }
    }
}

/// `again` says that an earlier try may have been committed without our hearing of it.
async fn transact(batch: &[Admitted], again: bool, worker: &Worker) -> Result<Persisted, db::Error> {
    let deadline = lease::deadline(worker.lease);
    let mut client = worker.database.client().await?;
    let transaction = client.transaction().await?;
    let definitions = worker.definitions.current(&transaction).await?;
    let names = batch.iter().filter_map(|admitted| admitted.task.job.as_ref());
    let jobs = definitions.resolve(&transaction, names).await?;

    let mut refused = HashMap::new();
    let mut accepted: HashMap<TaskId, (&TaskMessage, &Wish, Option<JobId>)> = HashMap::new();
    for (place, Admitted { task, wish, .. }) in batch.iter().enumerate() {
        match db::job::accept(task, &jobs) {
            // Of one id in a batch the first counts; the second is acknowledged as known.
            Ok(job) => _ = accepted.entry(task.id).or_insert((task, wish, job)),
            Err(refusal) => _ = refused.insert(place, refusal),
        }
    }
    bury(&transaction, batch, &mut refused).await?;
    let ids: Vec<TaskId> = accepted.keys().copied().collect();
    let fresh = db::known_id::insert(&transaction, &ids).await?;

    let mut leased = Vec::new();
    let now = db::now(&transaction).await?;
    let may_start = |task: &TaskMessage| task.not_before.is_none_or(|not_before| not_before <= now);
    let (starting, parking): (Vec<_>, Vec<_>) =
        accepted.into_values().partition(|(task, wish, _)| matches!(wish, Wish::Start(_)) && may_start(task));
    let (new, waiting): (Vec<_>, Vec<_>) =
        starting.into_iter().partition(|(task, ..)| fresh.contains(&task.id));
    if !new.is_empty() {
        let tasks: Vec<Task> = new.iter().map(|(task, _, job)| task.to_task(*job)).collect();
        leased = db::lease::insert_fresh(&transaction, worker.identity.id, worker.lease, tasks).await?;
    }
    if !waiting.is_empty() {
        let ids: Vec<TaskId> = waiting.iter().map(|(task, ..)| task.id).collect();
        leased.extend(db::lease::take_waiting(&transaction, worker.identity.id, worker.lease, &ids).await?);
        if again {
            let own: Vec<TaskId> = ids.into_iter().filter(|id| !worker.leases.knows(*id)).collect();
            leased.extend(db::lease::adopt(&transaction, worker.identity.id, worker.lease, &own).await?);
        }
    }
    park(&transaction, &parking, &fresh, now).await?;
    let jobs = leased.iter().filter_map(|leased| leased.task.job);
    let jobs = definitions.load(&transaction, jobs).await?;
    let committed = db::commit(transaction).await?;
    worker.identity.batches.count("claim", batch.len());
    let leased = leased.into_iter().map(|leased| (leased.task.id, leased)).collect();
    Ok(Persisted { committed, deadline, leased, refused, jobs })
}

/// A refused task that waits in the database, because its job was active once, becomes a dead task and no dead letter.
async fn bury(
    transaction: &deadpool_postgres::Transaction<'_>,
    batch: &[Admitted],
    refused: &mut HashMap<usize, Refusal>,
) -> Result<(), db::Error> {
    let named: Vec<(TaskId, String)> =
        refused.iter().map(|(place, refusal)| (batch[*place].task.id, refusal.to_string())).collect();
    if !named.is_empty() {
        let buried = db::dead_task::bury_waiting(transaction, &named).await?;
        refused.retain(|place, _| !buried.contains(&batch[*place].task.id));
    }
    Ok(())
}

async fn park(
    transaction: &deadpool_postgres::Transaction<'_>,
    parking: &[(&TaskMessage, &Wish, Option<JobId>)],
    fresh: &HashSet<TaskId>,
    now: DateTime<Utc>,
) -> Result<(), db::Error> {
    let (mut new, mut known) = (Vec::new(), Vec::new());
    for (task, wish, job) in parking {
        let wait = if let Wish::Park(wait) = wish { *wait } else { Duration::ZERO };
        if fresh.contains(&task.id) {
            let run_at = task.not_before.unwrap_or(now + wait).max(now);
            new.push(Waiting::new(task.to_task(*job), run_at));
        } else if matches!(wish, Wish::Park(_)) {
            // Whatever else a later message says, only the want of a slot puts a known task off.
            known.push((task.id, wait.as_secs_f64()));
        }
    }
    if !new.is_empty() {
        db::task::insert(transaction, &new).await?;
    }
    if !known.is_empty() {
        db::task::put_off(transaction, &known).await?;
    }
    Ok(())
}

/// After the commit: acknowledges, and hands each task to the stage that is next for it.
async fn hand_over(
    kind: TaskKind,
    batch: Vec<Admitted>,
    persisted: Persisted,
    claimed: &mpsc::Sender<Claimed>,
    refusals: &mpsc::Sender<Refusing>,
    worker: &Worker,
) {
    let Persisted { committed, deadline, mut leased, mut refused, jobs } = persisted;
    let (mut started, mut refusing, mut parked) = (Vec::new(), Vec::new(), 0);
    let tasks = batch.len();
    // Nothing is awaited here: from its commit on, a lease needs its heartbeat.
    for (place, Admitted { task, ticket, wish }) in batch.into_iter().enumerate() {
        if let Some(refusal) = refused.remove(&place) {
            refusing.push((task, refusal, ticket));
            continue;
        }
        ticket.committed(committed);
        if let Wish::Start(slot) = wish
            && let Some(leased) = leased.remove(&task.id)
        {
            let lease = worker.leases.hold(task.id, leased.epoch, deadline);
            let plan = leased.task.job.and_then(|job| jobs.get(&job).cloned()).into();
            started.push(Claimed { leased, plan, lease, slot });
        } else {
            parked += 1;
        }
    }
    events::claimed(kind, tasks, started.len(), parked);
    for next in started {
        // The pool's executor outlives this stage.
        _ = claimed.send(next).await;
    }
    for (task, refusal, ticket) in refusing {
        refuse(&task, refusal, ticket, refusals).await;
    }
}

async fn refuse_all(batch: Vec<Admitted>, error: &db::Error, refusals: &mpsc::Sender<Refusing>) {
    for Admitted { task, ticket, .. } in batch {
        events::not_claimable(task.id, &error.to_string());
        let refusal = Refusal::NotATask(format!("the database refuses it: {error}"));
        refuse(&task, refusal, ticket, refusals).await;
    }
}

async fn refuse(task: &TaskMessage, refusal: Refusal, ticket: Ticket, refusals: &mpsc::Sender<Refusing>) {
    let queue = topology::queue(task.kind, task.priority);
    let refused = Refused { refusal, body: task.to_body() };
    _ = refusals.send(Refusing { refused, queue, ticket }).await;
}
