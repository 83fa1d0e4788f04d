//! What came of requests.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::client::Answer;
use crate::measure::{Latencies, Moment};

/// What came of requests of one kind.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    /// From when each was due until its answer was there in full.
    pub(super) latencies: Latencies,
    /// Answers by their status.
    pub(super) statuses: BTreeMap<u16, u64>,
    /// Of bodies, as they came.
    pub(super) bytes: u64,
    /// Those that say when to come again.
    pub(super) say_when: u64,
    /// Requests without an answer, or with a part of one.
    pub(super) broken: u64,
    /// Why, of the last of these.
    pub(super) why: Option<String>,
}

impl Tally {
    /// None yet.
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            latencies: Latencies::new()?,
            statuses: BTreeMap::new(),
            bytes: 0,
            say_when: 0,
            broken: 0,
            why: None,
        })
    }

    /// Counts one that was due then, and whose answer is there now.
    pub(super) fn count(&mut self, due: Moment, answer: &anyhow::Result<Answer>) -> anyhow::Result<()> {
        self.count_until(due, Moment::now(), answer)
    }

    /// Counts one that was due then, and whose answer was there at `ended`.
    pub(super) fn count_until(
        &mut self,
        due: Moment,
        ended: Moment,
        answer: &anyhow::Result<Answer>,
    ) -> anyhow::Result<()> {
        self.latencies.record(due, ended)?;
        match answer {
            Ok(answer) => {
                *self.statuses.entry(answer.status).or_default() += 1;
                self.bytes += answer.body.len() as u64;
                self.say_when += u64::from(answer.says_when);
            }
            Err(error) => {
                self.broken += 1;
                self.why = Some(format!("{error:#}"));
            }
        }
        Ok(())
    }

    /// Adds those of another one.
    pub(super) fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.latencies.add(&other.latencies)?;
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.bytes += other.bytes;
        self.say_when += other.say_when;
        self.broken += other.broken;
        self.why = self.why.take().or_else(|| other.why.clone());
        Ok(())
    }

    /// How many there were.
    pub(super) fn requests(&self) -> u64 {
        self.latencies.len()
    }

    /// Answers with this status.
    pub(super) fn with(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or_default()
    }

    /// Requests that did not get what they asked for: neither it, nor that it is what they have.
    pub(super) fn failed(&self) -> u64 {
        self.requests() - self.with(200) - self.with(304)
    }

    /// The figures for scripts.
    pub(super) fn json(&self) -> Value {
        let mut figures = self.latencies.json();
        figures["p95_ms"] = json!(self.latencies.percentile(95.0));
        figures["requests"] = json!(self.requests());
        figures["failed"] = json!(self.failed());
        figures["broken"] = json!(self.broken);
        figures["statuses"] = json!(self.statuses);
        figures["bytes"] = json!(self.bytes);
        figures["why"] = json!(self.why);
        figures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16) -> Answer {
        Answer { status, tag: None, says_when: status == 429, body: vec![0; 10].into() }
    }

    #[test]
    fn whoever_gets_no_answer_or_another_one_has_failed_and_whoever_knows_it_already_has_not() {
        let (mut tally, mut other) = (Tally::new().unwrap(), Tally::new().unwrap());
        let due = Moment::now();
        for status in [200, 200, 304, 429] {
            tally.count(due, &Ok(answer(status))).unwrap();
        }
        other.count(due, &Ok(answer(500))).unwrap();
        other.count(due, &Err(anyhow::anyhow!("cut off"))).unwrap();
        tally.add(&other).unwrap();
        assert_eq!((tally.requests(), tally.failed(), tally.broken), (6, 3, 1));
        assert_eq!((tally.with(200), tally.say_when, tally.bytes), (2, 1, 50));
        assert_eq!(tally.why.as_deref(), Some("cut off"));
    }
}
