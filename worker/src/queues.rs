//! A kind's two queues as one stream of deliveries.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{Stream, StreamExt as _};
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use shared::task::{Priority, TaskKind};
use shared::topology;

use crate::window::Windows;

/// How many tasks of high priority may pass one of normal priority that waits.
const HIGH_IN_A_ROW: u32 = 4;

/// The two queues of a kind as one stream: high before normal, but never for ever.
pub(crate) struct Queues<S> {
    /// Absent once it has ended: a consumer tells its end only once.
    high: Option<S>,
    normal: Option<S>,
    streak: u32,
}

/// What comes from the two queues.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival<D> {
    /// A delivery.
    Delivery(Priority, D),
    /// A consumer was cancelled, by us or by the broker, and nothing more is in its buffer.
    Ended,
}

impl Queues<Consumer> {
    /// Consumes both queues of a kind, each with the prefetch of its window: a consumer keeps the one that it began with.
    pub(crate) async fn open(channel: &Channel, kind: TaskKind, windows: &Windows) -> lapin::Result<Self> {
        let consume = async |priority| {
            channel.basic_qos(windows.prefetch(priority), BasicQosOptions { global: false }).await?;
            let queue = topology::queue(kind, priority);
            let options = BasicConsumeOptions::default();
            channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default()).await
        };
        let (high, normal) = (consume(Priority::High).await?, consume(Priority::Normal).await?);
        Ok(Self { high: Some(high), normal: Some(normal), streak: 0 })
    }

    /// Has the broker send nothing more; what was delivered already is still to come.
    pub(crate) async fn cancel(&self, channel: &Channel) -> lapin::Result<()> {
        for consumer in self.high.iter().chain(&self.normal) {
            channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
        }
        Ok(())
    }
}

impl<S: Stream + Unpin> Queues<S> {
    fn queue(&mut self, priority: Priority) -> &mut Option<S> {
        match priority {
            Priority::High => &mut self.high,
            Priority::Normal => &mut self.normal,
        }
    }
}

impl<S: Stream + Unpin> Stream for Queues<S> {
    type Item = Arrival<S::Item>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.high.is_none() && self.normal.is_none() {
            return Poll::Ready(None);
        }
        let normal_first = self.streak >= HIGH_IN_A_ROW;
        let order = if normal_first {
            [Priority::Normal, Priority::High]
        } else {
            [Priority::High, Priority::Normal]
        };
        for priority in order {
            let Some(queue) = self.queue(priority) else { continue };
            match queue.poll_next_unpin(context) {
                Poll::Ready(Some(delivery)) => {
                    self.streak = if priority == Priority::High { self.streak + 1 } else { 0 };
                    return Poll::Ready(Some(Arrival::Delivery(priority, delivery)));
                }
                Poll::Ready(None) => {
                    *self.queue(priority) = None;
                    return Poll::Ready(Some(Arrival::Ended));
                }
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    /// As lapin's consumer: it tells its end once, and then hangs.
    fn consumer(deliveries: Vec<u32>) -> impl Stream<Item = u32> + Unpin {
        let mut deliveries = deliveries.into_iter();
        let mut ended = false;
        stream::poll_fn(move |_| match deliveries.next() {
            Some(delivery) => Poll::Ready(Some(delivery)),
            None if ended => Poll::Pending,
            None => {
                ended = true;
                Poll::Ready(None)
            }
        })
    }

    #[tokio::test]
    async fn two_queues_that_end_one_after_the_other_end_together() {
        let queues = Queues { high: Some(consumer(vec![])), normal: Some(consumer(vec![1, 2])), streak: 0 };
        let arrivals: Vec<_> = queues.collect().await;
        let normal = |delivery| Arrival::Delivery(Priority::Normal, delivery);
        assert_eq!(arrivals, [Arrival::Ended, normal(1), normal(2), Arrival::Ended]);
    }

    #[tokio::test]
    async fn a_long_high_queue_lets_a_normal_task_through_after_each_few() {
        let queues =
            Queues { high: Some(consumer((0..9).collect())), normal: Some(consumer(vec![1, 2])), streak: 0 };
        let arrivals: Vec<_> = queues.collect().await;
        let normal =
            arrivals.iter().position(|arrival| matches!(arrival, Arrival::Delivery(Priority::Normal, _)));
        assert_eq!(normal, Some(4));
    }
}
