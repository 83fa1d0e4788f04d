//! The fourth stage: runs claimed tasks, each in its slot, until their end, their lease's end, or a hard stop.

mod attempt;
mod copy;
mod files;
mod forget;
mod maintain;
mod probe;
mod report;
mod reported;
mod repository;
mod restore;
mod simulated;
mod verify;

use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use shared::db::definition::JobWithTargets;
use shared::db::lease::Leased;
use shared::db::pool_setting::PoolState;
use shared::job::SourceData;
use shared::target::TargetState;
use shared::task::{Ended, Postponed, QUARANTINE_RESCUES, TaskKind};
use shared::trace::{Moment, current};
use shared::work::Work;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use attempt::Attempt;
use attempt::refuse;
pub use repository::describe;
use simulated::Simulated;

use crate::claim::Claimed;
use crate::events;
use crate::identity::Counter;
use crate::outcome::{Finished, Outcome};
use crate::speed::Speedometer;
use crate::worker::Worker;

/// How long a cancelled operation may take to end: a kill is immediate, unless its disk hangs.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(3);

/// Runs tasks until no more come and all have ended.
pub async fn run(
    mut claimed: mpsc::Receiver<Claimed>,
    finished: mpsc::Sender<Finished>,
    worker: &Worker,
    stop: &CancellationToken,
) {
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(()) = running.next() => {}
            next = claimed.recv() => match next {
                Some(claimed) => running.push(finish(claimed, finished.clone(), worker, stop)),
                None => break,
            },
        }
    }
    while running.next().await.is_some() {}
}

async fn finish(
    claimed: Claimed,
    finished: mpsc::Sender<Finished>,
    worker: &Worker,
    stop: &CancellationToken,
) {
    let started = Instant::now();
    let Claimed { leased, plan, lease, slot, permits, traced } = claimed;
    let (began, execution) = (Moment::now(), traced.as_ref().map(|traced| traced.execution()));
    lease.begin();
    let tries = worker.tries(leased.task.kind, &plan);
    let in_time = permits.iter().all(|(_, permit)| permit.is_valid());
    if in_time {
        for (_, permit) in permits {
            permit.spend();
        }
    }
    let (lease, outcome) = match &worker.quarantine {
        // The claim took too long for a strict limit.
        _ if !in_time => (lease, Outcome::new(Ended::Postponed(Postponed::Late))),
        Some(quarantine) if leased.rescues >= QUARANTINE_RESCUES => {
            let limit = tries.timeout + worker.lease;
            let ending = stop.child_token();
            let mut running =
                Box::pin(quarantine.run((&leased, &plan), lease, traced.as_deref(), worker, limit, &ending));
            let recorded = tokio::select! {
                recorded = &mut running => recorded,
                () = drained(leased.task.kind, worker) => {
                    ending.cancel();
                    running.await
                }
            };
            match recorded {
                Some(to_record) => to_record,
                // Its process has recorded what came out.
                None => return,
            }
        }
        _ => {
            let (cancel, speed) = (CancellationToken::new(), Speedometer::default());
            let attempt = Attempt {
                worker,
                leased: &leased,
                plan: &plan,
                lease: &lease,
                cancel: &cancel,
                speed: &speed,
                execution,
            };
            let outcome = current::within(execution, work(&attempt, tries.timeout, stop)).await;
            (lease, outcome)
        }
    };
    lease.end();
    if let Some(traced) = &traced {
        traced.executed(&leased, began, &outcome.ended);
    }
    let (took, max_attempts) = (started.elapsed(), i32::from(tries.attempts));
    // The recorder outlives the executors.
    let given_up = false;
    _ = finished.send(Finished { leased, plan, lease, outcome, took, max_attempts, given_up, traced }).await;
    drop(slot);
}

async fn work(attempt: &Attempt<'_>, limit: Duration, stop: &CancellationToken) -> Outcome {
    let executing = AssertUnwindSafe(execute(attempt)).catch_unwind();
    let executing =
        executing.map(|ended| ended.unwrap_or_else(|panic| panicked(attempt.leased, panic.as_ref())));
    let mut executing = pin!(executing);
    // What is done at once needs no timers, and no memory for them.
    let outcome = match executing.as_mut().now_or_never() {
        Some(outcome) => outcome,
        None => Box::pin(supervised(attempt, executing, limit, stop)).await,
    };
    // The executor may notice first.
    if outcome.ended == Ended::Interrupted && !attempt.lease.is_valid() { lost(attempt) } else { outcome }
}

/// Waits for the end of the work, and ends it before its time when it must.
async fn supervised(
    attempt: &Attempt<'_>,
    mut executing: Pin<&mut impl Future<Output = Outcome>>,
    limit: Duration,
    stop: &CancellationToken,
) -> Outcome {
    tokio::select! {
        outcome = &mut executing => outcome,
        early = ends_early(attempt, limit, stop) => {
            // Its child must be gone before its locks are. What came to its end all the same is not thrown away.
            attempt.cancel.cancel();
            if let Ok(outcome) = tokio::time::timeout(CANCEL_TIMEOUT, executing).await
                && matches!(outcome.ended, Ended::Done { .. })
                && attempt.lease.is_valid()
            {
                return outcome;
            }
            if early == Ended::Lost { lost(attempt) } else { Outcome::new(early) }
        }
    }
}

/// If this is recorded before the reaper comes, it counts as a rescue all the same.
fn lost(attempt: &Attempt<'_>) -> Outcome {
    attempt.worker.identity.counters.count(Counter::Fenced);
    Outcome::new(Ended::Lost)
}

async fn ends_early(attempt: &Attempt<'_>, limit: Duration, stop: &CancellationToken) -> Ended {
    let task = attempt.leased.task.id;
    tokio::select! {
        () = attempt.lease.lost() => Ended::Lost,
        () = stop.cancelled() => Ended::Interrupted,
        () = drained(attempt.leased.task.kind, attempt.worker) => Ended::Interrupted,
        by = attempt.lease.cancelled() => {
            events::cancelled(task, &by);
            Ended::Cancelled { by }
        }
        () = tokio::time::sleep(limit) => {
            events::timed_out(task, limit);
            Ended::TimedOut { limit }
        }
    }
}

/// Waits until people have the pool give back what it runs.
async fn drained(kind: TaskKind, worker: &Worker) {
    match worker.identity.pools.get(&kind) {
        // The slots are as old as the worker.
        Some(slots) => _ = slots.setting().wait_for(|setting| setting.state == PoolState::Draining).await,
        None => std::future::pending().await,
    }
}

fn panicked(leased: &Leased, panic: &(dyn std::any::Any + Send)) -> Outcome {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let error = format!("the executor panicked: {}", text.as_deref().unwrap_or("without a message"));
    events::panicked(leased.task.id, &error);
    Outcome::new(Ended::Failed { retryable: true, error })
}

/// Finds the executor of a task, by its kind and its job's source.
async fn execute(attempt: &Attempt<'_>) -> Outcome {
    let work = match Work::parse(attempt.leased.task.kind, attempt.leased.task.params.json()) {
        Ok(work) => work,
        Err(error) => return Outcome::refused(error.to_string()),
    };
    let ended = match (&work, attempt.plan.job()) {
        (Work::Report(params), _) => Box::pin(report::run(attempt, params)).await,
        (Work::Maintain(params), _) => Box::pin(maintain::run(attempt, params)).await,
        (_, None) => {
            Err(Ended::Failed { retryable: false, error: "its job does not exist any more".to_owned() })
        }
        (_, Some(plan)) => on_job(attempt, plan, &work).await,
    };
    ended.unwrap_or_else(Outcome::new)
}

async fn on_job(attempt: &Attempt<'_>, plan: &JobWithTargets, work: &Work) -> Result<Outcome, Ended> {
    let target = if matches!(work, Work::Backup) { plan.job.job.primary() } else { work.target() };
    if let Some(target) = target
        && plan.target(target).is_some_and(|target| target.state != TargetState::Attached)
        // One looks where the target is, the other uses nothing of it.
        && !matches!(work, Work::Probe(_) | Work::Record(_))
    {
        return Err(Ended::Postponed(Postponed::Detached(target.clone())));
    }
    // The engine's executors are boxed: every waiting task would be as large as the largest of them otherwise.
    match (&plan.job.job.source.data, work) {
        (SourceData::Reported, Work::Record(params)) => reported::run(attempt, plan, params),
        (SourceData::Reported, _) => {
            Err(refuse("another system backs the job up: it takes only its reports"))
        }
        (_, Work::Record(_)) => Err(refuse("the job's source is not `reported`: it takes no reports")),
        (SourceData::Simulated { duration, failure_rate, bytes, aborts }, _) => {
            Simulated { duration: *duration, failure_rate: *failure_rate, bytes: *bytes, aborts: *aborts }
                .run(attempt, plan, work)
                .await
        }
        (SourceData::Files { .. }, Work::Backup) => Box::pin(files::run(attempt, plan)).await,
        (_, Work::Copy(params)) => Box::pin(copy::run(attempt, plan, params)).await,
        (_, Work::Verify(params)) => Box::pin(verify::run(attempt, plan, params)).await,
        (_, Work::Restore(params)) => Box::pin(restore::run(attempt, plan, params)).await,
        (_, Work::Probe(params)) => Box::pin(probe::run(attempt, plan, params)).await,
        (_, Work::Forget(params)) => Box::pin(forget::run(attempt, plan, params)).await,
        (_, Work::Report(params)) => Box::pin(report::run(attempt, params)).await,
        (_, Work::Maintain(params)) => Box::pin(maintain::run(attempt, params)).await,
    }
}
