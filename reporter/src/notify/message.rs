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
        one_line(&format!("{}: {}: {}", self.badge(), self.alert.subject, self.alert.summary))
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
    /// The worst that is not over; `None` when all is.
    pub(super) fn worst(&self) -> Option<Severity> {
        let wrong = self.events.iter().filter(|event| event.transition != Telling::Resolved);
        wrong.map(|event| event.alert.severity).max()
    }

    /// All of it in a line of 150 characters at most.
    pub(super) fn headline(&self) -> String {
        let mut headline = String::new();
        if self.test {
            headline.push_str("test: ");
        }
        match self.events.as_slice() {
            [event] => headline.push_str(&event.line()),
            events => {
                let badge = self.worst().map_or("resolved".to_owned(), |worst| worst.to_string());
                let mut subjects: Vec<&str> =
                    events.iter().map(|event| event.alert.subject.as_str()).collect();
                subjects.sort_unstable();
                subjects.dedup();
                let more = subjects.len().saturating_sub(SUBJECTS);
                subjects.truncate(SUBJECTS);
                _ = write!(headline, "{badge}: {} changes of alerts: {}", events.len(), subjects.join(", "));
                if more > 0 {
                    _ = write!(headline, " and {more} more");
                }
            }
        }
        shortened(&one_line(&headline), HEADLINE)
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
        subject: "nothing".to_owned(),
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
        let mut several = message(Telling::Resolved);
        for subject in ["mail", "erp", "crm", "docs"] {
            several.events.push(event(18, Telling::Opened));
            several.events.last_mut().unwrap().alert.subject = subject.to_owned();
        }
        assert_eq!(several.headline(), "critical: 5 changes of alerts: crm, docs, erp and 1 more");
        let mut steering = message(Telling::Opened);
        steering.events[0].alert.summary = format!("a\r\nBcc: all@example.org\u{1b}[2J{}", "x".repeat(200));
        let headline = steering.headline();
        assert!(!headline.contains(char::is_control) && headline.chars().count() == 150, "{headline:?}");
    }

    #[test]
    fn of_very_many_transitions_the_rest_is_counted() {
        let events = (0..50).map(|number| event(number, Telling::Opened)).collect();
        let many = Message { events, ..message(Telling::Opened) };
        assert_eq!((many.told().0.len(), many.told().1), (20, 30));
    }
}
