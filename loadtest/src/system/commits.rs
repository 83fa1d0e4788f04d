//! When transactions became visible to others, without a word from those who committed them.
//!
//! Neither `finished_at`, which is when a transaction began, nor PostgreSQL's own time of a commit, which it takes
//! before it waits for the disk, is when a result can be relied on. So somebody looks: every millisecond one asks for a
//! snapshot, which costs the server next to nothing as it reads no table, and the first snapshot that sees a transaction
//! is when it was there at the latest.

use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::connect;
use crate::measure::Moment;

/// How often one looks. Tokio's timer knows no shorter time.
const EVERY: Duration = Duration::from_millis(1);

/// Somebody who looks.
pub(crate) struct Commits {
    looking: JoinSet<anyhow::Result<Vec<Look>>>,
    stop: CancellationToken,
}

/// What was visible at some time.
#[derive(Debug)]
struct Look {
    snapshot: Snapshot,
    /// When it was asked for: what it does not see was not there yet.
    asked: Moment,
    /// When the answer had come: what it sees was there.
    answered: Moment,
}

/// What was visible when, all together.
#[derive(Debug)]
pub(crate) struct Seen(Vec<Look>);

/// A transaction that was seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Commit {
    /// Not before this, as an earlier look did not see it; the first look if that one saw it.
    pub(crate) earliest: Moment,
    /// It was there now.
    pub(crate) latest: Moment,
}

impl Commits {
    /// Begins to look.
    pub(crate) async fn watch(database_url: &str) -> anyhow::Result<Self> {
        let client = connect(database_url).await?;
        let (mut looking, stop) = (JoinSet::new(), CancellationToken::new());
        looking.spawn(look(client, stop.clone()));
        Ok(Self { looking, stop })
    }

    /// Looks for the last time. What was committed before is seen.
    pub(crate) async fn stop(mut self) -> anyhow::Result<Seen> {
        self.stop.cancel();
        let looks = self.looking.join_next().await.context("nobody looked")?;
        looks?.context("looking for commits").map(Seen)
    }
}

async fn look(client: Client, stop: CancellationToken) -> anyhow::Result<Vec<Look>> {
    let statement = client.prepare("select pg_current_snapshot()::text").await?;
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = Vec::new();
    loop {
        let last = stop.is_cancelled();
        let asked = Moment::now();
        let text: String = client.query_one(&statement, &[]).await?.try_get(0)?;
        let answered = Moment::now();
        let snapshot = Snapshot::parse(&text).with_context(|| format!("not a snapshot: {text}"))?;
        looks.push(Look { snapshot, asked, answered });
        if last {
            return Ok(looks);
        }
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => {}
        }
    }
}

impl Seen {
    /// When a transaction was first seen.
    pub(crate) fn commit(&self, xact: u64) -> Option<Commit> {
        // Once seen, always seen.
        let first = self.0.partition_point(|look| !look.snapshot.sees(xact));
        let latest = self.0.get(first)?.answered;
        Some(Commit { earliest: self.0[first.saturating_sub(1)].asked, latest })
    }

    /// The oldest transaction that may have ended while one looked.
    pub(crate) fn horizon(&self) -> u64 {
        self.0.first().map_or(0, |look| look.snapshot.xmin)
    }
}

/// What PostgreSQL writes as `xmin:xmax:running,running..`.
#[derive(Debug, PartialEq, Eq)]
struct Snapshot {
    /// All below are over.
    xmin: u64,
    /// None from here on is.
    xmax: u64,
    /// Between them these are not.
    running: Vec<u64>,
}

impl Snapshot {
    fn parse(text: &str) -> Option<Self> {
        let (xmin, rest) = text.split_once(':')?;
        let (xmax, running) = rest.split_once(':')?;
        let running = running.split(',').filter(|xact| !xact.is_empty());
        Some(Self {
            xmin: xmin.parse().ok()?,
            xmax: xmax.parse().ok()?,
            running: running.map(|xact| xact.parse().ok()).collect::<Option<_>>()?,
        })
    }

    fn sees(&self, xact: u64) -> bool {
        xact < self.xmin || (xact < self.xmax && !self.running.contains(&xact))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_seen_by_the_first_snapshot_in_which_it_does_not_run_any_more() {
        let start = Moment::now();
        let looks = ["5:5:", "5:8:5,7", "5:9:5", "9:9:"].iter().zip(0..).map(|(text, number)| {
            let asked = start.plus(Duration::from_millis(10 * number));
            let answered = asked.plus(Duration::from_millis(1));
            Look { snapshot: Snapshot::parse(text).unwrap(), asked, answered }
        });
        let seen = Seen(looks.collect());
        let commit = |xact| {
            let Commit { earliest, latest } = seen.commit(xact)?;
            Some((earliest.since(start)?.as_millis(), latest.since(start)?.as_millis()))
        };
        assert_eq!([4, 5, 6, 7].map(commit), [Some((0, 1)), Some((20, 31)), Some((0, 11)), Some((10, 21))]);
        assert_eq!((commit(9), seen.horizon()), (None, 5));
    }

    #[test]
    fn what_is_not_a_snapshot_is_not_taken_for_one() {
        assert_eq!(Snapshot::parse("1:2"), None);
        assert_eq!(Snapshot::parse("1:2:x"), None);
        assert_eq!(Snapshot::parse("1:4:2,3"), Some(Snapshot { xmin: 1, xmax: 4, running: vec![2, 3] }));
    }
}
