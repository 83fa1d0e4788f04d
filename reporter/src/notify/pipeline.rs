//! Whether the pipeline works, by what its parts leave in the database and the broker.
//!
//! Nothing of it is a part's own word that it is well: the relay is judged by what it has not relayed, workers by being heard of and by what
//! waits while nothing runs, and the broker answers here and now.

use std::time::Duration;

use shared::db::pulse::{self, Pulse};
use shared::db::{Database, Error, worker};
use tokio::time::timeout;

use crate::metrics::queues::Reach;

/// How long what is due may wait for the broker, or in it while no worker runs anything, in seconds.
const STUCK: f64 = 300.0;
/// How old the last look at the rules of alerts may be, in seconds.
const STALE: f64 = 180.0;
/// How long the database and the broker may take to answer.
const ANSWER: Duration = Duration::from_secs(10);

/// What is wrong with it; `None` when nothing is.
pub(super) async fn trouble(database: &Database, broker: &Reach) -> Option<String> {
    let (seen, answered) =
        tokio::join!(shared::db::within(ANSWER, look(database)), timeout(ANSWER, broker.ping()));
    match (seen, answered) {
        (Err(error), _) => Some(error.to_string()),
        (_, Err(_)) => Some("the broker does not answer".to_owned()),
        (_, Ok(Err(error))) => Some(format!("the broker: {error:#}")),
        (Ok((pulse, slots)), Ok(Ok(()))) => judge(pulse, slots),
    }
}

/// The signs of life, and how many slots the workers have that were heard of lately.
async fn look(database: &Database) -> Result<(Pulse, usize), Error> {
    let client = database.client().await?;
    let workers = worker::present(&client).await?;
    let slots = workers.iter().flat_map(|worker| worker.pools.values()).map(|pool| pool.slots).sum();
    Ok((pulse::look(&client).await?, slots))
}

fn judge(pulse: Pulse, slots: usize) -> Option<String> {
    let Pulse { producer, unpublished, idle, evaluated } = pulse;
    let stuck = |what: &str, seconds: f64| format!("a task that is due {what} for {seconds:.0} s");
    if !producer {
        Some("no producer was heard of".to_owned())
    } else if slots == 0 {
        Some("no worker was heard of that has slots".to_owned())
    } else if unpublished > STUCK {
        Some(stuck("was not taken by the broker", unpublished))
    } else if idle > STUCK {
        Some(stuck("waits while no worker runs anything", idle))
    } else {
        match evaluated {
            Some(ago) if ago <= STALE => None,
            Some(ago) => Some(format!("nobody has looked at the rules of alerts for {ago:.0} s")),
            None => Some("nobody has looked at the rules of alerts yet".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Pulse = Pulse { producer: true, unpublished: 0.0, idle: 0.0, evaluated: Some(5.0) };

    #[test]
    fn each_part_that_stands_still_is_trouble() {
        assert_eq!(judge(WELL, 1), None);
        assert_eq!(judge(Pulse { unpublished: 299.0, idle: 299.0, ..WELL }, 1), None);
        for (pulse, slots, part) in [
            (Pulse { producer: false, ..WELL }, 1, "producer"),
            (WELL, 0, "worker"),
            (Pulse { unpublished: 301.0, ..WELL }, 1, "not taken by the broker for 301 s"),
            (Pulse { idle: 301.0, ..WELL }, 1, "waits while no worker runs anything"),
            (Pulse { evaluated: Some(181.0), ..WELL }, 1, "at the rules of alerts for 181 s"),
            (Pulse { evaluated: None, ..WELL }, 1, "yet"),
        ] {
            let trouble = judge(pulse, slots).unwrap_or_default();
            assert!(trouble.contains(part), "{pulse:?} gave {trouble:?}");
        }
    }
}
