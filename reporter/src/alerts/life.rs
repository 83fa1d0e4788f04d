//! What becomes of each alert by what is wrong now: a pure function of what is stored, what is found, and the time.
//!
//! Pending, open, resolved, and open again when the same comes back soon. What could not be looked at stays as it is.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use shared::alert::{AlertId, State, Transition};
use shared::db::alert::{About, Alert, Life};

use super::finding::Finding;

/// An alert before and after a look.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    /// What is stored; `None` of what is new.
    pub(super) before: Option<Alert>,
    /// What it is about now.
    pub(super) about: About,
    /// Where it is now; `None` of what never opened and is over.
    pub(super) life: Option<Life>,
    /// What happened, in order.
    pub(super) transitions: Vec<Transition>,
}

impl Step {
    /// Whether it is open now.
    pub(super) fn is_open(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.state == State::Open)
    }

    /// Whether it has opened by this step.
    pub(super) fn opens(&self) -> bool {
        self.transitions.iter().any(|t| matches!(t, Transition::Opened | Transition::Reopened))
    }

    /// What is over of what somebody knew: which alert, and when they said so.
    pub(super) fn forgotten(&self) -> Option<(AlertId, DateTime<Utc>)> {
        let before = self.before.as_ref()?;
        let is_over = self.life.as_ref().is_none_or(|life| life.acknowledged.is_none());
        before.life.acknowledged.as_ref().filter(|_| is_over).map(|known| (before.id, known.at))
    }

    /// Whether there is something to be written.
    pub(super) fn is_change(&self) -> bool {
        match (&self.before, &self.life) {
            (Some(before), Some(life)) => before.about != self.about || before.life != *life,
            _ => true,
        }
    }
}

/// Decides about all alerts that are not over, and about those that begin. `stored` also has those that were over lately; `judged`
/// tells whether it was looked at what an alert is about.
pub(super) fn step(
    stored: Vec<Alert>,
    findings: Vec<Finding>,
    judged: impl Fn(&About) -> bool,
    now: DateTime<Utc>,
) -> Vec<Step> {
    let (mut live, mut over) = (BTreeMap::new(), BTreeMap::new());
    for alert in stored {
        let cause = alert.about.cause.clone();
        if alert.life.state != State::Resolved {
            live.insert(cause, alert);
        } else if over.get(&cause).is_none_or(|known: &Alert| known.life.resolved_at < alert.life.resolved_at)
        {
            over.insert(cause, alert);
        }
    }
    let findings: BTreeMap<String, Finding> =
        findings.into_iter().map(|finding| (finding.about.cause.clone(), finding)).collect();
    let mut steps = Vec::new();
    for (cause, finding) in findings {
        let step = match (live.remove(&cause), over.remove(&cause)) {
            (Some(alert), _) => go_on(alert, finding, now),
            (None, Some(alert)) if comes_back(&alert, &finding, now) => reopen(alert, finding, now),
            (None, _) => begin(finding, now),
        };
        steps.push(step);
    }
    let left = |alert: Alert| {
        if judged(&alert.about) { end(alert, now) } else { unchanged(alert) }
    };
    steps.extend(live.into_values().map(left));
    steps
}

fn begin(finding: Finding, now: DateTime<Utc>) -> Step {
    let opens = finding.pending.is_zero();
    let life = Life {
        state: if opens { State::Open } else { State::Pending },
        since: now,
        opened_at: opens.then_some(now),
        resolved_at: None,
        reopened: 0,
        acknowledged: None,
        suppressed_by: None,
    };
    let transitions = if opens { vec![Transition::Opened] } else { Vec::new() };
    Step { before: None, about: finding.about, life: Some(life), transitions }
}

fn go_on(alert: Alert, finding: Finding, now: DateTime<Utc>) -> Step {
    let mut life = alert.life.clone();
    let mut transitions = Vec::new();
    if life.state == State::Pending {
        if now - life.since >= length(finding.pending) {
            (life.state, life.opened_at) = (State::Open, Some(now));
            transitions.push(Transition::Opened);
        }
    } else if finding.about.severity > alert.about.severity {
        life.acknowledged = None;
        transitions.push(Transition::Escalated);
    } else if life.acknowledged.as_ref().and_then(|known| known.until).is_some_and(|until| until <= now) {
        life.acknowledged = None;
        transitions.push(Transition::Unacknowledged);
    }
    Step { about: finding.about, life: Some(life), transitions, before: Some(alert) }
}

fn comes_back(over: &Alert, finding: &Finding, now: DateTime<Utc>) -> bool {
    over.life.resolved_at.is_some_and(|resolved_at| now - resolved_at < length(finding.cooldown))
}

/// That it lasts was established before: it is not pending again.
fn reopen(alert: Alert, finding: Finding, now: DateTime<Utc>) -> Step {
    let life = Life {
        state: State::Open,
        since: now,
        resolved_at: None,
        reopened: alert.life.reopened.saturating_add(1),
        acknowledged: None,
        suppressed_by: None,
        ..alert.life.clone()
    };
    let transitions = vec![Transition::Reopened];
    Step { about: finding.about, life: Some(life), transitions, before: Some(alert) }
}

fn end(alert: Alert, now: DateTime<Utc>) -> Step {
    let about = alert.about.clone();
    if alert.life.state == State::Pending {
        return Step { before: Some(alert), about, life: None, transitions: Vec::new() };
    }
    let life =
        Life { state: State::Resolved, resolved_at: Some(now), acknowledged: None, ..alert.life.clone() };
    Step { before: Some(alert), about, life: Some(life), transitions: vec![Transition::Resolved] }
}

fn unchanged(alert: Alert) -> Step {
    let (about, life) = (alert.about.clone(), Some(alert.life.clone()));
    Step { before: Some(alert), about, life, transitions: Vec::new() }
}

fn length(duration: std::time::Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests;
