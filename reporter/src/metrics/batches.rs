//! Adds up what each worker counts from its own start: batches by stage, and events by name.

use std::collections::HashMap;

use metrics::counter;
use shared::db::worker::{BatchCount, Worker};
use shared::metric;
use shared::metric::Metric;
use shared::task::WorkerId;

metric!(BATCHES: Metric::counter(
    "holdfast_batches_total", &["stage"], "Transactions of workers, by stage"
));
metric!(BATCH_TASKS: Metric::counter(
    "holdfast_batch_tasks_total", &["stage"], "Tasks in transactions of workers, by stage"
));
metric!(WORKER_EVENTS: Metric::counter(
    "holdfast_worker_events_total", &["event"],
    "What workers count: results discarded because the task had another owner (discarded), attempts \
     that lost their lease (fenced), tasks that ran alone (quarantined), consumers that had silently \
     gone (consumers_lost), callers that found no database connection in time (pool_exhausted)"
));

/// What every worker counted when it was last heard of. A worker that starts again is another one, so the sums only
/// grow; what it counted between its last word and its end is missing. An entry stays, 100 bytes for each start of
/// a worker while this process lives, because a silent worker may be heard of again.
#[derive(Debug, Default)]
pub(super) struct Batches {
    known: HashMap<(WorkerId, String), BatchCount>,
    events: HashMap<(WorkerId, String), u64>,
}

impl Batches {
    /// Counts what is new.
    pub(super) fn count(&mut self, workers: &[Worker]) {
        for worker in workers {
            for (stage, count) in &worker.batches {
                let new = self.advance(worker.id, stage, *count);
                counter!(BATCHES, "stage" => stage.clone()).increment(new.batches);
                counter!(BATCH_TASKS, "stage" => stage.clone()).increment(new.tasks);
            }
            for (event, count) in &worker.counters {
                let before = self.events.insert((worker.id, event.clone()), *count).unwrap_or_default();
                counter!(WORKER_EVENTS, "event" => event.clone()).increment(count.saturating_sub(before));
            }
        }
    }

    fn advance(&mut self, worker: WorkerId, stage: &str, count: BatchCount) -> BatchCount {
        let before = self.known.insert((worker, stage.to_owned()), count).unwrap_or_default();
        BatchCount {
            batches: count.batches.saturating_sub(before.batches),
            tasks: count.tasks.saturating_sub(before.tasks),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_counted() {
        let (mut batches, worker) = (Batches::default(), WorkerId::generate());
        let counts = |batches, tasks| BatchCount { batches, tasks };
        assert_eq!(batches.advance(worker, "claim", counts(2, 50)), counts(2, 50));
        assert_eq!(batches.advance(worker, "claim", counts(3, 60)), counts(1, 10));
        assert_eq!(batches.advance(worker, "record", counts(3, 60)), counts(3, 60));
        assert_eq!(batches.advance(WorkerId::generate(), "claim", counts(1, 1)), counts(1, 1));
    }
}
