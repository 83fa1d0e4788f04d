//! The second stage: a task starts when a slot is free and the pool's rate allows it; what cannot start soon is
//! parked in the database instead of held.

use std::time::Duration;

use chrono::{DateTime, Utc};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use shared::clock;
use shared::message::TaskMessage;
use tokio::sync::mpsc;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use crate::config::PoolConfig;
use crate::receive::Received;
use crate::slots::{Slot, Slots};
use crate::ticket::Ticket;

/// How long a task may wait for its start while its delivery is held: half of the 10 s within which every delivery
/// is settled.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a parked task waits before it comes again, at least; up to half as much is added, so that tasks that
/// were parked together do not come back together.
const PARK: Duration = Duration::from_secs(10);

/// What is to become of a task.
#[derive(Debug)]
pub enum Wish {
    /// It starts now.
    Start(Slot),
    /// No slot is free: it waits in the database for so long.
    Park(Duration),
    /// It must not start yet: it waits in the database until the time that it names.
    Wait,
}

/// A task with what is to become of it.
#[derive(Debug)]
pub struct Admitted {
    /// The task.
    pub task: TaskMessage,
    /// Its ticket.
    pub ticket: Ticket,
    /// Its future.
    pub wish: Wish,
}

/// Decides about tasks in the order of their arrival until none comes any more.
pub async fn run(
    mut tasks: mpsc::Receiver<Received>,
    admitted: mpsc::Sender<Admitted>,
    slots: Slots,
    pool: PoolConfig,
    stop: &CancellationToken,
) {
    let rate = pool.rate.and_then(|rate| {
        Quota::with_period(rate.period).map(|quota| RateLimiter::direct(quota.allow_burst(rate.burst)))
    });
    while let Some(Received { task, ticket }) = tasks.recv().await {
        let wish = match wait_until(task.not_before) {
            Some(_) => Wish::Wait,
            None => start(&ticket, &slots, rate.as_ref(), stop).await,
        };
        if admitted.send(Admitted { task, ticket, wish }).await.is_err() {
            return;
        }
    }
}

/// By this machine's clock, which only spares a slot: the claim goes by the database's.
fn wait_until(not_before: Option<DateTime<Utc>>) -> Option<Duration> {
    (not_before? - clock::now()).to_std().ok()
}

async fn start(
    ticket: &Ticket,
    slots: &Slots,
    rate: Option<&DefaultDirectRateLimiter>,
    stop: &CancellationToken,
) -> Wish {
    let ready = async {
        let slot = slots.take().await;
        if let Some(rate) = rate {
            rate.until_ready().await;
        }
        slot
    };
    tokio::select! {
        biased;
        // A process that stops starts nothing: another one shall have it at once.
        () = stop.cancelled() => Wish::Park(Duration::ZERO),
        ready = timeout_at((ticket.received_at() + PATIENCE).into(), ready) => match ready {
            Ok(slot) => Wish::Start(slot),
            Err(_) => {
                slots.saturate();
                Wish::Park(PARK.mul_f64(1.0 + 0.5 * rand::random::<f64>()))
            }
        },
    }
}
