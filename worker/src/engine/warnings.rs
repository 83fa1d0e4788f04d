//! `rustic_core` reports much of what goes wrong only through the `log` crate: here it becomes events.

use std::sync::atomic::{AtomicU64, Ordering};

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::{
    output::emit,
    protocol::{Event, Warning, shorten},
};

/// The longest message, in bytes.
const MESSAGE_LIMIT: usize = 4096;

/// How often a local repository could not be listed in full: the engine then goes on with what it saw.
static INCOMPLETE_LISTINGS: AtomicU64 = AtomicU64::new(0);

struct Logger;

/// Starts turning logged warnings and errors into events.
pub fn capture() {
    // A second logger would be a bug of this program, without consequence beyond uncounted warnings.
    if log::set_logger(&Logger).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}

/// Prints one warning.
pub fn warn(message: impl Into<String>) {
    let message = shorten(message.into(), MESSAGE_LIMIT);
    emit(&Event::Warning(Warning { path: None, message }));
}

/// Whether the engine met a directory or file of a local repository that it could not list. It goes on as if that
/// did not exist, so whoever concludes something from an absence has to ask.
pub fn listing_was_incomplete() -> bool {
    INCOMPLETE_LISTINGS.load(Ordering::Relaxed) > 0
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if record.level() == Level::Error && record.target().starts_with("rustic_backend::local") {
            INCOMPLETE_LISTINGS.fetch_add(1, Ordering::Relaxed);
        }
        warn(record.args().to_string());
    }

    fn flush(&self) {}
}
