//! How long and how hard a fault is tried.

use std::time::Duration;

/// One of the two forms of every fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Half a minute, as an ordinary test.
    Short,
    /// Minutes, with the loads and counts that the guarantees are stated for.
    Full,
}

impl Form {
    /// One of two values.
    pub fn pick<T>(self, short: T, full: T) -> T {
        match self {
            Self::Short => short,
            Self::Full => full,
        }
    }

    /// Seconds: so many in the short form, so many in the full one.
    pub fn seconds(self, short: u64, full: u64) -> Duration {
        Duration::from_secs(self.pick(short, full))
    }

    /// How long a task stays its worker's own without a heartbeat.
    pub fn lease(self) -> Duration {
        self.seconds(3, 15)
    }

    /// How often leases are extended.
    pub fn heartbeat(self) -> Duration {
        self.seconds(1, 5)
    }

    /// How often the reaper looks for expired leases.
    pub fn sweep(self) -> Duration {
        self.seconds(1, 5)
    }

    /// How long everything that was published may take to end once all faults are healed.
    pub fn drained_within(self) -> Duration {
        self.seconds(60, 300)
    }
}

/// A length of time as the programs' settings take it.
pub(crate) fn setting(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}
