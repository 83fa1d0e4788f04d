//! Watches over a session's consumers: one that the broker does not serve any more says nothing about it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use shared::task::{Priority, TaskKind};
use shared::topology;

/// How often the broker is asked. Two looks must agree before a consumer is given up.
const EVERY: Duration = Duration::from_secs(15);

/// What a session knows of its own consuming.
#[derive(Debug, Default)]
pub(crate) struct Consuming {
    active: AtomicBool,
    delivered: AtomicU64,
    settled: AtomicU64,
}

impl Consuming {
    /// Says whether deliveries are wanted.
    pub(crate) fn set_active(&self, active: bool) {
        self.active.store(active, Ordering::Relaxed);
    }

    /// Counts a delivery.
    pub(crate) fn delivered(&self) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts settled deliveries.
    pub(crate) fn settled(&self, deliveries: usize) {
        self.settled.fetch_add(deliveries as u64, Ordering::Relaxed);
    }

    fn here(&self) -> Here {
        let delivered = self.delivered.load(Ordering::Relaxed);
        Here {
            active: self.active.load(Ordering::Relaxed),
            delivered,
            holds: delivered > self.settled.load(Ordering::Relaxed),
        }
    }
}

/// One look at both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    here: Here,
    broker: Broker,
}

/// What this side says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Here {
    /// Deliveries are wanted.
    active: bool,
    /// Deliveries so far.
    delivered: u64,
    /// Some of them are not settled, so that the broker may be waiting for us.
    holds: bool,
}

/// What the broker says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Broker {
    /// Messages that wait in both queues.
    ready: u32,
    /// Consumers, ours and others', of the queue that has fewer.
    consumers: u32,
}

/// Returns why the consumers must be taken for gone; not at all while all is well.
pub(crate) async fn until_gone(
    channel: &Channel,
    kind: TaskKind,
    consuming: &Consuming,
) -> lapin::Result<&'static str> {
    let mut before = look(channel, kind, consuming).await?;
    loop {
        tokio::time::sleep(EVERY).await;
        let now = look(channel, kind, consuming).await?;
        if let Some(why) = gone(before, now) {
            return Ok(why);
        }
        before = now;
    }
}

async fn look(channel: &Channel, kind: TaskKind, consuming: &Consuming) -> lapin::Result<Look> {
    let (mut ready, mut consumers) = (0, u32::MAX);
    for &priority in Priority::ALL {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let name = topology::queue(kind, priority);
        let queue = channel.queue_declare(name.as_str().into(), passive, FieldTable::default()).await?;
        ready += queue.message_count();
        consumers = consumers.min(queue.consumer_count());
    }
    Ok(Look { here: consuming.here(), broker: Broker { ready, consumers } })
}

/// Whether two looks, one after the other, show that the broker does not serve us. Where we hold deliveries, or want
/// none, the broker is right to be silent.
fn gone(before: Look, now: Look) -> Option<&'static str> {
    let both = |condition: fn(&Look) -> bool| condition(&before) && condition(&now);
    let idle = both(|look| look.here.active && !look.here.holds);
    if !idle || before.here.delivered != now.here.delivered {
        None
    } else if both(|look| look.broker.consumers == 0) {
        Some("the broker knows no consumer of the queue")
    } else if both(|look| look.broker.ready > 0) {
        Some("messages wait and none is delivered")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(ready: u32, consumers: u32) -> Look {
        let here = Here { active: true, delivered: 7, holds: false };
        Look { here, broker: Broker { ready, consumers } }
    }

    #[test]
    fn a_consumer_that_the_broker_does_not_know_is_gone() {
        assert!(gone(idle(0, 0), idle(0, 0)).is_some());
        assert_eq!(gone(idle(0, 1), idle(0, 0)), None, "one look is not enough");
    }

    #[test]
    fn a_consumer_that_gets_nothing_of_what_waits_is_gone() {
        assert!(gone(idle(5, 1), idle(5, 1)).is_some());
        assert_eq!(gone(idle(0, 1), idle(5, 1)), None, "it may have come this moment");
    }

    #[test]
    fn a_consumer_that_works_pauses_or_is_full_is_not_gone() {
        let with = |here| Look { here, ..idle(5, 1) };
        let moved = with(Here { active: true, delivered: 8, holds: false });
        let paused = with(Here { active: false, delivered: 7, holds: false });
        let full = with(Here { active: true, delivered: 7, holds: true });
        for look in [moved, paused, full] {
            assert_eq!(gone(idle(5, 1), look), None);
            assert_eq!(gone(look, idle(5, 1)), None);
        }
    }
}
