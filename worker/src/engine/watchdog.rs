//! Ends the child at its deadline, or when its parent is gone.
//!
//! It runs in two threads of its own, takes no lock and allocates nothing on the way out, so neither a busy engine
//! nor a stuck one can hold it up. A stopped process (`SIGSTOP`) cannot check anything; but it cannot write anything
//! either, and once it continues, the deadline is checked before any write (see [`super::fence`]).

use std::{
    io::BufRead,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use rustix::process::{Signal, getpid, kill_process};

use super::{clock::BootInstant, lines::LINE_LIMIT, protocol::Told, throttle};

/// How often the deadline is looked at.
const EVERY: Duration = Duration::from_millis(50);

/// The deadline of this process, which has only one.
static DEADLINE: AtomicU64 = AtomicU64::new(u64::MAX);

/// Sets the first deadline and starts watching it and the parent's lines.
///
/// # Errors
///
/// If a thread cannot be started.
pub fn start(deadline: BootInstant, stdin: impl BufRead + Send + 'static) -> std::io::Result<()> {
    DEADLINE.store(deadline.as_nanos(), Ordering::SeqCst);
    thread::Builder::new().name("deadline".to_owned()).spawn(watch_deadline)?;
    thread::Builder::new().name("lease".to_owned()).spawn(move || follow(stdin))?;
    Ok(())
}

/// Ends this process if its deadline has come.
pub fn check() {
    if deadline().is_past() {
        die();
    }
}

/// Ends this process at once: no destructor, no exit handler, no buffered output.
pub fn die() -> ! {
    // `SIGKILL` cannot be blocked; the loop is for the moment until it arrives.
    let _ = kill_process(getpid(), Signal::KILL);
    loop {
        thread::park();
    }
}

/// The first line of the parent, or any later one: `None` at the end of the input.
///
/// # Errors
///
/// Whatever reading gives, and `InvalidData` for a line that is too long or unfinished.
pub fn read_line(stdin: &mut impl BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let limit = LINE_LIMIT as u64 + 1;
    std::io::Read::take(&mut *stdin, limit).read_until(b'\n', &mut line)?;
    match line.pop() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) => {
            Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "a line is too long or unfinished"))
        }
    }
}

fn deadline() -> BootInstant {
    BootInstant::from_nanos(DEADLINE.load(Ordering::SeqCst))
}

fn watch_deadline() {
    loop {
        check();
        thread::sleep(deadline().remaining().min(EVERY));
    }
}

/// Takes in extensions and speeds until the parent is gone or talks nonsense.
fn follow(mut stdin: impl BufRead) -> ! {
    while let Ok(Some(line)) = read_line(&mut stdin) {
        match serde_json::from_slice(&line) {
            Ok(Told::Extend(deadline)) => DEADLINE.store(deadline.as_nanos(), Ordering::SeqCst),
            Ok(Told::Speeds(speeds)) => throttle::set(&speeds),
            Err(_) => break,
        }
    }
    die()
}
