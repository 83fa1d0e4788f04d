//! Arrivals that do not wait for each other: an open loop.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use lapin::Confirmation;
use shared::task::Priority;
use shared::topology::{TASKS_EXCHANGE, routing_key};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::Load;
use super::publish::{open, send};
use crate::measure::Moment;

/// Before the first arrival, so that nothing is late from the start.
const LEAD: Duration = Duration::from_millis(100);

/// A task that the broker has taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// Its id.
    pub(crate) task: Uuid,
    /// When it was to be published.
    pub(crate) due: Moment,
    /// When it was: later, if the publisher had fallen behind.
    pub(crate) sent: Moment,
    /// When its confirm was there.
    pub(crate) confirmed: Moment,
}

impl Arrival {
    /// When its confirm would have been there if it had been published in time. What was late counts as latency: a
    /// system that holds its publisher up would look the better for it otherwise.
    pub(crate) fn confirm_due(&self) -> Moment {
        self.confirmed.minus(self.sent.since(self.due).unwrap_or_default())
    }
}

/// `tasks` times between nothing and `length`, as tasks arrive that know nothing of each other (a Poisson process,
/// given that so many come).
pub(crate) fn schedule(tasks: usize, length: Duration) -> Vec<Duration> {
    let mut times: Vec<Duration> = (0..tasks).map(|_| length.mul_f64(rand::random())).collect();
    times.sort_unstable();
    times
}

/// Publishes one task at each time of a schedule, whatever became of those before, and waits until the broker has
/// confirmed them all.
pub(crate) async fn publish_at(
    amqp_url: &str,
    load: &Load,
    schedule: Vec<Duration>,
) -> anyhow::Result<Vec<Arrival>> {
    ensure!(load.per_message == 1, "each arrival is a message");
    let (connection, channel) = open(amqp_url).await?;
    let key = routing_key(load.kind, Priority::Normal);
    let (arrive, mut arriving) = mpsc::unbounded_channel();
    // Tokio's timer keeps to milliseconds, a thread's sleep to a twentieth of that.
    let pace = tokio::task::spawn_blocking(move || pace(&schedule, &arrive));
    let mut confirms = JoinSet::new();
    while let Some((number, due)) = arriving.recv().await {
        let (task, sent) = (Uuid::now_v7(), Moment::now());
        let confirm = send(&channel, TASKS_EXCHANGE, &key, load.single(number, task).as_bytes()).await?;
        // A task each: no confirm waits to be noticed behind a publish.
        confirms.spawn(async move {
            let confirmation = confirm.await;
            (Arrival { task, due, sent, confirmed: Moment::now() }, confirmation)
        });
    }
    pace.await.context("the thread that keeps the time ended")?;
    let mut arrivals = Vec::with_capacity(confirms.len());
    while let Some(confirmed) = confirms.join_next().await {
        let (arrival, confirmation) = confirmed?;
        let confirmation = confirmation?;
        ensure!(
            matches!(confirmation, Confirmation::Ack(None)),
            "the broker did not take a message: {confirmation:?}"
        );
        arrivals.push(arrival);
    }
    connection.close(200, "done".into()).await?;
    Ok(arrivals)
}

/// Says which one is due when it is, on a thread that may sleep.
pub(crate) fn pace(schedule: &[Duration], arrive: &mpsc::UnboundedSender<(usize, Moment)>) {
    let start = Moment::now().plus(LEAD);
    for (number, time) in schedule.iter().enumerate() {
        let due = start.plus(*time);
        while let Some(wait) = due.since(Moment::now()).filter(|wait| !wait.is_zero()) {
            std::thread::sleep(wait);
        }
        if arrive.send((number, due)).is_err() {
            // Whoever works them off has failed, and says so.
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_has_all_its_arrivals_in_order_and_in_its_length() {
        let length = Duration::from_secs(2);
        let times = schedule(400, length);
        assert_eq!(times.len(), 400);
        assert!(times.is_sorted() && times.iter().all(|time| *time <= length), "{times:?}");
    }

    #[test]
    fn what_was_published_late_counts_from_when_it_was_due() {
        let due = Moment::now();
        let after = |milliseconds| due.plus(Duration::from_millis(milliseconds));
        let late = Arrival { task: Uuid::now_v7(), due, sent: after(30), confirmed: after(32) };
        assert_eq!(late.confirm_due(), after(2));
        let in_time = Arrival { sent: due, confirmed: after(2), ..late };
        assert_eq!(in_time.confirm_due(), after(2));
    }
}
