//! Those who ask whether the reporter is well, and how many are connected to it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinSet;

use super::super::client::{Answer, Ask, Client};
use super::super::tally::Tally;
use crate::measure::Moment;

/// How often health is asked for.
const EVERY: Duration = Duration::from_millis(100);

/// Asks for `/healthz` and `/readyz` again and again, each time on a new connection as orchestrators do, whatever became of the request
/// before.
pub(super) async fn health(address: &Arc<str>, length: Duration) -> anyhow::Result<(Tally, Tally)> {
    let began = Moment::now();
    let mut probes = JoinSet::new();
    let mut due = began;
    while due.since(began).unwrap_or_default() < length {
        tokio::time::sleep(due.since(Moment::now()).unwrap_or_default()).await;
        for path in ["/healthz", "/readyz"] {
            let mut client = Client::new(address);
            probes.spawn(async move { (path, due, client.get(&Ask::plain(path)).await, Moment::now()) });
        }
        due = due.plus(EVERY);
    }
    let (mut healthz, mut readyz) = (Tally::new()?, Tally::new()?);
    while let Some(probe) = probes.join_next().await {
        let (path, due, answer, ended): (_, _, anyhow::Result<Answer>, _) = probe?;
        let tally = if path == "/healthz" { &mut healthz } else { &mut readyz };
        tally.count_until(due, ended, &answer)?;
    }
    Ok((healthz, readyz))
}

/// Connections that the listener of this address holds, whoever opened them: all but those that are over.
pub(super) fn connections(address: &str) -> anyhow::Result<usize> {
    let table = std::fs::read_to_string("/proc/net/tcp").context("reading /proc/net/tcp")?;
    Ok(held(&table, super::port(address)?))
}

fn held(table: &str, port: u16) -> usize {
    const OVER: [&str; 2] = ["06", "0A"];
    let ours = format!(":{port:04X}");
    let lines = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines
        .filter(|fields| fields.get(1).is_some_and(|local| local.ends_with(&ours)))
        .filter(|fields| fields.get(3).is_some_and(|state| !OVER.contains(state)))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_those_of_the_listener_that_are_not_over() {
        let table = "  sl  local_address rem_address   st tx_queue
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000
   1: 0100007F:1F90 0100007F:C000 01 00000000:00000000
   2: 0100007F:C000 0100007F:1F90 01 00000000:00000000
   3: 0100007F:1F90 0100007F:C001 08 00000000:00000000
   4: 0100007F:1F90 0100007F:C002 06 00000000:00000000\n";
        assert_eq!((held(table, 8080), held(table, 0xC000)), (2, 1));
    }
}
