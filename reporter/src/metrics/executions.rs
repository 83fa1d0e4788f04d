//! Counts finished attempts, each exactly once, in the order of the transactions that wrote them.

use std::collections::BTreeMap;

use deadpool_postgres::GenericClient;
use metrics::{counter, histogram};
use metrics_exporter_prometheus::PrometheusHandle;
use shared::db::Error;
use shared::db::execution::{self, Slice, Xact};
use shared::task::{Outcome, TaskKind};

use crate::events;
use crate::signal::Recent;
use shared::metric;
use shared::metric::{LONG, Metric};

metric!(EXECUTIONS: Metric::counter(
    "holdfast_executions_total", &["kind", "outcome"],
    "Finished attempts, by kind of task and outcome"
));
metric!(EXECUTION_DURATION: Metric::histogram(
    "holdfast_execution_duration_seconds", &["kind"], &LONG,
    "How long finished attempts took, by kind of task"
));
metric!(EXECUTION_BYTES: Metric::counter(
    "holdfast_execution_bytes_total", &["kind"],
    "Bytes of the sources of finished attempts, by kind of task"
));

/// The range of transactions that is read at once adapts to hold about this many attempts: the samples of one range
/// are in memory together, 24 bytes each.
const ATTEMPTS_AT_ONCE: u64 = 200_000;
/// The range to begin with, and the smallest one, in transactions.
const SMALLEST_RANGE: u64 = 1_000;

/// The attempts over which their duration is averaged.
const RECENT: f64 = 200.0;

/// What came to its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ended {
    /// Since this was taken last: attempts, and tasks that were cancelled while they waited.
    pub(super) left: f64,
    /// Attempts among them that came to an end of their own: that of a lost worker is known only when its lease is over.
    pub(super) attempts: f64,
    /// How long the last of these took, in seconds.
    pub(super) took: Recent,
}

impl Default for Ended {
    fn default() -> Self {
        Self { left: 0.0, attempts: 0.0, took: Recent::new(RECENT) }
    }
}

impl Ended {
    fn add(&mut self, slices: &[&Slice]) {
        let of_their_own = |slice: &&&Slice| match slice.outcome {
            Outcome::Success | Outcome::Warning | Outcome::Failed | Outcome::TimedOut => true,
            Outcome::Cancelled | Outcome::Lost => false,
        };
        self.left += slices.iter().map(|slice| slice.count as f64).sum::<f64>();
        let ended = || slices.iter().filter(of_their_own);
        let attempts: f64 = ended().map(|slice| slice.count as f64).sum();
        if attempts > 0.0 {
            let seconds: f64 = ended().map(|slice| slice.count as f64 * slice.mean_seconds).sum();
            self.attempts += attempts;
            self.took.add(attempts, seconds / attempts);
        }
    }
}

/// How far the attempts were counted.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Everything below is counted.
    counted: Option<Xact>,
    /// All that the database held at the start is counted.
    caught_up: bool,
    ended: BTreeMap<TaskKind, Ended>,
}

impl Tail {
    /// Counts what was written since the last call; the first call counts what the database holds.
    pub(super) async fn follow<C: GenericClient>(
        &mut self,
        client: &C,
        handle: &PrometheusHandle,
    ) -> Result<(), Error> {
        let horizon = execution::horizon(client).await?;
        let mut from = match self.counted {
            Some(counted) => counted,
            None => begin(client, horizon).await?,
        };
        self.counted = Some(from);
        let (mut range, mut total) = (SMALLEST_RANGE, 0);
        while from < horizon {
            let to = horizon.min(Xact(from.0.saturating_add(range)));
            let slices = execution::slices(client, from, to, &LONG).await?;
            self.count(&slices);
            // What was counted is not counted again, whatever fails after this.
            self.counted = Some(to);
            from = to;
            handle.run_upkeep();
            let attempts: u64 = slices.iter().map(|slice| slice.count).sum();
            total += attempts;
            range = if attempts < ATTEMPTS_AT_ONCE { range.saturating_mul(2) } else { range / 2 };
            range = range.max(SMALLEST_RANGE);
        }
        if !self.caught_up {
            self.caught_up = true;
            show_all();
            events::caught_up(total);
        }
        Ok(())
    }

    /// What has ended since the last call, by kind.
    pub(super) fn take_ended(&mut self) -> BTreeMap<TaskKind, Ended> {
        let ended = self.ended.clone();
        for ended in self.ended.values_mut() {
            (ended.left, ended.attempts) = (0.0, 0.0);
        }
        ended
    }

    fn count(&mut self, slices: &[Slice]) {
        let mut by_kind: BTreeMap<TaskKind, Vec<&Slice>> = BTreeMap::new();
        for slice in slices {
            let (kind, outcome) = (slice.kind.as_str(), slice.outcome.as_str());
            counter!(EXECUTIONS, "kind" => kind, "outcome" => outcome).increment(slice.count);
            counter!(EXECUTION_BYTES, "kind" => kind).increment(slice.bytes);
            let times = usize::try_from(slice.count).unwrap_or(usize::MAX);
            histogram!(EXECUTION_DURATION, "kind" => kind).record_many(slice.mean_seconds, times);
            by_kind.entry(slice.kind).or_default().push(slice);
        }
        for (kind, slices) in by_kind {
            self.ended.entry(kind).or_default().add(&slices);
        }
    }
}

/// Where to begin.
async fn begin<C: GenericClient>(client: &C, horizon: Xact) -> Result<Xact, Error> {
    let first = execution::first_xact(client).await?;
    // An older transaction may still be running and write the first row of all.
    Ok(first.map_or(horizon, |first| first.min(horizon)))
}

/// Shows zero for what has not happened yet, so that the first of each is seen as an increase.
fn show_all() {
    for kind in TaskKind::ALL {
        for outcome in Outcome::ALL {
            counter!(EXECUTIONS, "kind" => kind.as_str(), "outcome" => outcome.as_str()).increment(0);
        }
        counter!(EXECUTION_BYTES, "kind" => kind.as_str()).increment(0);
    }
}
