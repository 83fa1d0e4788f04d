//! The lanes of the relay, one for each queue.
//!
//! A lane whose tasks the broker does not take, because the queue is full or because the broker blocks its publishers, rests for
//! longer and longer. Then a single task tries whether it is so still: a queue that takes nothing costs the others nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::task::{Priority, TaskKind};
use shared::topology;
use tokio::time::Instant;

use super::{Ended, Queue};
use crate::events;

/// Rows of a queue that are published together.
const BATCH: i64 = 1000;
/// How long a lane rests after the broker did not take its tasks; each time twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// No lane rests for longer, so that it soon notices when its tasks are taken again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// All lanes.
#[derive(Debug)]
pub(super) struct Lanes(BTreeMap<Queue, Lane>);

impl Default for Lanes {
    fn default() -> Self {
        let of_kind = |&kind: &TaskKind| Priority::ALL.iter().map(move |&priority| (kind, priority));
        Self(TaskKind::ALL.iter().flat_map(of_kind).map(|queue| (queue, Lane::default())).collect())
    }
}

impl Lanes {
    /// The queues of which something may be taken now, and how many rows.
    pub(super) fn free(&self, now: Instant) -> Vec<(TaskKind, Priority, i64)> {
        let free = |(queue, lane): (&Queue, &Lane)| Some((queue.0, queue.1, lane.room(now)?));
        self.0.iter().filter_map(free).collect()
    }

    /// A batch of the queue is under way: it takes no other.
    pub(super) fn occupy(&mut self, queue: Queue) {
        self.0.entry(queue).or_default().is_busy = true;
    }

    /// The batch of a queue has ended.
    pub(super) fn settle(&mut self, queue: Queue, ended: Ended) {
        let lane = self.0.entry(queue).or_default();
        let (name, before) = (topology::queue(queue.0, queue.1), lane.failures);
        match ended.trouble {
            None => {
                lane.succeeded();
                events::published(&name, ended.confirmed, before > 0);
            }
            Some(error) => {
                let pause = lane.failed(Instant::now());
                events::not_published(&name, ended.confirmed, ended.unconfirmed, &error, pause);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Lane {
    is_busy: bool,
    /// Batches that failed one after the other.
    failures: u32,
    rests_until: Option<Instant>,
}

impl Lane {
    fn room(&self, now: Instant) -> Option<i64> {
        let rests = self.rests_until.is_some_and(|until| now < until);
        (!self.is_busy && !rests).then_some(if self.failures == 0 { BATCH } else { 1 })
    }

    fn succeeded(&mut self) {
        *self = Self::default();
    }

    fn failed(&mut self, now: Instant) -> Duration {
        let pause = (FIRST_PAUSE * 2_u32.pow(self.failures.min(8))).min(LONGEST_PAUSE);
        *self = Self {
            is_busy: false,
            failures: self.failures.saturating_add(1),
            rests_until: Some(now + pause),
        };
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_that_fails_rests_for_longer_and_longer_and_is_tried_with_one_task() {
        let (mut lane, mut now) = (Lane::default(), Instant::now());
        assert_eq!(lane.room(now), Some(BATCH));
        for expected in [500, 1_000, 2_000, 4_000, 5_000, 5_000] {
            lane.is_busy = true;
            assert_eq!(lane.failed(now), Duration::from_millis(expected));
            let over = now + Duration::from_millis(expected);
            assert_eq!((lane.room(over - Duration::from_millis(1)), lane.room(over)), (None, Some(1)));
            now = over;
        }
        lane.failures = u32::MAX - 1;
        assert_eq!(lane.failed(now), LONGEST_PAUSE);
        lane.succeeded();
        assert_eq!(lane.room(now), Some(BATCH));
    }

    #[test]
    fn what_becomes_of_one_lane_leaves_the_others_alone() {
        let mut lanes = Lanes::default();
        let all = lanes.free(Instant::now()).len();
        let (full, busy) = ((TaskKind::Backup, Priority::Normal), (TaskKind::Verify, Priority::High));
        lanes.occupy(full);
        lanes.occupy(busy);
        lanes.settle(full, Ended { confirmed: 0, unconfirmed: 1, trouble: Some(anyhow::anyhow!("full")) });
        let free = lanes.free(Instant::now());
        assert_eq!(free.len(), all - 2);
        assert!(
            free.iter().all(|(kind, priority, most)| {
                *most == BATCH && ![full, busy].contains(&(*kind, *priority))
            })
        );
        lanes.settle(busy, Ended { confirmed: 9, unconfirmed: 0, trouble: None });
        assert_eq!(lanes.free(Instant::now() + LONGEST_PAUSE).len(), all);
    }
}
