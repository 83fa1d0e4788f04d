use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use shared::alert::{AlertId, Effective, Rule, Severity};
use shared::db::alert::Acknowledged;

use super::*;

const RULE: Rule = Rule::BackupFailed;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_000_000 + seconds, 0).unwrap()
}

/// What is found of a subject, with a pending time and a cooldown in seconds.
fn finding(subject: &str, severity: Severity, pending: u64, cooldown: u64) -> Finding {
    let setting = Effective {
        severity,
        pending: Duration::from_secs(pending),
        cooldown: Duration::from_secs(cooldown),
        ..Effective::built_in(RULE)
    };
    Finding::of(RULE, &setting, Some(subject), "it is wrong")
}

/// What the database would hold.
#[derive(Default)]
struct Stored {
    alerts: BTreeMap<AlertId, Alert>,
    /// All that ever happened to each.
    history: BTreeMap<AlertId, Vec<Transition>>,
}

impl Stored {
    /// Looks once, and writes what has become of the alerts.
    fn look(&mut self, findings: Vec<Finding>, judged: bool, now: i64) {
        for step in step(self.alerts.values().cloned().collect(), findings, |_| judged, at(now)) {
            let next = AlertId(i64::try_from(self.history.len()).unwrap() + 1);
            let id = step.before.as_ref().map_or(next, |before| before.id);
            self.history.entry(id).or_default().extend(step.transitions);
            match step.life {
                Some(life) => _ = self.alerts.insert(id, Alert { id, about: step.about, life }),
                None => _ = self.alerts.remove(&id),
            }
        }
    }

    fn only(&self) -> &Alert {
        assert_eq!(self.alerts.len(), 1, "{:?}", self.alerts);
        self.alerts.values().next().unwrap()
    }

    fn state(&self) -> State {
        self.only().life.state
    }

    fn happened(&self) -> Vec<Transition> {
        self.history.values().flatten().copied().collect()
    }
}

#[test]
fn what_does_not_last_never_opens_and_leaves_nothing() {
    let mut stored = Stored::default();
    stored.look(vec![finding("docs", Severity::Warning, 60, 600)], true, 0);
    assert_eq!(stored.state(), State::Pending);
    stored.look(vec![finding("docs", Severity::Warning, 60, 600)], true, 59);
    assert_eq!(stored.state(), State::Pending);
    stored.look(vec![], true, 60);
    assert!(stored.alerts.is_empty());
    assert_eq!(stored.happened(), []);
}

#[test]
fn what_lasts_opens_once_and_is_resolved_when_it_is_over() {
    let mut stored = Stored::default();
    for now in [0, 60, 70] {
        stored.look(vec![finding("docs", Severity::Warning, 60, 600)], true, now);
    }
    assert_eq!((stored.only().life.since, stored.only().life.opened_at), (at(0), Some(at(60))));
    stored.look(vec![], true, 80);
    assert_eq!((stored.state(), stored.only().life.resolved_at), (State::Resolved, Some(at(80))));
    assert_eq!(stored.happened(), [Transition::Opened, Transition::Resolved]);
}

#[test]
fn what_comes_back_within_the_cooldown_is_the_same_alert_and_later_a_new_one() {
    use Transition::{Opened, Reopened, Resolved};
    let mut stored = Stored::default();
    stored.look(vec![finding("docs", Severity::Warning, 0, 600)], true, 0);
    stored.look(vec![], true, 10);
    // That it lasts was shown before.
    stored.look(vec![finding("docs", Severity::Warning, 60, 600)], true, 609);
    assert_eq!((stored.state(), stored.only().life.reopened), (State::Open, 1));
    assert_eq!(stored.only().life.opened_at, Some(at(0)));
    stored.look(vec![], true, 700);
    stored.look(vec![finding("docs", Severity::Warning, 0, 600)], true, 1300);
    assert_eq!(stored.alerts.len(), 2);
    assert_eq!(stored.happened(), [Opened, Resolved, Reopened, Resolved, Opened]);
}

#[test]
fn what_could_not_be_looked_at_stays_as_it_is() {
    let mut stored = Stored::default();
    stored.look(vec![finding("docs", Severity::Warning, 0, 600)], true, 0);
    stored.look(vec![], false, 10);
    assert_eq!(stored.state(), State::Open);
    stored.look(vec![], true, 20);
    assert_eq!(stored.state(), State::Resolved);
}

#[test]
fn what_gets_worse_is_told_again_and_known_by_nobody_and_what_gets_better_is_not() {
    let mut stored = Stored::default();
    stored.look(vec![finding("docs", Severity::Warning, 0, 600)], true, 0);
    acknowledge(&mut stored, None);
    stored.look(vec![finding("docs", Severity::Critical, 0, 600)], true, 10);
    assert_eq!(stored.only().life.acknowledged, None);
    acknowledge(&mut stored, None);
    stored.look(vec![finding("docs", Severity::Info, 0, 600)], true, 20);
    assert!(stored.only().life.acknowledged.is_some());
    assert_eq!(stored.only().about.severity, Severity::Info);
    assert_eq!(stored.happened(), [Transition::Opened, Transition::Escalated]);
}

#[test]
fn an_acknowledgement_ends_at_its_time_or_with_the_alert() {
    use Transition::{Opened, Resolved, Unacknowledged};
    let mut stored = Stored::default();
    let found = || vec![finding("docs", Severity::Warning, 0, 600)];
    stored.look(found(), true, 0);
    acknowledge(&mut stored, Some(at(100)));
    stored.look(found(), true, 99);
    assert!(stored.only().life.acknowledged.is_some());
    stored.look(found(), true, 100);
    assert_eq!(stored.only().life.acknowledged, None);
    acknowledge(&mut stored, None);
    stored.look(vec![], true, 110);
    assert_eq!(stored.only().life.acknowledged, None);
    assert_eq!(stored.happened(), [Opened, Unacknowledged, Resolved]);
}

fn acknowledge(stored: &mut Stored, until: Option<DateTime<Utc>>) {
    let known = Acknowledged { at: at(0), by: "ops".to_owned(), note: None, until };
    for alert in stored.alerts.values_mut() {
        alert.life.acknowledged = Some(known.clone());
    }
}

/// What is found at one look, by subject; and whether the rule could be looked at.
type Look = (BTreeSet<usize>, bool, u8);

proptest! {
    #[test]
    fn a_cause_has_one_open_alert_at_most_and_each_change_has_its_reason(
        looks in vec((btree_set(0_usize..4, 0..4), any::<bool>(), 0_u8..3), 1..60),
        pending in 0_u64..30,
        cooldown in 0_u64..40,
    ) {
        let mut stored = Stored::default();
        for (number, (found, judged, severity)) in looks.into_iter().enumerate() {
            let look: Look = (found, judged, severity);
            check(&mut stored, &look, pending, cooldown, i64::try_from(number).unwrap() * 10);
        }
        for (alert, history) in &stored.history {
            let told = history.iter().filter(|t| **t != Transition::Escalated);
            for (place, transition) in told.enumerate() {
                let expected = match (place, place % 2) {
                    (0, _) => Transition::Opened,
                    (_, 1) => Transition::Resolved,
                    _ => Transition::Reopened,
                };
                prop_assert_eq!(*transition, expected, "{}: {:?}", alert, history);
            }
        }
    }
}

fn check(stored: &mut Stored, (found, judged, severity): &Look, pending: u64, cooldown: u64, now: i64) {
    let severity = Severity::ALL[usize::from(*severity)];
    let before = stored.alerts.clone();
    // One cause twice is one finding.
    let twice = found.iter().chain(found.iter());
    let findings = twice.map(|subject| finding(&subject.to_string(), severity, pending, cooldown)).collect();
    stored.look(findings, *judged, now);
    let mut live = BTreeSet::new();
    for alert in stored.alerts.values().filter(|alert| alert.life.state != State::Resolved) {
        assert!(live.insert(alert.about.cause.clone()), "{} has two", alert.about.cause);
    }
    for subject in 0..4 {
        let cause = super::super::finding::cause(RULE, &subject.to_string());
        let was =
            before.values().any(|alert| alert.about.cause == cause && alert.life.state != State::Resolved);
        let expected = found.contains(&subject) || (was && !judged);
        assert_eq!(live.contains(&cause), expected, "{cause} at {now}");
    }
    for alert in stored.alerts.values() {
        let Life { state, since, opened_at, resolved_at, .. } = alert.life;
        assert_eq!(opened_at.is_none(), state == State::Pending);
        assert_eq!(resolved_at.is_some(), state == State::Resolved);
        // What could not be looked at waits for longer.
        if state == State::Pending && *judged {
            assert!(at(now) - since < length(Duration::from_secs(pending)));
        }
    }
}
