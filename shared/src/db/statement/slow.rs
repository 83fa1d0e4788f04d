//! Statements that took too long, logged with their plans.
//!
//! Whoever ran one goes on at once: it is told to a task beside, which has the plan made on a connection of its own. A
//! statement is logged once a minute at most, with the number of the other times; neither its text nor what it was given is
//! logged, because that may be anybody's data.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::super::{Database, within};
use super::{Running, Text, plan};

/// How long nothing more is logged of a statement that was.
const QUIET: Duration = Duration::from_mins(1);
/// Statements that wait for their plan to be made; of more, only the time is logged.
const WAITING: usize = 16;
/// How long a plan may take: a connection, and the locks of a planner.
const PLAN_TIMEOUT: Duration = Duration::from_secs(5);

/// What is asked for, once a process.
static WATCH: OnceLock<Watch> = OnceLock::new();
/// Moments are kept as milliseconds since this one.
static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

struct Watch {
    above: Duration,
    slow: mpsc::Sender<Slow>,
}

struct Slow {
    name: &'static str,
    text: Option<Text>,
    took: Duration,
    rows: Option<u64>,
    others: u32,
}

/// When something was logged of a statement, and how often nothing was since.
pub(super) struct Told {
    /// In milliseconds since [`BEGAN`], and one more: zero is never.
    at: AtomicU64,
    others: AtomicU32,
}

impl Told {
    pub(super) const fn new() -> Self {
        Self { at: AtomicU64::new(0), others: AtomicU32::new(0) }
    }

    /// Whether this time is to be logged, and how many others were not.
    fn turn(&self) -> Option<u32> {
        let now = u64::try_from(BEGAN.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let quiet = u64::try_from(QUIET.as_millis()).unwrap_or(u64::MAX);
        let due = |at: u64| (at == 0 || now.saturating_sub(at) >= quiet).then_some(now);
        if self.at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, due).is_ok() {
            Some(self.others.swap(0, Ordering::Relaxed))
        } else {
            self.others.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

/// Notes a statement that has ended, if it took too long for this process.
pub(super) fn note(running: &Running, took: Duration) {
    let Some(watch) = WATCH.get().filter(|watch| took >= watch.above) else { return };
    let Some(others) = running.measured.told.turn() else { return };
    let slow =
        Slow { name: running.measured.name, text: running.text.clone(), took, rows: running.rows, others };
    if let Err(mpsc::error::TrySendError::Full(slow) | mpsc::error::TrySendError::Closed(slow)) =
        watch.slow.try_send(slow)
    {
        log(&slow, "none: too many statements are slow at once");
    }
}

/// Logs this process's slow statements until `stop`, with the plans that its own sessions have; does nothing where that is
/// turned off. To be called once a process.
pub async fn watch(database: &Database, stop: &CancellationToken) {
    let (sender, mut receiver) = mpsc::channel(WAITING);
    if database.slow.is_zero() || WATCH.set(Watch { above: database.slow, slow: sender }).is_err() {
        return;
    }
    while let Some(Some(slow)) = stop.run_until_cancelled(receiver.recv()).await {
        let plan = match &slow.text {
            None => "none: it has no plan".to_owned(),
            Some(text) => {
                match within(PLAN_TIMEOUT, plan::explain(database, text.as_str(), plan::Form::Text)).await {
                    Ok(plan) => plan.text(),
                    Err(error) => format!("none: {error}"),
                }
            }
        };
        log(&slow, &plan);
    }
}

fn log(slow: &Slow, plan: &str) {
    let Slow { name, took, rows, others, .. } = slow;
    let seconds = took.as_secs_f64();
    let rows = rows.map_or_else(|| "unknown: it did not end well".to_owned(), |rows| rows.to_string());
    tracing::warn!(
        statement = name,
        seconds,
        rows,
        others_within_a_minute = others,
        "a statement was slow; its plan:\n{}",
        plan.trim_end()
    );
}

#[cfg(test)]
mod tests {
    use super::Told;

    #[test]
    fn a_statement_has_one_turn_and_the_others_are_counted() {
        let told = Told::new();
        assert_eq!([told.turn(), told.turn(), told.turn()], [Some(0), None, None]);
        assert_eq!(told.others.load(std::sync::atomic::Ordering::Relaxed), 2);
    }
}
