//! What a notification says, whatever the channel makes of it.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::alert::{Severity, Tag};
use shared::db::notification::Telling;
use shared::db::unrouted::Told;
use uuid::Uuid;

/// So many transitions are told to people one by one; the rest is counted.
pub(super) const TOLD: usize = 20;
/// The longest headline, in characters.
const HEADLINE: usize = 150;
/// So many subjects stand in a headline.
const SUBJECTS: usize = 3;

/// A transition of an alert as it is told, and stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Event {
    /// Its number: a transition has the same one in all notifications.
    #[serde(rename = "event")]
    pub(super) number: i64,
    /// What happened.
    pub(super) transition: Telling,
    /// When.
    pub(super) at: DateTime<Utc>,
    /// To which alert.
    pub(super) alert: Told,
    /// The first notification in which the channel was told of the alert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) follows: Option<Uuid>,
}

/// A notification.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Message {
    /// Its identity, the same at each attempt.
    pub(super) id: Uuid,
    /// By which channel it goes.
    pub(super) channel: String,
    /// Somebody tries whether it arrives.
    pub(super) test: bool,
    /// What it tells.
    pub(super) events: Vec<Event>,
}

impl Event {
    /// In a word or two, how bad it is.
    pub(super) fn badge(&self) -> String {
        let severity = self.alert.severity;
        match self.transition {
            Telling::Opened => severity.to_string(),
            Telling::Reopened => format!("{severity} again"),
            Telling::Escalated => format!("now {severity}"),
            Telling::Repeated => format!("still {severity}"),
            Telling::Resolved => "resolved".to_owned(),
        }
    }

    /// In a line.
    pub(super) fn line(&self) -> String {
        let Told { subject, summary, .. } = &self.alert;
        let of = if subject.is_empty() { String::new() } else { format!("{subject}: ") };
        one_line(&format!("{}: {of}{summary}", self.badge()))
    }

    /// What people call that with which something is wrong: the rule where nothing else has a name.
    fn subject(&self) -> &str {
        let Told { subject, rule, .. } = &self.alert;
        if subject.is_empty() { rule.as_str() } else { subject }
    }

    fn is_over(&self) -> bool {
        self.transition == Telling::Resolved
    }

    /// What else is known, as names and values.
    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        let Told { rule, owner, tags, detail, opened_at, resolved_at, .. } = &self.alert;
        let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
        [
            ("rule", Some(rule.to_string())),
            ("owner", owner.clone()),
            ("tags", Some(tags.join(", ")).filter(|tags| !tags.is_empty())),
            ("since", Some(crate::commands::moment(*opened_at))),
            ("until", resolved_at.map(crate::commands::moment)),
            ("detail", detail.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, one_line(&value?))))
        .collect()
    }
}

impl Message {
    /// What is true of each alert at the end, what is not over first.
    fn latest(&self) -> Vec<&Event> {
        let mut latest: Vec<&Event> = Vec::new();
        for event in &self.events {
            latest.retain(|earlier| earlier.alert.id != event.alert.id);
            latest.push(event);
        }
        latest.sort_by_key(|event| event.is_over());
        latest
    }

    /// The worst that is not over; `None` when all is.
    pub(super) fn worst(&self) -> Option<Severity> {
        self.latest().iter().filter(|event| !event.is_over()).map(|event| event.alert.severity).max()
    }

    /// All of it in a line of 150 characters at most.
    pub(super) fn headline(&self) -> String {
        let headline = match self.latest().as_slice() {
            [event] if self.test => format!("test: {}", event.alert.summary),
            [event] => event.line(),
            latest => self.headline_of(latest),
        };
        shortened(&one_line(&headline), HEADLINE)
    }

    fn headline_of(&self, latest: &[&Event]) -> String {
        let badge = self.worst().map_or("resolved".to_owned(), |worst| worst.to_string());
        let mut rules: Vec<&str> = latest.iter().map(|event| event.alert.rule.as_str()).collect();
        rules.sort_unstable();
        rules.dedup();
        let subjects: Vec<&str> = latest.iter().take(SUBJECTS).map(|event| event.subject()).collect();
        let mut headline = format!("{badge}: {}: {}", rules.join(", "), subjects.join(", "));
        let (more, over) =
            (latest.len() - subjects.len(), latest.iter().filter(|event| event.is_over()).count());
        if more > 0 {
            _ = write!(headline, " and {more} more");
        }
        if over > 0 && over < latest.len() {
            _ = write!(headline, " ({over} resolved)");
        }
        headline
    }

    /// What is told one by one, and how much more there is.
    pub(super) fn told(&self) -> (&[Event], usize) {
        let told = self.events.len().min(TOLD);
        (&self.events[..told], self.events.len() - told)
    }
}

/// Without line breaks and other signs that steer.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// At most so many characters.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(2)).chain("..".chars()).collect()
}

/// A message for trying out a channel.
pub(super) fn trial(id: Uuid, channel: &str, now: DateTime<Utc>) -> Message {
    let alert = Told {
        id: 0,
        rule: shared::alert::Rule::BackupFailed,
        severity: Severity::Info,
        subject: "test".to_owned(),
        job: None,
        target: None,
        owner: None,
        tags: Vec::new(),
        summary: "somebody tries whether this channel works".to_owned(),
        detail: None,
        opened_at: now,
        resolved_at: None,
    };
    let event = Event { number: 0, transition: Telling::Opened, at: now, alert, follows: None };
    Message { id, channel: channel.to_owned(), test: true, events: vec![event] }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A transition of an alert about a job.
    pub(in crate::notify) fn event(number: i64, transition: Telling) -> Event {
        let at: DateTime<Utc> = "2026-11-26T02:10:00Z".parse().unwrap();
        let over = transition == Telling::Resolved;
        Event {
            number,
            transition,
            at,
            alert: Told {
                id: 7,
                rule: shared::alert::Rule::BackupsFailing,
                severity: Severity::Critical,
                subject: "docs".to_owned(),
                job: Some("docs".parse().unwrap()),
                target: None,
                owner: Some("ops & co".to_owned()),
                tags: vec!["prod".parse().unwrap()],
                summary: "the last 3 backups failed".to_owned(),
                detail: Some("disk-a: <no space>".to_owned()),
                opened_at: "2026-11-26T02:00:00Z".parse().unwrap(),
                resolved_at: over.then_some(at),
            },
            follows: over.then(|| "0193a8f2-5c1e-7cc3-98c4-dc0c0c073980".parse().unwrap()),
        }
    }

    /// A message with one such transition.
    pub(in crate::notify) fn message(transition: Telling) -> Message {
        Message {
            id: "0193a8f2-5c1e-7cc3-98c4-dc0c0c07398f".parse().unwrap(),
            channel: "ops".to_owned(),
            test: false,
            events: vec![event(17, transition)],
        }
    }

    #[test]
    fn a_headline_says_what_happened_in_one_line_of_bounded_length() {
        assert_eq!(message(Telling::Opened).headline(), "critical: docs: the last 3 backups failed");
        assert_eq!(message(Telling::Resolved).headline(), "resolved: docs: the last 3 backups failed");
        assert_eq!(message(Telling::Repeated).headline(), "still critical: docs: the last 3 backups failed");
        let mut nameless = message(Telling::Opened);
        nameless.events[0].alert.subject = String::new();
        assert_eq!(nameless.headline(), "critical: the last 3 backups failed");
        let mut steering = message(Telling::Opened);
        steering.events[0].alert.summary = format!("a\r\nBcc: all@example.org\u{1b}[2J{}", "x".repeat(200));
        let headline = steering.headline();
        assert!(!headline.contains(char::is_control) && headline.chars().count() == 150, "{headline:?}");
    }

    #[test]
    fn a_headline_of_several_alerts_tells_what_they_have_come_to() {
        let mut several = message(Telling::Opened);
        several.events.push(event(18, Telling::Repeated));
        several.events.push(event(19, Telling::Resolved));
        assert_eq!(several.headline(), "resolved: docs: the last 3 backups failed", "it is one alert");
        assert_eq!(several.worst(), None);
        for (number, subject) in (20..).zip(["mail", "erp", "crm", ""]) {
            let mut opened = event(number, Telling::Opened);
            (opened.alert.id, opened.alert.subject) = (number, subject.to_owned());
            several.events.push(opened);
        }
        assert_eq!(several.headline(), "critical: backups_failing: mail, erp, crm and 2 more (1 resolved)");
        several.events.truncate(4);
        several.events[3].alert.subject = String::new();
        assert_eq!(several.headline(), "critical: backups_failing: backups_failing, docs (1 resolved)");
    }

    #[test]
    fn a_test_says_that_it_is_one() {
        let trial = trial(Uuid::nil(), "ops", "2026-11-26T02:10:00Z".parse().unwrap());
        assert_eq!(trial.headline(), "test: somebody tries whether this channel works");
    }

    #[test]
    fn of_very_many_transitions_the_rest_is_counted() {
        let events = (0..50).map(|number| event(number, Telling::Opened)).collect();
        let many = Message { events, ..message(Telling::Opened) };
        assert_eq!((many.told().0.len(), many.told().1), (20, 30));
    }
}
