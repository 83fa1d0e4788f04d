//! Where the processor's time goes: stacks of all threads, taken while they run, some hundred times a second of processor time.

mod flame;
mod format;

use std::time::Duration;

use anyhow::Context as _;
use pprof::{ProfilerGuard, ProfilerGuardBuilder};
use tokio::sync::OwnedMutexGuard;

use crate::name::text_enum;

/// The longest profile.
pub(super) const LONGEST: Duration = Duration::from_mins(5);
/// Stacks a second of processor time: not a divisor of the usual periods, so that what happens once in each is not always or never seen.
const FREQUENCY: i32 = 99;
/// What is not looked into: a stack that is taken in the middle of these may wait for a lock that its own thread holds.
const BLOCKED: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];

text_enum! {
    /// How a profile is written.
    Format {
        /// A flame graph for browsers.
        Svg = "svg",
        /// For `pprof` and what reads its files.
        Pprof = "pprof",
    }
}

impl Format {
    /// Of the answer.
    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Svg => "image/svg+xml",
            Self::Pprof => "application/octet-stream",
        }
    }
}

/// A stack as often as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stack {
    /// The thread's name first, then from the outermost function to the innermost.
    frames: Vec<Frame>,
    times: u64,
}

/// A function in a stack.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Frame {
    function: String,
    file: String,
    line: u32,
}

/// Takes stacks for so long, while the caller is `alone`: also after nobody waits for the profile any more, names are looked up to the end.
pub(super) async fn make(
    program: &str,
    seconds: Duration,
    format: Format,
    alone: OwnedMutexGuard<()>,
) -> anyhow::Result<Vec<u8>> {
    let guard = begin()?;
    tokio::time::sleep(seconds).await;
    let program = program.to_owned();
    // The names of functions are looked up in the program's file, which takes a second or two.
    tokio::task::spawn_blocking(move || {
        let _alone = alone;
        let stacks = stacks(&guard)?;
        drop(guard);
        Ok(match format {
            Format::Svg => flame::graph(&program, seconds, &stacks).into_bytes(),
            Format::Pprof => format::encode(seconds, FREQUENCY.unsigned_abs(), &stacks),
        })
    })
    .await?
}

fn begin() -> anyhow::Result<ProfilerGuard<'static>> {
    ProfilerGuardBuilder::default()
        .frequency(FREQUENCY)
        .blocklist(&BLOCKED)
        .build()
        .context("the profiler cannot begin")
}

fn stacks(guard: &ProfilerGuard<'_>) -> anyhow::Result<Vec<Stack>> {
    let report = guard.report().build().context("the profiler has lost its stacks")?;
    let stack =
        |(seen, times): (pprof::Frames, isize)| {
            let thread = Frame { function: seen.thread_name_or_id(), file: String::new(), line: 0 };
            // Of what the compiler has merged into one function the innermost comes first.
            let called = seen.frames.iter().rev().flat_map(|merged| merged.iter().rev()).map(|symbol| {
                Frame { function: symbol.name(), file: symbol.filename().into_owned(), line: symbol.lineno() }
            });
            Stack {
                frames: std::iter::once(thread).chain(called).collect(),
                times: u64::try_from(times).unwrap_or(0),
            }
        };
    Ok(report.data.into_iter().map(stack).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn work_that_shows_in_a_profile(until: std::time::Instant) -> u64 {
        let mut sum = 0_u64;
        while std::time::Instant::now() < until {
            for n in 0..10_000_u64 {
                sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(n));
            }
        }
        sum
    }

    #[test]
    fn what_computes_is_in_the_profile() {
        let guard = begin().unwrap();
        let until = std::time::Instant::now() + Duration::from_secs(1);
        std::hint::black_box(work_that_shows_in_a_profile(until));
        let stacks = stacks(&guard).unwrap();
        let found = stacks.iter().any(|stack| {
            stack.frames.iter().any(|frame| frame.function.contains("work_that_shows_in_a_profile"))
        });
        assert!(found, "{stacks:?}");
    }
}
