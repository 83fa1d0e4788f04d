//! The side door of the pipeline: calls tasks that wait in lines, when a slot is free and their limit lets them through.

use std::sync::Arc;
use std::time::Duration;

use shared::limit::Key;
use shared::task::TaskKind;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::claim::Entry;
use crate::limits::{Callable, Gate, Permit};
use crate::slots::{Slot, Slots};
use crate::worker::Worker;

/// A call: as many tasks of a line as there are slots for them.
#[derive(Debug)]
pub struct Call {
    /// The line's key.
    pub key: Key,
    /// For each task one.
    pub slots: Vec<Slot>,
    /// For each task one, where the key's rate is limited.
    pub permits: Vec<Permit>,
}

/// Calls until `stop`.
pub async fn run(
    kind: TaskKind,
    slots: Slots,
    called: mpsc::Sender<Entry>,
    worker: Arc<Worker>,
    stop: &CancellationToken,
) {
    let lines = worker.limits.lines();
    let mut changes = lines.changes();
    let mut waited_for: Option<Slot> = None;
    while !stop.is_cancelled() {
        changes.mark_unchanged();
        let book = worker.limits.book();
        match (lines.choose(kind, &book), waited_for.take().or_else(|| slots.try_take())) {
            (Ok(callable), Some(slot)) => {
                let gate = book.limit(&callable.key).and_then(|limited| limited.gate.as_ref());
                if called.send(Entry::Called(gather(callable, slot, &slots, gate))).await.is_err() {
                    return;
                }
            }
            (Ok(callable), None) => {
                // A permit must not grow old while all slots are busy.
                lines.put_back(kind, &callable.key);
                drop(callable);
                tokio::select! {
                    slot = slots.take() => waited_for = Some(slot),
                    () = stop.cancelled() => return,
                }
            }
            (Err(wait), slot) => {
                drop(slot);
                tokio::select! {
                    _ = changes.changed() => {}
                    () = tokio::time::sleep(wait.unwrap_or(Duration::MAX)) => {}
                    () = stop.cancelled() => return,
                }
            }
        }
    }
}

/// As many slots and permits as there are at this moment, beyond the first.
fn gather(callable: Callable, slot: Slot, slots: &Slots, gate: Option<&Arc<Gate>>) -> Call {
    let Callable { key, most, permit } = callable;
    let mut call = Call { key, slots: vec![slot], permits: permit.into_iter().collect() };
    while call.slots.len() < most {
        let Some(slot) = slots.try_take() else { break };
        if let Some(gate) = gate {
            let Ok(permit) = gate.take() else {
                gate.want(most.min(1 + slots.free()));
                break;
            };
            call.permits.push(permit);
        }
        call.slots.push(slot);
    }
    call
}
