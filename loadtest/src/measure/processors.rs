//! Who used the processors.

use std::collections::BTreeMap;

use anyhow::Context as _;

/// The programs that take part in a pipeline, as the kernel names them.
const PROGRAMS: [&str; 5] = ["postgres", "beam.smp", "worker", "producer", "loadtest"];

/// Seconds of processor time that each program has used on this machine, all its processes together.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProcessorTime(BTreeMap<&'static str, f64>);

impl ProcessorTime {
    /// Reads `/proc/*/stat`. What ended meanwhile counts with the process that waited for it.
    pub(crate) fn now() -> anyhow::Result<Self> {
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let mut used = BTreeMap::new();
        for entry in std::fs::read_dir("/proc").context("reading /proc")? {
            // A process may end at any time.
            let Ok(stat) = std::fs::read_to_string(entry?.path().join("stat")) else { continue };
            let Some((name, rest)) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')) else {
                continue;
            };
            let Some(program) = PROGRAMS.iter().find(|program| **program == name) else { continue };
            // `utime`, `stime`, `cutime` and `cstime`: fields 14 to 17, counted from the number before the name.
            let spent: f64 =
                rest.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<f64>().ok()).sum();
            *used.entry(*program).or_default() += spent / ticks;
        }
        Ok(Self(used))
    }

    /// What was used since an earlier moment, in microseconds for each of `tasks`, by program.
    pub(crate) fn per_task(&self, earlier: &Self, tasks: usize) -> BTreeMap<&'static str, f64> {
        self.0.keys().map(|program| (*program, self.since(earlier, program) * 1e6 / tasks as f64)).collect()
    }

    /// What a program used since an earlier moment, in seconds.
    pub(crate) fn since(&self, earlier: &Self, program: &str) -> f64 {
        let used = |time: &Self| time.0.get(program).copied().unwrap_or_default();
        used(self) - used(earlier)
    }
}
