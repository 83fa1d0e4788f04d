//! Delivers what is in the outbox: every reporter does, and each notification has one of them at a time.
//!
//! An attempt is begun in a transaction of its own, before anything is sent; no other one begins within its lease, and nothing is sent
//! after it. A process that dies between sending and writing that down leaves an attempt of which nothing is known, and
//! another one follows with the same id; so it does after a receiver that took something and did not say so in time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use metrics::counter;
use shared::channel::{Channel, ChannelName, Means};
use shared::db::delivery::{Ended, Outcome};
use shared::db::notification::{self, Claimed};
use shared::db::{self, Database, channel};
use shared::tls::Trust;
use tokio::task::{self, JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::attempt::Attempted;
use super::message::{Event, Message};
use super::{email, report, send};
use crate::events;
use crate::metrics::NOTIFICATIONS;

/// How often the outbox is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long an attempt may take: longer than any channel gives its receiver.
const LONGEST: Duration = Duration::from_secs(35);
/// When another one may begin: not before whoever has begun it has given it up.
const LEASE: Duration = Duration::from_secs(45);
/// What comes of an attempt, as it is counted.
const COUNTED: [&str; 3] = ["delivered", "failed", "given_up"];
/// The kind of a channel that is not defined any more.
const UNKNOWN: &str = "unknown";
/// So many notifications of a channel are under way at once.
const AT_ONCE: i64 = 8;

/// Delivers until `stop`. Each channel has a lane of its own, so that one whose receiver does not answer holds up no other. What is
/// under way at the end may come to its end.
pub(super) async fn run(database: &Database, trust: &Trust, stop: &CancellationToken) {
    show_all();
    let mut lanes = JoinSet::new();
    let mut busy: HashMap<task::Id, String> = HashMap::new();
    while !stop.is_cancelled() {
        match due(database).await {
            Ok(mut channels) => {
                channels.retain(|channel| !busy.values().any(|busy| busy == channel));
                for channel in channels {
                    let lane = lanes.spawn(lane(database.clone(), trust.clone(), channel.clone()));
                    busy.insert(lane.id(), channel);
                }
            }
            Err(error) => events::delivering_failed(&error),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => {}
        }
        while let Some(ended) = lanes.try_join_next_with_id() {
            match ended {
                Ok((id, ())) => _ = busy.remove(&id),
                Err(error) => {
                    events::lane_broke(busy.remove(&error.id()).as_deref(), &error);
                }
            }
        }
    }
    while lanes.join_next().await.is_some() {}
}

async fn due(database: &Database) -> Result<Vec<String>, db::Error> {
    notification::due_channels(&database.client().await?).await
}

/// Delivers a part of what is due of a channel.
async fn lane(database: Database, trust: Trust, channel: String) {
    if let Err(error) = deliver(&database, &trust, &channel).await {
        events::delivering_failed(&error);
    }
}

async fn deliver(database: &Database, trust: &Trust, name: &str) -> Result<(), db::Error> {
    let (channel, claimed, begun) = {
        let client = database.client().await?;
        let channel = match name.parse::<ChannelName>() {
            Ok(name) => channel::by_name(&client, &name).await?,
            Err(_) => None,
        };
        let begun = Instant::now();
        (channel, notification::claim(&client, name, LEASE, AT_ONCE).await?, begun)
    };
    let deadline = begun + LONGEST;
    let attempts = claimed
        .into_iter()
        .map(|claimed| attempt(database, trust, name, channel.as_ref(), claimed, deadline));
    join_all(attempts).await.into_iter().collect()
}

async fn attempt(
    database: &Database,
    trust: &Trust,
    name: &str,
    channel: Option<&Channel>,
    claimed: Claimed,
    deadline: Instant,
) -> Result<(), db::Error> {
    let began = Instant::now();
    let Claimed { id, attempt, age, events, report } = claimed;
    let events: Result<Vec<Event>, _> = events.into_iter().map(serde_json::from_value).collect();
    let attempted = match (channel, report, events) {
        (None, ..) => Attempted::refused("no channel has this name any more"),
        // That version delivers as well.
        (_, _, Err(error)) => Attempted::failed(format!("written by another version: {error}")),
        (Some(channel), Some(report), _) => {
            let sending =
                tokio::time::timeout_at(deadline.into(), bring(database, trust, channel, id, report));
            sending.await.unwrap_or_else(|_| Ok(Attempted::failed("not taken in time")))?
        }
        (Some(channel), None, Ok(events)) => {
            let message = Message { id, channel: name.to_owned(), test: false, events };
            let sending = tokio::time::timeout_at(deadline.into(), send::send(channel, &message, trust));
            sending.await.unwrap_or_else(|_| Attempted::failed("not taken in time"))
        }
    };
    let again = attempted.again(attempt, age, rand::random());
    let kind = channel.map_or(UNKNOWN, |channel| channel.means.kind());
    count(kind, &attempted, again);
    let Attempted { outcome, status, error, .. } = attempted;
    let ended = Ended { outcome, seconds: began.elapsed().as_secs_f64(), status, error };
    match (outcome, again, &ended.error) {
        (Outcome::Delivered, ..) => events::delivered(id, name, attempt),
        (_, Some(again), error) => events::not_delivered(id, name, attempt, error.as_deref(), again),
        (_, None, error) => events::given_up(id, name, attempt, error.as_deref()),
    }
    notification::finish(&database.client().await?, id, attempt, &ended, again).await
}

/// Sends a report.
async fn bring(
    database: &Database,
    trust: &Trust,
    channel: &Channel,
    notification: Uuid,
    report: Uuid,
) -> Result<Attempted, db::Error> {
    let Means::Email(email) = &channel.means else {
        return Ok(Attempted::refused("reports go by e-mail only"));
    };
    match report::read(&database.client().await?, report).await? {
        Some(mailed) => Ok(email::send_report(email, channel, notification, mailed, trust).await),
        None => Ok(Attempted::refused("the report is not kept any more")),
    }
}

/// Shows zero for what has not happened yet, so that the first that is given up is seen as an increase.
fn show_all() {
    for kind in Means::NOTIFYING.into_iter().chain([UNKNOWN]) {
        for outcome in COUNTED {
            counter!(NOTIFICATIONS, "channel" => kind, "outcome" => outcome).increment(0);
        }
    }
}

fn count(kind: &'static str, attempted: &Attempted, again: Option<Duration>) {
    let outcome = match (attempted.outcome, again) {
        (Outcome::Delivered, _) => "delivered",
        (_, Some(_)) => "failed",
        (_, None) => "given_up",
    };
    counter!(NOTIFICATIONS, "channel" => kind, "outcome" => outcome).increment(1);
}
