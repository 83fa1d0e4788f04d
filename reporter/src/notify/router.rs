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
        let mut known = Known::default();
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
        let told = decide(&routes, &unrouted, &mut Known::default());
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
    fn what_comes_back_is_new_to_a_channel_that_was_not_told_of_the_end() {
        use Transition::{Opened, Released, Reopened, Resolved};
        let (quiet, info) = ([Route { resolved: false, ..route("all", &["chat"]) }], Severity::Info);
        let life =
            [(Opened, info, false), (Resolved, info, false), (Reopened, info, true), (Released, info, false)];
        assert_eq!(told(&quiet, &life), [chat(Telling::Opened), vec![], vec![], chat(Telling::Opened)]);
    }

    #[test]
    fn an_end_is_told_as_the_route_says_by_which_the_alert_was_told() {
        use Transition::{Opened, Resolved};
        let severe = |resolved| Route { severity: Severity::Critical, resolved, ..route("a", &["chat"]) };
        let all = |resolved| Route { resolved, ..route("b", &["chat"]) };
        let life = [(Opened, Severity::Warning, false), (Resolved, Severity::Warning, false)];
        assert_eq!(told(&[severe(false), all(true)], &life)[1], chat(Telling::Resolved));
        assert_eq!(told(&[severe(true), all(false)], &life)[1], []);
    }

    #[test]
    fn an_end_is_told_also_when_no_route_leads_there_any_more() {
        let mut known = Known::default();
        let opened = unrouted(1, Transition::Opened, Severity::Info, false);
        assert_eq!(decide(&[route("all", &["chat"])], &opened, &mut known).len(), 1);
        let resolved = Unrouted { event: 2, transition: Transition::Resolved, ..opened };
        let told = decide(&[route("all", &["mail"])], &resolved, &mut known);
        let told: Vec<_> =
            told.iter().map(|told| (told.channel.as_str(), told.event.transition, told.wait)).collect();
        assert_eq!(told, [("chat", Telling::Resolved, Duration::ZERO)]);
    }

    #[test]
    fn what_got_worse_while_it_was_suppressed_is_told_when_it_is_released() {
        use Transition::{Escalated, Opened, Released, Suppressed};
        let bad = Route { severity: Severity::Critical, ..route("bad", &["pager"]) };
        let life = [
            (Opened, Severity::Warning, false),
            (Suppressed, Severity::Warning, true),
            (Escalated, Severity::Critical, true),
            (Released, Severity::Critical, false),
        ];
        let pager = ("pager".to_owned(), Telling::Opened);
        assert_eq!(
            told(&[route("all", &["chat"]), bad], &life),
            [chat(Telling::Opened), vec![], vec![], [chat(Telling::Escalated), vec![pager]].concat()]
        );
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
        let first = Uuid::now_v7();
        let standing = |minutes, acknowledged| Standing {
            channel: "chat".to_owned(),
            event: 9,
            repetition: 1,
            ended_at: Some(now - TimeDelta::minutes(minutes)),
            first,
            group_key: "g".to_owned(),
            acknowledged,
            alert: event(9, Telling::Opened).alert,
        };
        let routes = [Route { repeat: Some(Duration::from_hours(1)), ..route("all", &["chat"]) }];
        let told = again(&routes, standing(60, false), now).unwrap();
        assert_eq!((told.repetition, told.event.transition), (2, Telling::Repeated));
        assert_eq!(told.event.follows, Some(first));
        assert_eq!(
            again(&routes, Standing { ended_at: None, ..standing(600, false) }, now),
            None,
            "it waits"
        );
        assert_eq!(again(&routes, standing(59, false), now), None);
        assert_eq!(again(&routes, standing(60, true), now), None);
        assert_eq!(again(&[route("all", &["chat"])], standing(600, false), now), None);
    }
}
