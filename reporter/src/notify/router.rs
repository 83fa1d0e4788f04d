//! The router: decides who is told what, and writes it into the outbox.
//!
//! The leader routes. A transition is marked as routed in the transaction that writes its notifications, which holds the leader's
//! row: it is routed once, whoever is killed when. The key of `notification_event` says the same again for each channel.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use shared::alert::{Severity, Subject, Transition};
use shared::channel::ChannelName;
use shared::db::notification::{self, Last, Telling};
use shared::db::unrouted::{self, Standing, Told, Unrouted};
use shared::db::{self, Database, route, session};
use shared::route::Route;
use uuid::Uuid;

use super::message::Event;
use super::outbox::{self, ToTell};
use crate::events;
use crate::leadership::Term;
use crate::untold::Untold;

/// How often it is looked for something new.
const LOOK: Duration = Duration::from_millis(500);
/// How long one look may take.
const STEP_LIMIT: Duration = Duration::from_secs(5);
/// How often it is looked whether something is to be told again.
const REPEATS: Duration = Duration::from_secs(10);
/// Transitions that are routed in one transaction.
const BATCH: i64 = 500;
/// Alerts that are told again at one look.
const MOST_REPEATED: usize = 2_000;
/// How long a look at what is still wrong may take: what is new does not wait for longer.
const LONGEST_STATEMENT: Duration = Duration::from_secs(3);

/// Decides who is told what.
#[derive(Debug, Default)]
pub(super) struct Router {
    repeated: Option<Instant>,
    untold: Untold,
}

impl Router {
    /// Routes again and again.
    pub(super) async fn go_on(&mut self, database: &Database, term: Term) {
        loop {
            match db::within(STEP_LIMIT, self.step(database, term)).await {
                Ok(0) => tokio::time::sleep(LOOK).await,
                Ok(routed) => events::routed(routed),
                Err(error) => {
                    events::routing_failed(&error);
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
    }

    /// Returns how many transitions it has routed.
    async fn step(&mut self, database: &Database, term: Term) -> Result<usize, db::Error> {
        let routed = self.route(database, term).await?;
        // What is new goes first, and repeats that take too long hold up nothing but themselves.
        if routed == 0 && self.repeated.is_none_or(|at| at.elapsed() >= REPEATS) {
            self.repeated = Some(Instant::now());
            self.repeat(database, term).await?;
        }
        Ok(routed)
    }

    /// Routes what is new; returns how many transitions that is.
    async fn route(&mut self, database: &Database, term: Term) -> Result<usize, db::Error> {
        let mut client = database.client().await?;
        let transaction = client.transaction().await?;
        let unrouted = unrouted::first(&transaction, BATCH).await?;
        if unrouted.is_empty() {
            return Ok(0);
        }
        let routes = self.untold.readable("route", route::all(&transaction).await?);
        let alerts: Vec<i64> = unrouted.iter().map(|unrouted| unrouted.alert.id).collect();
        let mut known = Known::new(notification::last_told(&transaction, &alerts).await?);
        let to_tell = unrouted.iter().flat_map(|unrouted| decide(&routes, unrouted, &mut known)).collect();
        outbox::put(&transaction, to_tell).await?;
        let events: Vec<i64> = unrouted.iter().map(|unrouted| unrouted.event).collect();
        unrouted::mark(&transaction, &events).await?;
        if !term.lasts(&transaction).await? {
            return Ok(0);
        }
        transaction.commit().await?;
        Ok(unrouted.len())
    }

    /// Tells again what is still wrong, where a route says so: a part of it, where it is much.
    async fn repeat(&mut self, database: &Database, term: Term) -> Result<(), db::Error> {
        let mut client = database.client().await?;
        let transaction = client.transaction().await?;
        let routes = self.untold.readable("route", route::all(&transaction).await?);
        let repeating = routes.iter().filter(|route| route.repeat.is_some());
        let channels: Vec<&str> =
            repeating.flat_map(|route| &route.channels).map(ChannelName::as_str).collect();
        if channels.is_empty() {
            return Ok(());
        }
        session::set_longest_statement(&transaction, LONGEST_STATEMENT).await?;
        let now = db::now(&transaction).await?;
        let standing = unrouted::standing(&transaction, &channels).await?;
        let standing = self.untold.readable("alert", standing);
        let due = standing.into_iter().filter_map(|standing| again(&routes, standing, now));
        let due: Vec<ToTell> = due.take(MOST_REPEATED).collect();
        let repeated = due.len();
        outbox::put(&transaction, due).await?;
        if !term.lasts(&transaction).await? {
            return Ok(());
        }
        transaction.commit().await?;
        events::repeated(repeated);
        Ok(())
    }
}

/// What channels know of alerts.
#[derive(Debug, Default)]
struct Known(BTreeMap<(i64, String), Heard>);

/// What a channel was told of an alert last.
#[derive(Debug, Clone, Copy)]
struct Heard {
    /// How bad it was then.
    severity: Option<Severity>,
    /// The alert has come to an end since, which the channel may not have been told.
    over: bool,
    /// The notification in which it was told of the alert first; `None` when that has no number yet.
    first: Option<Uuid>,
}

impl Known {
    fn new(last: Vec<Last>) -> Self {
        let heard = |last: Last| {
            let over = last.over || last.told == Telling::Resolved;
            let heard = Heard { severity: last.severity, over, first: Some(last.first) };
            ((last.alert, last.channel), heard)
        };
        Self(last.into_iter().map(heard).collect())
    }

    /// The channels that wait for the end of an alert.
    fn waiting(&self, alert: i64) -> impl Iterator<Item = (&String, &Heard)> {
        let of_alert = self.0.range((alert, String::new())..).take_while(move |((of, _), _)| *of == alert);
        of_alert.filter(|(_, heard)| !heard.over).map(|((_, channel), heard)| (channel, heard))
    }

    /// Notes the end of an alert: what comes after it is new to all.
    fn end(&mut self, alert: i64) {
        for ((of, _), heard) in self.0.range_mut((alert, String::new())..) {
            if *of != alert {
                break;
            }
            heard.over = true;
        }
    }
}

/// Who is told of a transition, and how.
fn decide(routes: &[Route], unrouted: &Unrouted, known: &mut Known) -> Vec<ToTell> {
    let Unrouted { event: number, transition, at, group_key, alert, .. } = unrouted;
    let channels = match transition {
        Transition::Resolved => channels_of_end(routes, alert, known),
        _ => {
            channels(routes, alert).map(|(channel, route)| (channel.to_string(), route.group_wait)).collect()
        }
    };
    let mut to_tell = Vec::new();
    for (channel, wait) in channels {
        let key = (alert.id, channel.clone());
        let before = known.0.get(&key).copied();
        let Some(telling) = telling(unrouted, before) else { continue };
        let first = before.and_then(|heard| heard.first);
        known.0.insert(key, Heard { severity: Some(alert.severity), over: false, first });
        let alert = alert.clone();
        let event = Event { number: *number, transition: telling, at: *at, alert, follows: first };
        to_tell.push(ToTell { channel, group_key: group_key.clone(), wait, repetition: 0, event });
    }
    if *transition == Transition::Resolved {
        known.end(alert.id);
    }
    to_tell
}

/// The channels of an alert, each with the first route that leads there.
fn channels<'a>(routes: &'a [Route], alert: &Told) -> impl Iterator<Item = (&'a ChannelName, &'a Route)> {
    let subject = subject(alert);
    let mut channels: Vec<(&ChannelName, &Route)> = Vec::new();
    for route in routes.iter().filter(|route| route.takes(&subject)) {
        for channel in &route.channels {
            if !channels.iter().any(|(known, _)| *known == channel) {
                channels.push((channel, route));
            }
        }
    }
    channels.into_iter()
}

/// The channels that are told of an alert's end, each with how long that waits for others: those that were told of the alert, whatever
/// routes there are now, but for those whose route wants no ends.
fn channels_of_end(routes: &[Route], alert: &Told, known: &Known) -> Vec<(String, Duration)> {
    let told = known.waiting(alert.id).filter_map(|(channel, heard)| {
        // By the route by which it was told: the alert may have been worse then, or less bad.
        let then = Subject { severity: heard.severity.unwrap_or(alert.severity), ..subject(alert) };
        let mut leading =
            routes.iter().filter(|route| route.channels.iter().any(|name| name.as_str() == channel));
        match leading
            .clone()
            .find(|route| route.takes(&then))
            .or_else(|| leading.find(|route| route.concerns(&then)))
        {
            Some(route) => route.resolved.then(|| (channel.clone(), route.group_wait)),
            None => Some((channel.clone(), Duration::ZERO)),
        }
    });
    told.collect()
}

fn subject(alert: &Told) -> Subject<'_> {
    Subject {
        rule: alert.rule,
        severity: alert.severity,
        job: alert.job.as_ref(),
        target: alert.target.as_ref(),
        owner: alert.owner.as_deref(),
        tags: &alert.tags,
    }
}

/// How a channel is told of a transition; `before` is what it was told last. `None` when it is not.
fn telling(unrouted: &Unrouted, before: Option<Heard>) -> Option<Telling> {
    let over = before.is_none_or(|heard| heard.over);
    let worse = before.and_then(|heard| heard.severity).is_some_and(|then| then < unrouted.alert.severity);
    match unrouted.transition {
        // Also when nobody is to be told of the alert now: whoever knows of it waits for its end.
        Transition::Resolved => Some(Telling::Resolved),
        _ if unrouted.suppressed => None,
        Transition::Opened => Some(Telling::Opened),
        Transition::Reopened => Some(Telling::Reopened),
        Transition::Escalated | Transition::Released if over => Some(Telling::Opened),
        Transition::Escalated => Some(Telling::Escalated),
        // Whoever was told before it was suppressed knows of it, but not of what it has become meanwhile.
        Transition::Released => worse.then_some(Telling::Escalated),
        Transition::Acknowledged | Transition::Unacknowledged | Transition::Suppressed => None,
    }
}

/// An alert that is told again to a channel, when it is time.
fn again(routes: &[Route], standing: Standing, now: DateTime<Utc>) -> Option<ToTell> {
    let Standing { channel, event: number, repetition, ended_at, first, group_key, acknowledged, alert } =
        standing;
    let (_, route) = channels(routes, &alert).find(|(name, _)| name.as_str() == channel)?;
    let repeat = TimeDelta::from_std(route.repeat?).unwrap_or(TimeDelta::MAX);
    // What still waits to be told need not be told again.
    if acknowledged || now - ended_at? < repeat {
        return None;
    }
    let event = Event { number, transition: Telling::Repeated, at: now, alert, follows: Some(first) };
    Some(ToTell { channel, group_key, wait: Duration::ZERO, repetition: repetition + 1, event })
}

#[cfg(test)]
mod tests;
