//! Tickets: a delivery can only be acknowledged with proof of the commit that made it superfluous.
//!
//! A message may carry many tasks. Each gets a [`Ticket`] that can be moved but not copied, and that ends in one of
//! two ways: it is settled with a proof, or it is dropped. The message is acknowledged when all of its tickets were
//! settled; if one was dropped, by a fault or a stop, it comes again.
//!
//! ```compile_fail
//! fn acknowledge_before_the_commit(ticket: worker::ticket::Ticket) {
//!     // `Committed` has no constructor: only `shared::db::commit` gives one.
//!     ticket.committed(shared::db::Committed(()));
//! }
//! ```
//!
//! ```compile_fail
//! fn acknowledge_twice(ticket: worker::ticket::Ticket, proof: shared::db::Committed) {
//!     ticket.committed(proof);
//!     ticket.committed(proof);
//! }
//! ```
//!
//! ```
//! fn acknowledge_after_the_commit(ticket: worker::ticket::Ticket, proof: shared::db::Committed) {
//!     ticket.committed(proof);
//! }
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use shared::broker::Confirmed;
use shared::db::Committed;
use tokio::sync::mpsc::UnboundedSender;

/// The right to settle one task of a delivery.
#[derive(Debug)]
#[must_use = "a ticket that is dropped lets its message come again"]
pub struct Ticket {
    delivery: Arc<Delivery>,
}

#[derive(Debug)]
struct Delivery {
    tag: u64,
    received_at: Instant,
    unsettled: AtomicUsize,
    settled: UnboundedSender<u64>,
}

impl Ticket {
    /// One ticket for each of the `tasks` of the delivery `tag`. Its tag is sent when all are settled.
    pub fn issue(tag: u64, tasks: usize, settled: &UnboundedSender<u64>) -> Vec<Self> {
        let received_at = Instant::now();
        let unsettled = AtomicUsize::new(tasks);
        let delivery = Arc::new(Delivery { tag, received_at, unsettled, settled: settled.clone() });
        std::iter::repeat_with(|| Self { delivery: delivery.clone() }).take(tasks).collect()
    }

    /// Since when the delivery is held.
    #[must_use]
    pub fn received_at(&self) -> Instant {
        self.delivery.received_at
    }

    /// The task is in the database: claimed, parked, or known already.
    pub fn committed(self, _proof: Committed) {
        self.settle();
    }

    /// The task is in the dead-letter queue.
    pub fn dead_lettered(self, _proof: Confirmed) {
        self.settle();
    }

    fn settle(self) {
        if self.delivery.unsettled.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Nobody listens any more when the channel is gone: the message comes again.
            _ = self.delivery.settled.send(self.delivery.tag);
        }
    }
}

/// Which deliveries of a channel can be acknowledged together: all up to the first that is not settled.
#[derive(Debug)]
pub struct Prefix {
    next: u64,
    /// Settled beyond `next`; `true` once it was acknowledged by itself.
    ahead: BTreeMap<u64, bool>,
    /// `next` as [`Prefix::is_stuck`] saw it last.
    seen: u64,
}

impl Default for Prefix {
    fn default() -> Self {
        // The broker numbers the deliveries of a channel from 1.
        Self { next: 1, ahead: BTreeMap::new(), seen: 0 }
    }
}

impl Prefix {
    /// Takes a settled tag in, and says up to which tag everything is settled if that has moved. The tag it names was
    /// not acknowledged before: the broker takes a second acknowledgement for an error.
    pub fn settle(&mut self, tag: u64) -> Option<u64> {
        self.ahead.insert(tag, false);
        let mut up_to = None;
        while let Some(acknowledged) = self.ahead.remove(&self.next) {
            if !acknowledged {
                up_to = Some(self.next);
            }
            self.next += 1;
        }
        up_to
    }

    /// Whether the first unsettled delivery is the same as at the last call, and others wait behind it.
    pub fn is_stuck(&mut self) -> bool {
        let stuck = self.seen == self.next && !self.ahead.is_empty();
        self.seen = self.next;
        stuck
    }

    /// The tags that are settled behind an unsettled one, each once: they can be acknowledged one by one.
    pub fn overtake(&mut self) -> Vec<u64> {
        let waiting = self.ahead.iter_mut().filter(|(_, acknowledged)| !**acknowledged);
        waiting
            .map(|(tag, acknowledged)| {
                *acknowledged = true;
                *tag
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_is_acknowledged_before_everything_below_it_is_settled(
            order in Just((1..=200_u64).collect::<Vec<_>>()).prop_shuffle()
        ) {
            let mut prefix = Prefix::default();
            let mut settled = BTreeSet::new();
            let mut acknowledged = 0;
            for tag in order {
                settled.insert(tag);
                if let Some(up_to) = prefix.settle(tag) {
                    prop_assert!(up_to > acknowledged);
                    prop_assert!((1..=up_to).all(|below| settled.contains(&below)));
                    acknowledged = up_to;
                }
            }
            prop_assert_eq!(acknowledged, 200);
        }

        #[test]
        fn what_overtakes_is_settled_and_is_acknowledged_once(
            order in Just((1..=60_u64).collect::<Vec<_>>()).prop_shuffle(),
            overtakes in prop::collection::vec(any::<bool>(), 60),
        ) {
            let mut prefix = Prefix::default();
            // As the broker sees it: what is delivered and not acknowledged.
            let mut unacknowledged: BTreeSet<u64> = (1..=60).collect();
            let mut settled = BTreeSet::new();
            for (tag, overtake) in order.into_iter().zip(overtakes) {
                settled.insert(tag);
                if let Some(up_to) = prefix.settle(tag) {
                    prop_assert!(unacknowledged.contains(&up_to), "a second acknowledgement of {}", up_to);
                    prop_assert!((1..=up_to).all(|below| settled.contains(&below)));
                    unacknowledged.retain(|tag| *tag > up_to);
                }
                if overtake {
                    for tag in prefix.overtake() {
                        prop_assert!(settled.contains(&tag));
                        prop_assert!(unacknowledged.remove(&tag), "a second acknowledgement of {}", tag);
                    }
                }
            }
            prop_assert!(unacknowledged.is_empty());
        }
    }

    #[test]
    fn a_prefix_is_stuck_when_others_wait_behind_the_same_delivery_twice() {
        let mut prefix = Prefix::default();
        assert!(!prefix.is_stuck());
        assert!(!prefix.is_stuck(), "nothing waits");
        prefix.settle(2);
        assert!(prefix.is_stuck());
        prefix.settle(1);
        assert!(!prefix.is_stuck());
    }

    #[tokio::test]
    async fn a_message_is_settled_when_the_last_of_its_tasks_is() {
        let (settled, mut tags) = tokio::sync::mpsc::unbounded_channel();
        let mut tickets = Ticket::issue(7, 2, &settled);
        tickets.pop().unwrap().settle();
        assert!(tags.try_recv().is_err());
        tickets.pop().unwrap().settle();
        assert_eq!(tags.try_recv(), Ok(7));
    }

    #[tokio::test]
    async fn a_dropped_ticket_keeps_its_message_unacknowledged() {
        let (settled, mut tags) = tokio::sync::mpsc::unbounded_channel();
        let mut tickets = Ticket::issue(7, 2, &settled);
        drop(tickets.pop());
        tickets.pop().unwrap().settle();
        drop(settled);
        assert_eq!(tags.recv().await, None);
    }
}
