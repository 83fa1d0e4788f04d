//! Which alerts are meant, by silences and by maintenance windows.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::{Rule, Severity, Tag};
use crate::job::JobName;
use crate::limit::Label;
use crate::name::name_type;
use crate::schedule::Cron;
use crate::target::TargetName;

name_type! {
    /// A maintenance window's name, as definitions say it.
    MaintenanceName
}

/// The alerts that match all that is given; a silence gives something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matcher {
    /// Of this rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Rule>,
    /// About this job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobName>,
    /// About this target, or about a job whose first one it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetName>,
    /// About jobs of this owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Label>,
    /// About jobs with this tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// As bad as this; not worse, and not less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
}

/// What of an alert can be matched.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its rule.
    pub rule: Rule,
    /// How bad it is.
    pub severity: Severity,
    /// The job that it is about.
    pub job: Option<&'a JobName>,
    /// The target that it is about, or else the first one of its job.
    pub target: Option<&'a TargetName>,
    /// Who answers for the job.
    pub owner: Option<&'a str>,
    /// The job's tags.
    pub tags: &'a [Tag],
}

impl Matcher {
    /// Whether nothing is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an alert matches.
    #[must_use]
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        fn fits<T>(wanted: Option<&T>, is: impl FnOnce(&T) -> bool) -> bool {
            wanted.is_none_or(is)
        }
        fits(self.rule.as_ref(), |rule| *rule == subject.rule)
            && fits(self.severity.as_ref(), |severity| *severity == subject.severity)
            && fits(self.job.as_ref(), |job| Some(job) == subject.job)
            && fits(self.target.as_ref(), |target| Some(target) == subject.target)
            && fits(self.owner.as_ref(), |owner| Some(owner.as_str()) == subject.owner)
            && fits(self.tag.as_ref(), |tag| subject.tags.contains(tag))
    }
}

/// A time that comes again and again and in which nobody is told about some alerts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Maintenance {
    /// What people call it.
    pub name: MaintenanceName,
    /// When it begins.
    pub cron: Cron,
    /// How long it lasts, up to a week.
    #[serde(rename = "for", with = "humantime_serde")]
    pub lasts: Duration,
    /// By whose clock it begins.
    #[serde(default)]
    pub timezone: Tz,
    /// Which alerts: those that match one of these, or all without any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<Matcher>,
}

impl Maintenance {
    /// The longest time that one may last.
    pub const LONGEST: Duration = Duration::from_hours(7 * 24);

    /// Whether it is its time at a moment: its end is not part of it.
    #[must_use]
    pub fn lasts_at(&self, now: DateTime<Utc>) -> bool {
        let lasts = TimeDelta::from_std(self.lasts).unwrap_or(TimeDelta::zero());
        self.cron.previous(now, self.timezone).is_some_and(|began| now < began + lasts)
    }

    /// Whether it is about an alert.
    #[must_use]
    pub fn matches(&self, subject: &Subject<'_>) -> bool {
        self.matches.is_empty() || self.matches.iter().any(|matcher| matcher.matches(subject))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> DateTime<Utc> {
        time.parse().unwrap()
    }

    #[test]
    fn a_window_lasts_from_its_beginning_by_its_clock_until_its_end() {
        let night = Maintenance {
            name: "night".parse().unwrap(),
            cron: "0 1 * * 0".parse().unwrap(),
            lasts: Duration::from_hours(4),
            timezone: Tz::Europe__Berlin,
            matches: Vec::new(),
        };
        // On Sundays in winter, one o'clock in Berlin is midnight in UTC.
        for (time, lasts) in [
            ("2026-11-21T23:59:59Z", false),
            ("2026-11-22T00:00:00Z", true),
            ("2026-11-22T03:59:59Z", true),
            ("2026-11-22T04:00:00Z", false),
            ("2026-11-23T01:00:00Z", false),
        ] {
            assert_eq!(night.lasts_at(at(time)), lasts, "{time}");
        }
    }

    #[test]
    fn all_that_is_given_must_match() {
        let (docs, mail): (JobName, JobName) = ("docs".parse().unwrap(), "mail".parse().unwrap());
        let (usb, tags) = ("usb".parse().unwrap(), ["web".parse().unwrap()]);
        let subject = Subject {
            rule: Rule::BackupFailed,
            severity: Severity::Warning,
            job: Some(&docs),
            target: Some(&usb),
            owner: Some("ops"),
            tags: &tags,
        };
        let job = |job: &JobName| Matcher { job: Some(job.clone()), ..Matcher::default() };
        assert!(job(&docs).matches(&subject));
        assert!(!job(&mail).matches(&subject));
        let target = |target: &str| Matcher { target: Some(target.parse().unwrap()), ..job(&docs) };
        assert!(target("usb").matches(&subject));
        assert!(!target("nas").matches(&subject));
        let owner = |owner: &str| Matcher { owner: Some(owner.parse().unwrap()), ..Matcher::default() };
        assert!(owner("ops").matches(&subject));
        assert!(!owner("dba").matches(&subject));
        let tag = Matcher { tag: Some("web".parse().unwrap()), ..Matcher::default() };
        assert!(tag.matches(&subject));
        assert!(!tag.matches(&Subject { tags: &[], ..subject }));
        let worse = Matcher { severity: Some(Severity::Critical), ..Matcher::default() };
        assert!(!worse.matches(&subject));
    }
}
