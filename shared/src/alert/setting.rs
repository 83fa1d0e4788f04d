//! How strict a rule is: what is built in, what definitions say of it, and what a job says of it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Rule, Severity};
use crate::name::text_enum;

/// How soon what is over may come back as the same alert, where nothing else is said.
const COOLDOWN: Duration = Duration::from_mins(10);
/// Verdicts change for a while with each backup, until its copies are made and verified.
const VERDICTS_LAST: Duration = Duration::from_hours(1);

text_enum! {
    /// What a rule compares with.
    Threshold {
        /// So many that failed in a row, 1 to 100.
        Failures = "failures",
        /// A share of successes, above 0 to 1, below which there are too few.
        Below = "below",
        /// So many tasks at least, 1 to 10,000, before anything can be said of their share.
        Tasks = "tasks",
        /// So many spreads from the median, 1 to 1000: a spread is 1.4826 times the median absolute deviation, as
        /// much as the standard deviation where values are normally distributed, and a twentieth of the median at least.
        Spreads = "spreads",
        /// The share of the median, 0 to less than 1, from which on a backup has shrunk.
        ShrunkTo = "shrunk_to",
        /// So long from the median, at least.
        By = "by",
        /// Only what lasts for longer.
        After = "after",
        /// Only what waits for longer.
        Waiting = "waiting",
    }
}

/// What definitions say of a rule, among it only thresholds that the rule has; what is absent is as it was without them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// Whether the rule finds anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How bad it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// How long it must last before the alert opens.
    #[serde(rename = "for", with = "humantime_serde", default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Duration>,
    /// How soon after its end it is the same alert when it comes back.
    #[serde(with = "humantime_serde", default, skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<Duration>,
    /// [`Threshold::Failures`]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// [`Threshold::Below`]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// [`Threshold::Tasks`]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u32>,
    /// [`Threshold::Spreads`]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spreads: Option<f64>,
    /// [`Threshold::ShrunkTo`]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shrunk_to: Option<f64>,
    /// [`Threshold::By`]
    #[serde(with = "humantime_serde", default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Duration>,
    /// [`Threshold::After`]
    #[serde(with = "humantime_serde", default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Duration>,
    /// [`Threshold::Waiting`]
    #[serde(with = "humantime_serde", default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Duration>,
}

/// What counts for a rule in the end. A threshold that is none of the rule's counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effective {
    /// Whether the rule finds anything.
    pub enabled: bool,
    /// How bad it is.
    pub severity: Severity,
    /// How long it must last before the alert opens.
    pub pending: Duration,
    /// How soon after its end it is the same alert when it comes back.
    pub cooldown: Duration,
    /// [`Threshold::Failures`]
    pub failures: u32,
    /// [`Threshold::Below`]
    pub below: f64,
    /// [`Threshold::Tasks`]
    pub tasks: u32,
    /// [`Threshold::Spreads`]
    pub spreads: f64,
    /// [`Threshold::ShrunkTo`]
    pub shrunk_to: f64,
    /// [`Threshold::By`]
    pub by: Duration,
    /// [`Threshold::After`]
    pub after: Duration,
    /// [`Threshold::Waiting`]
    pub waiting: Duration,
}

impl Effective {
    /// What is built in.
    #[must_use]
    pub const fn built_in(rule: Rule) -> Self {
        let plain = Self {
            enabled: true,
            severity: Severity::Warning,
            pending: Duration::ZERO,
            cooldown: COOLDOWN,
            failures: 3,
            below: 0.95,
            tasks: 10,
            spreads: 5.0,
            shrunk_to: 0.5,
            by: Duration::from_mins(5),
            after: Duration::from_hours(1),
            waiting: Duration::from_mins(30),
        };
        match rule {
            Rule::BackupWarnings => Self { severity: Severity::Info, ..plain },
            Rule::BackupsFailing | Rule::NoRecentBackup | Rule::TargetFailing => {
                Self { severity: Severity::Critical, ..plain }
            }
            Rule::VerdictFailing => Self { pending: VERDICTS_LAST, ..plain },
            Rule::VerdictUnknown | Rule::VerdictExpiring => {
                Self { severity: Severity::Info, pending: VERDICTS_LAST, ..plain }
            }
            Rule::TaskStuck => Self { after: Duration::from_hours(2), ..plain },
            Rule::Backlog => Self { pending: Duration::from_mins(5), ..plain },
            Rule::WorkerLost => Self { after: Duration::from_mins(2), ..plain },
            Rule::ProducerLost => {
                Self { severity: Severity::Critical, pending: Duration::from_mins(1), ..plain }
            }
            Rule::DatabaseOldTransaction => Self { after: Duration::from_mins(15), ..plain },
            Rule::DatabaseBlocked => Self { after: Duration::from_mins(1), ..plain },
            Rule::BackupFailed
            | Rule::SuccessRate
            | Rule::VerificationOverdue
            | Rule::DurationUnusual
            | Rule::SizeUnusual
            | Rule::DeadTasks
            | Rule::DefaultPartition => plain,
        }
    }

    /// With what was said instead.
    #[must_use]
    pub fn with(self, said: Option<&Setting>) -> Self {
        let Some(said) = said else { return self };
        Self {
            enabled: said.enabled.unwrap_or(self.enabled),
            severity: said.severity.unwrap_or(self.severity),
            pending: said.pending.unwrap_or(self.pending),
            cooldown: said.cooldown.unwrap_or(self.cooldown),
            failures: said.failures.unwrap_or(self.failures),
            below: said.below.unwrap_or(self.below),
            tasks: said.tasks.unwrap_or(self.tasks),
            spreads: said.spreads.unwrap_or(self.spreads),
            shrunk_to: said.shrunk_to.unwrap_or(self.shrunk_to),
            by: said.by.unwrap_or(self.by),
            after: said.after.unwrap_or(self.after),
            waiting: said.waiting.unwrap_or(self.waiting),
        }
    }
}

/// What the definitions say of all rules.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings(pub BTreeMap<Rule, Setting>);

impl Settings {
    /// What counts for a rule; `own` is what a job says of it.
    #[must_use]
    pub fn of(&self, rule: Rule, own: Option<&Setting>) -> Effective {
        Effective::built_in(rule).with(self.0.get(&rule)).with(own)
    }
}

impl Setting {
    /// The longest time that one may hold: what is over is forgotten after 90 days.
    pub const LONGEST: Duration = Duration::from_hours(30 * 24);
}

impl Rule {
    /// What it compares with.
    #[must_use]
    pub const fn thresholds(self) -> &'static [Threshold] {
        match self {
            Self::BackupsFailing | Self::TargetFailing => &[Threshold::Failures],
            Self::SuccessRate => &[Threshold::Below, Threshold::Tasks],
            Self::DurationUnusual => &[Threshold::Spreads, Threshold::By],
            Self::SizeUnusual => &[Threshold::Spreads, Threshold::ShrunkTo],
            Self::TaskStuck => &[Threshold::After, Threshold::Waiting],
            Self::Backlog | Self::WorkerLost | Self::DatabaseOldTransaction | Self::DatabaseBlocked => {
                &[Threshold::After]
            }
            Self::BackupFailed
            | Self::BackupWarnings
            | Self::NoRecentBackup
            | Self::VerdictFailing
            | Self::VerdictUnknown
            | Self::VerdictExpiring
            | Self::VerificationOverdue
            | Self::ProducerLost
            | Self::DeadTasks
            | Self::DefaultPartition => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_job_says_counts_before_what_the_definitions_say_and_this_before_what_is_built_in() {
        let general = Setting { failures: Some(5), severity: Some(Severity::Warning), ..Setting::default() };
        let own = Setting { failures: Some(2), ..Setting::default() };
        let settings = Settings(BTreeMap::from([(Rule::BackupsFailing, general)]));
        let of = |own| settings.of(Rule::BackupsFailing, own);
        assert_eq!((of(None).failures, of(None).severity), (5, Severity::Warning));
        assert_eq!((of(Some(&own)).failures, of(Some(&own)).severity), (2, Severity::Warning));
        assert_eq!(Settings::default().of(Rule::BackupsFailing, None).severity, Severity::Critical);
    }

    #[test]
    fn a_setting_is_stored_as_what_was_said_and_nothing_else() {
        let setting =
            Setting { pending: Some(Duration::from_mins(5)), enabled: Some(false), ..Setting::default() };
        let stored = serde_json::to_value(setting).unwrap();
        assert_eq!(stored, serde_json::json!({ "for": "5m", "enabled": false }));
        assert_eq!(serde_json::from_value::<Setting>(stored).unwrap(), setting);
    }
}
