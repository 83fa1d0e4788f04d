//! The storage backend with a fence: nothing is written after the deadline.
//!
//! The [`watchdog`] ends the process within 50 ms of the deadline. That is not enough after a stop
//! (`SIGSTOP`, a frozen container, a suspended machine): when the process continues, its threads race, and one of
//! them could save a snapshot before the watchdog looks at the clock. So each write asks the clock first.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use rustic_core::{BytesList, FileType, Id, ReadBackend, RusticResult, WriteBackend};

use super::{throttle::Throttle, watchdog};

/// What went through a backend, in bytes.
#[derive(Debug, Default)]
pub struct Traffic {
    read: AtomicU64,
    written: AtomicU64,
}

impl Traffic {
    /// Bytes read so far.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    fn count(counter: &AtomicU64, bytes: usize) {
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// A backend that asks the clock before each write, and counts what goes through it, no faster than its throttle allows.
pub struct Fenced {
    inner: Arc<dyn WriteBackend>,
    traffic: Arc<Traffic>,
    throttle: Arc<Throttle>,
}

impl Fenced {
    /// Puts a fence around a backend.
    pub fn new(inner: Arc<dyn WriteBackend>, traffic: Arc<Traffic>, throttle: Arc<Throttle>) -> Self {
        Self { inner, traffic, throttle }
    }

    /// Reads when it is its turn.
    fn read(&self, read: impl FnOnce() -> RusticResult<Bytes>) -> RusticResult<Bytes> {
        self.throttle.wait();
        read().inspect(|data| {
            Traffic::count(&self.traffic.read, data.len());
            self.throttle.charge(data.len());
        })
    }
}

impl ReadBackend for Fenced {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn list_with_size(&self, tpe: FileType) -> RusticResult<Vec<(Id, u32)>> {
        self.inner.list_with_size(tpe)
    }

    fn read_full(&self, tpe: FileType, id: &Id) -> RusticResult<Bytes> {
        self.read(|| self.inner.read_full(tpe, id))
    }

    fn read_partial(
        &self,
        tpe: FileType,
        id: &Id,
        cacheable: bool,
        offset: u32,
        length: u32,
    ) -> RusticResult<Bytes> {
        self.read(|| self.inner.read_partial(tpe, id, cacheable, offset, length))
    }

    fn needs_warm_up(&self) -> bool {
        self.inner.needs_warm_up()
    }

    fn warm_up(&self, tpe: FileType, id: &Id) -> RusticResult<()> {
        self.inner.warm_up(tpe, id)
    }

    fn warmup_path(&self, tpe: FileType, id: &Id) -> String {
        self.inner.warmup_path(tpe, id)
    }
}

impl WriteBackend for Fenced {
    fn create(&self) -> RusticResult<()> {
        watchdog::check();
        self.inner.create()
    }

    fn write_bytes(&self, tpe: FileType, id: &Id, cacheable: bool, content: BytesList) -> RusticResult<()> {
        self.throttle.wait();
        self.throttle.charge(content.size());
        watchdog::check();
        Traffic::count(&self.traffic.written, content.size());
        self.inner.write_bytes(tpe, id, cacheable, content)
    }

    fn remove(&self, tpe: FileType, id: &Id, cacheable: bool) -> RusticResult<()> {
        watchdog::check();
        self.inner.remove(tpe, id, cacheable)
    }
}
