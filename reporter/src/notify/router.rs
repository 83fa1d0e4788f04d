//! The router: decides who is told what, and writes it into the outbox.
//!
//! One reporter leads. A transition is marked as routed in the transaction that writes its notifications, which holds the leader's
//! row: it is routed once, whoever is killed when. The key of `notification_event` says the same again for each channel.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use shared::alert::{Subject, Transition};
use shared::channel::ChannelName;
use shared::db::notification::{self, Last, Telling};
use shared::db::unrouted::{self, Standing, Told, Unrouted};
use shared::db::{self, Database, leader, route, session};
use shared::route::Route;
use uuid::Uuid;

use super::message::Event;
use super::outbox::{self, ToTell};

/// Transitions that are routed in one transaction.
const BATCH: i64 = 500;
/// How long a look at what is still wrong may keep the leader's row.
const LONGEST_STATEMENT: Duration = Duration::from_secs(3);

/// Routes what is new, as long as this process has the role; returns how many transitions it has routed.
pub(super) async fn route(database: &Database, role: &str, holder: Uuid) -> Result<usize, db::Error> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    if !leader::holds(&transaction, role, holder).await? {
        return Ok(0);
    }
    let unrouted = unrouted::first(&transaction, BATCH).await?;
    if unrouted.is_empty() {
        return Ok(0);
    }
    let routes = route::all(&transaction).await?;
    let alerts: Vec<i64> = unrouted.iter().map(|unrouted| unrouted.alert.id).collect();
    let mut known = Known::new(notification::last_told(&transaction, &alerts).await?);
    let to_tell = unrouted.iter().flat_map(|unrouted| decide(&routes, unrouted, &mut known)).collect();
    outbox::put(&transaction, to_tell).await?;
    let events: Vec<i64> = unrouted.iter().map(|unrouted| unrouted.event).collect();
    unrouted::mark(&transaction, &events).await?;
    transaction.commit().await?;
    Ok(unrouted.len())
}

/// Tells again what is still wrong, where a route says so; returns how much that is.
pub(super) async fn repeat(database: &Database, role: &str, holder: Uuid) -> Result<usize, db::Error> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    if !leader::holds(&transaction, role, holder).await? {
        return Ok(0);
    }
    let routes = route::all(&transaction).await?;
    if routes.iter().all(|route| route.repeat.is_none()) {
        return Ok(0);
    }
    // The server's own limit: a statement that nobody waits for any more would keep the leader's row.
    session::set_longest_statement(&transaction, LONGEST_STATEMENT).await?;
    let now = db::now(&transaction).await?;
    let standing = unrouted::standing(&transaction).await?;
    let due: Vec<ToTell> =
        standing.into_iter().filter_map(|standing| again(&routes, standing, now)).collect();
    let count = due.len();
    outbox::put(&transaction, due).await?;
    transaction.commit().await?;
    Ok(count)
}

/// What channels were told of alerts last, and in which notification first.
struct Known(HashMap<(i64, String), (Telling, Option<Uuid>)>);

impl Known {
    fn new(last: Vec<Last>) -> Self {
        let known = last.into_iter().map(|last| ((last.alert, last.channel), (last.told, Some(last.first))));
        Self(known.collect())
    }
}

/// Who is told of a transition, and how.
fn decide(routes: &[Route], unrouted: &Unrouted, known: &mut Known) -> Vec<ToTell> {
    let mut to_tell = Vec::new();
    for (channel, route) in channels(routes, &unrouted.alert, unrouted.transition) {
        let key = (unrouted.alert.id, channel.to_string());
        let before = known.0.get(&key).copied();
        let Some(telling) = telling(unrouted, before.map(|(told, _)| told), route) else { continue };
        let follows = before.and_then(|(_, first)| first);
        known.0.insert(key, (telling, follows));
        let Unrouted { event: number, at, group_key, alert, .. } = unrouted.clone();
        to_tell.push(ToTell {
            channel: channel.to_string(),
            group_key,
            wait: route.group_wait,
            repetition: 0,
            event: Event { number, transition: telling, at, alert, follows },
        });
    }
    to_tell
}

/// The channels of an alert, each with the first route that leads there. Whoever was told of an alert is told of its end, also when it
/// was worse then.
fn channels<'a>(
    routes: &'a [Route],
    alert: &Told,
    transition: Transition,
) -> Vec<(&'a ChannelName, &'a Route)> {
    let subject = subject(alert);
    let leads = |route: &&Route| match transition {
        Transition::Resolved => route.concerns(&subject),
        _ => route.takes(&subject),
    };
    let mut channels: Vec<(&ChannelName, &Route)> = Vec::new();
    for route in routes.iter().filter(leads) {
        for channel in &route.channels {
            if !channels.iter().any(|(known, _)| *known == channel) {
                channels.push((channel, route));
            }
        }
    }
    channels
}

fn subject(alert: &Told) -> Subject<'_> {
    Subject {
        rule: alert.rule,
        severity: alert.severity,
        job: alert.job.as_ref(),
        targets: alert.target.as_slice(),
        owner: alert.owner.as_deref(),
        tags: &alert.tags,
    }
}

/// How a channel is told of a transition that `before` was the last it was told of; `None` when it is not.
fn telling(unrouted: &Unrouted, before: Option<Telling>, route: &Route) -> Option<Telling> {
    let over = before.is_none_or(|told| told == Telling::Resolved);
    match unrouted.transition {
        // It is told to those who were told of the alert, also when nobody is to be told of it now: they wait for its end.
        Transition::Resolved => (!over && route.resolved).then_some(Telling::Resolved),
        _ if unrouted.suppressed => None,
        Transition::Opened => Some(Telling::Opened),
        Transition::Reopened => Some(Telling::Reopened),
        Transition::Escalated if over => Some(Telling::Opened),
        Transition::Escalated => Some(Telling::Escalated),
        // Whoever was told before it was suppressed knows of it.
        Transition::Released => over.then_some(Telling::Opened),
        Transition::Acknowledged | Transition::Unacknowledged | Transition::Suppressed => None,
    }
}

/// An alert that is told again to a channel, when it is time.
fn again(routes: &[Route], standing: Standing, now: DateTime<Utc>) -> Option<ToTell> {
    let Standing { channel, event: number, repetition, told_at, group_key, acknowledged, alert } = standing;
    let channels = channels(routes, &alert, Transition::Opened);
    let (_, route) = channels.into_iter().find(|(name, _)| name.as_str() == channel)?;
    let repeat = TimeDelta::from_std(route.repeat?).unwrap_or(TimeDelta::MAX);
    if acknowledged || now - told_at < repeat {
        return None;
    }
    let event = Event { number, transition: Telling::Repeated, at: now, alert, follows: None };
    Some(ToTell { channel, group_key, wait: Duration::ZERO, repetition: repetition + 1, event })
}

#[cfg(test)]
mod tests {
    use shared::alert::Severity;
    use shared::route::GROUP_WAIT;

    use super::super::message::tests::event;
    use super::*;

    fn route(name: &str, channels: &[&str]) -> Route {
        Route {
            name: name.parse().unwrap(),
            severity: Severity::Info,
            owners: Vec::new(),
            tags: Vec::new(),
            rules: Vec::new(),
            channels: channels.iter().map(|channel| channel.parse().unwrap()).collect(),
            group_wait: GROUP_WAIT,
            repeat: None,
            resolved: true,
        }
    }

    fn unrouted(number: i64, transition: Transition, severity: Severity, suppressed: bool) -> Unrouted {
        let Event { at, mut alert, .. } = event(number, Telling::Opened);
        alert.severity = severity;
        Unrouted { event: number, transition, at, suppressed, group_key: "g".to_owned(), alert }
    }

    /// What each transition of one alert is told as, in their order.
    fn told(routes: &[Route], life: &[(Transition, Severity, bool)]) -> Vec<Vec<(String, Telling)>> {
        let mut known = Known::new(Vec::new());
        let tell = |(number, &(transition, severity, suppressed)): (usize, &(Transition, Severity, bool))| {
            let unrouted = unrouted(i64::try_from(number).unwrap(), transition, severity, suppressed);
            let told = decide(routes, &unrouted, &mut known).into_iter();
            told.map(|to_tell| (to_tell.channel, to_tell.event.transition)).collect()
        };
        life.iter().enumerate().map(tell).collect()
    }

    fn chat(telling: Telling) -> Vec<(String, Telling)> {
        vec![("chat".to_owned(), telling)]
    }

    #[test]
    fn a_channel_is_told_once_however_many_routes_lead_there_and_as_the_first_of_them_says() {
        let waits = Route { group_wait: Duration::from_secs(5), ..route("a", &["chat", "mail"]) };
        let routes = [waits, route("b", &["chat"])];
        let unrouted = unrouted(1, Transition::Opened, Severity::Critical, false);
        let told = decide(&routes, &unrouted, &mut Known::new(Vec::new()));
        let told: Vec<_> = told.iter().map(|told| (told.channel.as_str(), told.wait.as_secs())).collect();
        assert_eq!(told, [("chat", 5), ("mail", 5)]);
    }

    #[test]
    fn an_end_is_told_to_whoever_was_told_of_the_beginning_and_to_nobody_else() {
        use Transition::{Opened, Resolved};
        let (info, critical) = (Severity::Info, Severity::Critical);
        let routes = [route("all", &["chat"]), Route { severity: critical, ..route("bad", &["pager"]) }];
        assert_eq!(
            told(&routes, &[(Opened, info, false), (Resolved, info, false), (Resolved, info, false)]),
            [chat(Telling::Opened), chat(Telling::Resolved), vec![]]
        );
        // It had become less bad before it ended.
        let told_of = told(&routes, &[(Opened, critical, false), (Resolved, info, false)]);
        assert_eq!(told_of[1].len(), 2, "{told_of:?}");
        let quiet = [Route { resolved: false, ..route("all", &["chat"]) }];
        assert_eq!(told(&quiet, &[(Opened, info, false), (Resolved, info, false)])[1], []);
    }

    #[test]
    fn what_is_suppressed_is_told_when_it_is_released_unless_it_is_known() {
        use Transition::{Opened, Released, Resolved, Suppressed};
        let (routes, info) = ([route("all", &["chat"])], Severity::Info);
        assert_eq!(
            told(&routes, &[(Opened, info, true), (Released, info, false), (Resolved, info, false)]),
            [vec![], chat(Telling::Opened), chat(Telling::Resolved)]
        );
        assert_eq!(
            told(&routes, &[(Opened, info, false), (Suppressed, info, true), (Released, info, false)]),
            [chat(Telling::Opened), vec![], vec![]]
        );
        assert_eq!(told(&routes, &[(Opened, info, true), (Resolved, info, true)]), [vec![], vec![]]);
        assert_eq!(
            told(&routes, &[(Opened, info, false), (Resolved, info, true)])[1],
            chat(Telling::Resolved)
        );
    }

    #[test]
    fn what_gets_worse_is_new_to_those_who_are_told_of_nothing_less() {
        use Transition::{Escalated, Opened, Reopened};
        let bad = Route { severity: Severity::Critical, ..route("bad", &["pager"]) };
        let routes = [route("all", &["chat"]), bad];
        let told = told(
            &routes,
            &[
                (Opened, Severity::Warning, false),
                (Escalated, Severity::Critical, false),
                (Reopened, Severity::Warning, false),
            ],
        );
        let pager = ("pager".to_owned(), Telling::Opened);
        assert_eq!(told[0], chat(Telling::Opened));
        assert_eq!(told[1], [chat(Telling::Escalated), vec![pager]].concat());
        assert_eq!(told[2], chat(Telling::Reopened));
    }

    #[test]
    fn an_alert_is_told_again_after_its_routes_time_unless_somebody_knows() {
        let now: DateTime<Utc> = "2026-11-26T03:00:00Z".parse().unwrap();
        let standing = |minutes, acknowledged| Standing {
            channel: "chat".to_owned(),
            event: 9,
            repetition: 1,
            told_at: now - TimeDelta::minutes(minutes),
            group_key: "g".to_owned(),
            acknowledged,
            alert: event(9, Telling::Opened).alert,
        };
        let routes = [Route { repeat: Some(Duration::from_hours(1)), ..route("all", &["chat"]) }];
        let told = again(&routes, standing(60, false), now).unwrap();
        assert_eq!((told.repetition, told.event.transition), (2, Telling::Repeated));
        assert_eq!(again(&routes, standing(59, false), now), None);
        assert_eq!(again(&routes, standing(60, true), now), None);
        assert_eq!(again(&[route("all", &["chat"])], standing(600, false), now), None);
    }
}
