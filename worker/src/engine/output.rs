//! The child's voice: one event a line on standard output.

use std::{
    io::{Write, stdout},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rustic_core::{Progress as RusticHandle, ProgressBars, ProgressType, RusticProgress};

use super::{
    clock::BootInstant,
    protocol::{Event, Progress},
    watchdog,
};

/// The shortest time between two progress events.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// When the last progress event was printed, in nanoseconds of the lease clock.
static LAST_PROGRESS: AtomicU64 = AtomicU64::new(0);

/// Prints one event.
///
/// If nobody reads any more, the parent is gone and this process ends.
pub fn emit(event: &Event) {
    let Ok(mut line) = serde_json::to_vec(event) else { return };
    line.push(b'\n');
    let mut out = stdout().lock();
    if out.write_all(&line).and_then(|()| out.flush()).is_err() {
        watchdog::die();
    }
}

/// Says what is begun, and that what was done before has ended.
pub fn phase(name: &str) {
    emit(&Event::Phase { name: name.to_owned() });
}

/// Prints a progress event unless the last one is too fresh.
fn emit_progress(progress: impl FnOnce() -> Progress) {
    let now = BootInstant::now().as_nanos();
    let last = LAST_PROGRESS.load(Ordering::Relaxed);
    let due = u128::from(now.saturating_sub(last)) >= PROGRESS_EVERY.as_nanos();
    // Of several threads that find it due, one prints.
    if due && LAST_PROGRESS.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        emit(&Event::Progress(progress()));
    }
}

/// Files counted beside the bytes that the engine counts by itself.
#[derive(Debug, Default)]
pub struct Files {
    /// Done so far.
    pub done: AtomicU64,
    /// In all; zero as long as it is unknown.
    pub total: AtomicU64,
}

/// Turns the progress that `rustic_core` reports into events.
#[derive(Debug, Default)]
pub struct Bars {
    /// Counted by whoever knows about files; all zero for operations that do not count them.
    pub files: Arc<Files>,
}

impl ProgressBars for Bars {
    fn progress(&self, kind: ProgressType, prefix: &str) -> RusticHandle {
        let phase = prefix.trim_end_matches('.').to_owned();
        RusticHandle::new(Bar {
            phase,
            bytes: matches!(kind, ProgressType::Bytes),
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
            files: Arc::clone(&self.files),
        })
    }
}

#[derive(Debug)]
struct Bar {
    phase: String,
    /// Whether this one counts bytes. Others count trees, packs and the like, which would mislead as bytes.
    bytes: bool,
    done: AtomicU64,
    total: AtomicU64,
    files: Arc<Files>,
}

impl Bar {
    fn report(&self) {
        if self.phase.is_empty() {
            return;
        }
        emit_progress(|| {
            let known =
                |counter: &AtomicU64| Some(counter.load(Ordering::Relaxed)).filter(|&value| value > 0);
            Progress {
                phase: self.phase.clone(),
                files_done: known(&self.files.done),
                files_total: known(&self.files.total),
                bytes_done: if self.bytes { self.done.load(Ordering::Relaxed) } else { 0 },
                bytes_total: known(&self.total).filter(|_| self.bytes),
            }
        });
    }
}

impl RusticProgress for Bar {
    fn is_hidden(&self) -> bool {
        false
    }

    fn set_length(&self, len: u64) {
        self.total.store(len, Ordering::Relaxed);
        self.report();
    }

    fn set_title(&self, _title: &str) {}

    fn inc(&self, inc: u64) {
        self.done.fetch_add(inc, Ordering::Relaxed);
        self.report();
    }

    fn finish(&self) {
        self.report();
    }
}
