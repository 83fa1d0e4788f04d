//! The last stage: one transaction writes all that came out of a batch of attempts, and ends their leases.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use deadpool_postgres::Transaction;
use shared::db::compliance::{Judged, Observation};
use shared::db::dead_task::{Dead, Reason};
use shared::db::execution::Execution;
use shared::db::lease::Completed;
use shared::db::task::Waiting;
use shared::db::{self, Committed};
use shared::job::JobId;
use shared::target::TargetId;
use shared::task::{self, Ended, Next, Postponed, Task, TaskId, Tries};
use shared::trace::{Moment, current};
use tokio::sync::mpsc;

use crate::batches::Batches;
use crate::events;
use crate::follow_up;
use crate::identity::Counter;
use crate::metrics::{self, Stage};
use crate::outcome::{Finished, Forgotten, Outcome};
use crate::quarantine;
use crate::traced;
use crate::worker::Worker;

/// How long a transaction waits for more attempts under load. Of a job's attempts in one batch the last alone is judged.
const LINGER: Duration = Duration::from_millis(20);
/// How long a transaction may take before it is begun anew on another connection. For one attempt alone it is doubled
/// each time: a manifest can be large, and the way to the database narrow.
const TRANSACTION_LIMIT: Duration = Duration::from_secs(30);
/// No transaction may take longer.
const LONGEST_TRANSACTION: Duration = Duration::from_mins(30);

/// Records in batches, as large as what came while the transaction before ran, until nothing comes any more.
pub async fn run(finished: mpsc::Receiver<Finished>, worker: &Worker) -> anyhow::Result<()> {
    let mut finished = Batches::new(finished, LINGER);
    while let Some(batch) = finished.next().await {
        // Each with whether an earlier try may have been committed unheard, so that what is not owned was recorded then.
        let mut batches = vec![(batch, false)];
        while let Some((mut batch, mut in_doubt)) = batches.pop() {
            match persist(&batch, &mut in_doubt, worker).await {
                Ok(recorded) => announce(&batch, &recorded, in_doubt, worker),
                Err(error) if batch.len() > 1 => {
                    events::batch_split("record", batch.len(), &error.to_string());
                    let rest = batch.split_off(batch.len() / 2);
                    batches.extend([(rest, in_doubt), (batch, in_doubt)]);
                }
                Err(error) => batches.extend(unrecordable(batch, &error).map(|batch| (batch, in_doubt))),
            }
        }
    }
    Ok(())
}

/// The attempts that were still this worker's own.
struct Recorded {
    owned: HashMap<TaskId, Completed>,
    /// When the transaction began.
    began: Moment,
    _committed: Committed,
}

/// Runs the transaction until it succeeds or fails for a reason of its own. It is safe to repeat: a batch whose
/// commit was not heard of finds its leases gone and writes nothing.
async fn persist(batch: &[Finished], in_doubt: &mut bool, worker: &Worker) -> Result<Recorded, db::Error> {
    let (mut delays, mut limit) = (worker.backoff(), TRANSACTION_LIMIT);
    loop {
        let began = Instant::now();
        match db::within(limit, transact(batch, worker)).await {
            Ok(recorded) => {
                metrics::batch(Stage::Record, batch.len(), began.elapsed());
                return Ok(recorded);
            }
            Err(error) if error.is_conflict() => metrics::batch_retried(Stage::Record),
            // Perhaps it is too much at once.
            Err(error @ db::Error::TimedOut(_)) if batch.len() > 1 => {
                *in_doubt = true;
                return Err(error);
            }
            Err(error) if error.blames_the_rows() => return Err(error),
            Err(error) => {
                if let db::Error::TimedOut(_) = error {
                    limit = (limit * 2).min(LONGEST_TRANSACTION);
                }
                *in_doubt = true;
                events::batch_delayed("record", &error.to_string());
                metrics::batch_retried(Stage::Record);
                worker.database.forget_statements();
                tokio::time::sleep(delays.next().unwrap_or(Duration::from_secs(5))).await;
            }
        }
    }
}

async fn transact(batch: &[Finished], worker: &Worker) -> Result<Recorded, db::Error> {
    let began = Moment::now();
    let mut client = worker.database.client().await?;
    let transaction = client.transaction().await?;
    let ended: Vec<_> =
        batch.iter().map(|finished| (finished.leased.task.id, finished.leased.epoch)).collect();
    let owned = db::lease::complete(&transaction, worker.identity.id, &ended).await?;
    let owned: HashMap<TaskId, Completed> = owned.into_iter().map(|lease| (lease.task, lease)).collect();
    // Whoever is not there was fenced: nothing of it is written.
    let batch: Vec<&Finished> = batch.iter().filter(|finished| owns(&owned, finished)).collect();

    let moves: Vec<Move<'_>> = batch.iter().map(|finished| Move::of(finished, &owned)).collect();
    write_products(&transaction, &batch).await?;
    write_executions(&transaction, &moves, worker).await?;
    move_tasks(&transaction, &moves).await?;
    let observations = observations(&transaction, &batch).await?;
    let changed: Vec<JobId> = batch.iter().filter_map(|finished| changed(finished)).collect();
    if !observations.is_empty() || !changed.is_empty() {
        let judged =
            db::compliance::record(&transaction, &worker.definitions, observations, &changed).await?;
        enqueue_follow_ups(&transaction, &batch, &judged).await?;
    }
    let freed = db::lease::free(&transaction, owned.values()).await?;
    let committed = db::commit(transaction).await?;
    worker.limits.lines().freed(&freed);
    worker.identity.batches.count("record", batch.len());
    Ok(Recorded { owned, began, _committed: committed })
}

/// One worker may hold two attempts of a task, one of them fenced: the epoch tells them apart.
fn owns(owned: &HashMap<TaskId, Completed>, finished: &Finished) -> bool {
    owned.get(&finished.leased.task.id).is_some_and(|lease| lease.epoch == finished.leased.epoch)
}

/// The job of an attempt that took restore points away: it is judged again whatever was observed.
fn changed(finished: &Finished) -> Option<JobId> {
    finished.outcome.forgotten.as_ref().and(finished.leased.task.job)
}

async fn write_products(transaction: &Transaction<'_>, batch: &[&Finished]) -> Result<(), db::Error> {
    for Finished { leased, outcome, .. } in batch {
        if let (Some(job), Some(manifest)) = (leased.task.job, &outcome.manifest) {
            db::manifest::insert(transaction, job, manifest).await?;
        }
        if let Some(report) = &outcome.report
            && db::report::insert(transaction, report).await?
        {
            db::notification::bring(transaction, report.id, &report.mail_to).await?;
        }
        if let (Some(target), Some(forgotten)) = (outcome.target, &outcome.forgotten) {
            forget(transaction, target, forgotten).await?;
        }
    }
    let points: Vec<_> =
        batch.iter().filter_map(|finished| finished.outcome.restore_point.as_deref()).collect();
    if points.is_empty() { Ok(()) } else { db::restore_point::insert(transaction, &points).await }
}

async fn forget(
    transaction: &Transaction<'_>,
    target: TargetId,
    forgotten: &Forgotten,
) -> Result<(), db::Error> {
    let Forgotten { points, pruned } = forgotten;
    if !points.is_empty() {
        let manifests = db::manifest::hold(transaction, points).await?;
        db::restore_point::forget(transaction, points).await?;
        db::manifest::remove_unused(transaction, &manifests).await?;
    }
    if *pruned {
        db::target::set_pruned(transaction, target).await?;
    }
    Ok(())
}

/// How an attempt is taken to have ended, and where its task goes.
struct Move<'a> {
    finished: &'a Finished,
    ended: Cow<'a, Ended>,
    next: Next,
}

impl<'a> Move<'a> {
    /// An end that would run the task again is overruled by a person who asked for its end meanwhile.
    fn of(finished: &'a Finished, owned: &HashMap<TaskId, Completed>) -> Self {
        let leased = &finished.leased;
        let tries =
            Tries { attempt: leased.attempt, max_attempts: finished.max_attempts, rescues: leased.rescues };
        let ended = &finished.outcome.ended;
        let next = task::after(ended, tries, rand::random());
        let cancelled_by = owned.get(&leased.task.id).and_then(|owned| owned.cancelled_by.clone());
        match (next, cancelled_by) {
            (Next::Queued { .. }, Some(by)) => {
                Self { finished, ended: Cow::Owned(Ended::Cancelled { by }), next: Next::Cancelled }
            }
            (next, _) => Self { finished, ended: Cow::Borrowed(ended), next },
        }
    }

    fn error(&self) -> Option<String> {
        self.ended.error().map(Cow::into_owned)
    }
}

async fn write_executions(
    transaction: &Transaction<'_>,
    moves: &[Move<'_>],
    worker: &Worker,
) -> Result<(), db::Error> {
    let executions: Vec<Execution<'_>> = moves
        .iter()
        .filter_map(|moved| {
            let Outcome { target, volume, detail, .. } = &moved.finished.outcome;
            Some(Execution {
                leased: &moved.finished.leased,
                target: *target,
                outcome: moved.ended.outcome()?,
                seconds: moved.finished.took.as_secs_f64(),
                volume: *volume,
                error: moved.error(),
                detail: detail.clone(),
                worker: worker.identity.id,
            })
        })
        .collect();
    if executions.is_empty() { Ok(()) } else { db::execution::insert(transaction, &executions).await }
}

async fn move_tasks(transaction: &Transaction<'_>, moves: &[Move<'_>]) -> Result<(), db::Error> {
    let (mut waiting, mut dead) = (Vec::new(), Vec::new());
    let now = db::now(transaction).await?;
    for moved in moves {
        let leased = &moved.finished.leased;
        match moved.next {
            Next::Succeeded | Next::Cancelled => {}
            Next::Queued { after, attempt_counts, rescued } => waiting.push(Waiting {
                task: again(moved.finished),
                run_at: after.map(|wait| now + wait),
                waiting_for: waiting_for(&moved.ended),
                attempt: leased.attempt - i32::from(!attempt_counts),
                rescues: leased.rescues + i32::from(rescued),
                epoch: leased.epoch.0,
                last_error: moved.error(),
            }),
            Next::Dead => dead.push(Dead {
                leased,
                reason: reason(&moved.ended),
                last_error: moved.error().unwrap_or_default(),
            }),
        }
    }
    if !waiting.is_empty() {
        db::task::insert(transaction, &waiting).await?;
    }
    if !dead.is_empty() {
        db::dead_task::insert(transaction, &dead).await?;
    }
    Ok(())
}

/// A task as it is tried again: all its attempts are in the same place of its trace.
fn again(finished: &Finished) -> Task {
    let (leased, mut task) = (&finished.leased, finished.leased.task.clone());
    if let (None, Some(traced)) = (&task.trace, &finished.traced) {
        task.trace = Some(traced.stored(leased));
    }
    task
}

const fn reason(ended: &Ended) -> Reason {
    match ended {
        Ended::TimedOut { .. } => Reason::TimedOut,
        Ended::Lost => Reason::Lost,
        _ => Reason::Failed,
    }
}

fn waiting_for(ended: &Ended) -> Option<String> {
    match ended {
        Ended::Postponed(Postponed::Detached(target)) => Some(db::task::waiting_for(target)),
        _ => None,
    }
}

/// What the attempts observed, but for what was seen of a target that has been detached or attached since: it would
/// be the newest word about a state that is over.
async fn observations(
    transaction: &Transaction<'_>,
    batch: &[&Finished],
) -> Result<Vec<Observation>, db::Error> {
    let probed: Vec<TargetId> =
        batch.iter().filter(|f| f.outcome.as_of.is_some()).filter_map(|f| f.outcome.target).collect();
    let changed_at =
        if probed.is_empty() { HashMap::new() } else { db::target::changed_at(transaction, &probed).await? };
    let mut observations = Vec::new();
    for Finished { leased, outcome, .. } in batch {
        let Some((job, target)) = leased.task.job.zip(outcome.target) else { continue };
        if outcome.as_of.is_some_and(|as_of| changed_at.get(&target) != Some(&as_of)) {
            continue;
        }
        let task = leased.task.id;
        observations.extend(outcome.findings.iter().map(|finding| {
            let finding = finding.clone();
            Observation { job, target, task, finding }
        }));
    }
    Ok(observations)
}

/// What a recorded attempt causes is enqueued with it or not at all.
async fn enqueue_follow_ups(
    transaction: &Transaction<'_>,
    batch: &[&Finished],
    judged: &Judged,
) -> Result<(), db::Error> {
    let tasks: Vec<Waiting> = batch
        .iter()
        .flat_map(|finished| follow_up::tasks(finished, judged))
        .map(|task| Waiting::new(task, judged.now))
        .collect();
    if tasks.is_empty() {
        return Ok(());
    }
    let ids: Vec<TaskId> = tasks.iter().map(|waiting| waiting.task.id).collect();
    db::known_id::insert(transaction, &ids).await?;
    db::task::insert(transaction, &tasks).await
}

fn announce(batch: &[Finished], recorded: &Recorded, in_doubt: bool, worker: &Worker) {
    let mut measured = metrics::Recorded::default();
    let mut transaction = traced::Batch::ended("record", recorded.began, batch.len());
    for finished in batch {
        let Finished { leased, plan, outcome, took, traced, .. } = finished;
        let attempt = traced.as_ref().map(|traced| traced.attempt(leased));
        let owned = owns(&recorded.owned, finished);
        let Move { ended, .. } = Move::of(finished, &recorded.owned);
        if let Some(traced) = traced {
            traced.recorded(leased, plan, &ended, owned || in_doubt, &transaction);
            transaction.held(traced.attempt(leased));
        }
        if let (true, Some(came_out)) = (owned || in_doubt, ended.outcome()) {
            measured.add(leased.task.kind, came_out, *took, outcome.volume.bytes);
        }
        if owned {
            let (error, seconds) = (ended.error(), took.as_secs_f64());
            current::at(attempt, || {
                events::recorded(
                    leased.task.id,
                    leased.task.kind,
                    ended.outcome(),
                    seconds,
                    error.as_deref(),
                );
            });
        } else if !in_doubt {
            worker.identity.counters.count(Counter::Discarded);
            current::at(attempt, || events::discarded(leased.task.id, leased.epoch));
        }
    }
    transaction.send();
    match &worker.quarantine {
        Some(_) => measured.count(),
        None => quarantine::tell(&measured),
    }
}

/// The results that the database refuses are given up; that they were is recorded. A second refusal leaves the task
/// to its lease: the reaper queues it again.
fn unrecordable(batch: Vec<Finished>, error: &db::Error) -> Option<Vec<Finished>> {
    let reason = format!("the results could not be recorded: {error}");
    for finished in &batch {
        events::not_recordable(finished.leased.task.id, &reason);
    }
    if batch.iter().any(|finished| finished.given_up) {
        return None;
    }
    let give_up = |finished: Finished| Finished {
        outcome: Outcome::refused(reason.clone()),
        given_up: true,
        ..finished
    };
    Some(batch.into_iter().map(give_up).collect())
}
