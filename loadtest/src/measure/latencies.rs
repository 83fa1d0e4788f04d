//! Many latencies as a histogram.

use std::time::Duration;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::Moment;

/// Latencies, each kept to three digits, however long.
#[derive(Debug, Clone)]
pub(crate) struct Latencies {
    nanoseconds: Histogram<u64>,
    /// Whose end was seen before its beginning; each counts as zero.
    pub(crate) negative: u64,
}

impl Latencies {
    /// None yet.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self { nanoseconds: Histogram::new(3)?, negative: 0 })
    }

    /// Adds one. What was seen to end before it began counts as zero.
    pub(crate) fn record(&mut self, from: Moment, to: Moment) -> anyhow::Result<()> {
        let took = to.since(from);
        self.negative += u64::from(took.is_none());
        let nanoseconds = u64::try_from(took.unwrap_or_default().as_nanos())?;
        self.nanoseconds.record(nanoseconds).context("recording a latency")
    }

    /// Adds all of another run.
    pub(crate) fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.negative += other.negative;
        self.nanoseconds.add(&other.nanoseconds).context("adding up latencies")
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.nanoseconds.len()
    }

    /// The latency below or at which so many percent lie, in milliseconds.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        milliseconds(Duration::from_nanos(self.nanoseconds.value_at_percentile(percent)))
    }

    /// The longest, in milliseconds.
    pub(crate) fn max(&self) -> f64 {
        milliseconds(Duration::from_nanos(self.nanoseconds.max()))
    }

    /// What a histogram is looked at for, in milliseconds.
    pub(crate) fn json(&self) -> Value {
        json!({
            "p50_ms": self.percentile(50.0), "p90_ms": self.percentile(90.0), "p99_ms": self.percentile(99.0),
            "p99_9_ms": self.percentile(99.9), "max_ms": self.max(), "count": self.len(), "negative": self.negative,
        })
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_before_its_beginning_counts_as_zero_and_is_told() {
        let (mut latencies, now) = (Latencies::new().unwrap(), Moment::now());
        latencies.record(now, now.plus(Duration::from_millis(10))).unwrap();
        latencies.record(now, now.plus(Duration::from_millis(20))).unwrap();
        latencies.record(now, now.minus(Duration::from_millis(5))).unwrap();
        assert_eq!((latencies.len(), latencies.negative), (3, 1));
        assert!((latencies.percentile(50.0) - 10.0).abs() < 0.01, "{latencies:?}");
        assert!((latencies.max() - 20.0).abs() < 0.02, "{latencies:?}");
        assert!(latencies.percentile(1.0).abs() < f64::EPSILON);
    }
}
