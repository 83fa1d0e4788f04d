//! The second stage: a task starts when a slot is free and its limits allow it; what cannot start soon waits in the database
//! instead of being held.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::clock;
use shared::limit::Key;
use shared::message::TaskMessage;
use shared::task::TaskKind;
use tokio::sync::mpsc;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use crate::claim::Entry;
use crate::limits::{Limits, Lines, Permit};
use crate::receive::Received;
use crate::slots::{Slot, Slots};
use crate::ticket::Ticket;
use crate::traced::Traced;
use crate::worker::Worker;

/// How long a task may wait for its start while its delivery is held: half of the 10 s within which every delivery
/// is settled.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is to become of a task.
#[derive(Debug)]
pub enum Wish {
    /// It starts now.
    Start(Slot, Permits),
    /// It stands in the line of a limit until a worker calls it.
    Line(Key),
    /// Another worker is to have it, because this one stops.
    HandBack,
    /// It must not start yet: it waits in the database until the time that it names.
    Wait,
}

/// The permits of a task, with the keys whose rates are limited.
pub type Permits = Vec<(Key, Permit)>;

/// A task with what is to become of it.
#[derive(Debug)]
pub struct Admitted {
    /// The task.
    pub task: TaskMessage,
    /// Its ticket.
    pub ticket: Ticket,
    /// Its future.
    pub wish: Wish,
    /// Its trace, if it is traced.
    pub traced: Option<Box<Traced>>,
}

/// Decides about tasks in the order of their arrival until none comes any more.
pub async fn run(
    kind: TaskKind,
    mut tasks: mpsc::Receiver<Received>,
    admitted: mpsc::Sender<Entry>,
    slots: Slots,
    worker: Arc<Worker>,
    stop: &CancellationToken,
) {
    while let Some(Received { task, ticket, traced }) = tasks.recv().await {
        let wish = match wait_until(task.not_before) {
            Some(_) => Wish::Wait,
            None => start(kind, &task, &ticket, &slots, &worker, stop).await,
        };
        if admitted.send(Entry::Delivered(Admitted { task, ticket, wish, traced })).await.is_err() {
            return;
        }
    }
}

/// By this machine's clock, which only spares a slot: the claim goes by the database's.
fn wait_until(not_before: Option<DateTime<Utc>>) -> Option<Duration> {
    (not_before? - clock::now()).to_std().ok()
}

async fn start(
    kind: TaskKind,
    task: &TaskMessage,
    ticket: &Ticket,
    slots: &Slots,
    worker: &Worker,
    stop: &CancellationToken,
) -> Wish {
    let (book, lines) = (worker.limits.book(), worker.limits.lines());
    let job = task.job.as_ref().and_then(|job| book.id(job));
    let limits = book.limits(kind, job, &task.params);
    // Who comes later does not overtake those that wait.
    if let Some(key) = waited_for(kind, &limits, lines) {
        return Wish::Line(key);
    }
    let patience = timeout_at((ticket.received_at() + PATIENCE).into(), slots.take());
    tokio::select! {
        biased;
        // A process that stops starts nothing: another one shall have it at once.
        () = stop.cancelled() => Wish::HandBack,
        slot = patience => match slot {
            Ok(slot) => match permits(&limits, |_| false) {
                Ok(permits) => Wish::Start(slot, permits),
                Err(refused) => Wish::Line(refused.key),
            },
            Err(_) => Wish::Line(Key::Pool(kind)),
        },
    }
}

/// The first key of a task for which others of its kind wait already, be it for a limit or for a slot.
fn waited_for(kind: TaskKind, limits: &Limits, lines: &Lines) -> Option<Key> {
    if lines.is_empty() {
        return None;
    }
    let pool = Key::Pool(kind);
    let keys = std::iter::once(&pool).chain(limits.iter().map(|limited| &limited.key));
    keys.into_iter().find(|key| lines.stands(kind, key)).cloned()
}

/// Takes the permits that a task needs beside those that it has.
///
/// # Errors
/// What does not let it start.
pub fn permits(limits: &Limits, has: impl Fn(&Key) -> bool) -> Result<Permits, Refused> {
    let mut permits = Permits::new();
    for limited in limits.iter().filter(|limited| !has(&limited.key)) {
        let Some(gate) = &limited.gate else { continue };
        match gate.take() {
            Ok(permit) => permits.push((limited.key.clone(), permit)),
            Err(wait) => return Err(Refused { key: limited.key.clone(), full: false, wait }),
        }
    }
    Ok(permits)
}

/// What does not let a task start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which key.
    pub key: Key,
    /// Its cap is full, and not its rate used up.
    pub full: bool,
    /// How soon its rate may allow a start, where that is known.
    pub wait: Option<Duration>,
}
