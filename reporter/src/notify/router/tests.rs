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
    assert_eq!(told(&routes, &[(Opened, info, false), (Resolved, info, true)])[1], chat(Telling::Resolved));
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
    assert_eq!(again(&routes, Standing { ended_at: None, ..standing(600, false) }, now), None, "it waits");
    assert_eq!(again(&routes, standing(59, false), now), None);
    assert_eq!(again(&routes, standing(60, true), now), None);
    assert_eq!(again(&[route("all", &["chat"])], standing(600, false), now), None);
}
