//! How strict a rule is: what is built in, what definitions say of it, and what a job says of it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Rule, Severity};
use crate::name::text_enum;

/// The longest time of a setting: what is over is forgotten after 90 days.
const LONGEST: Duration = Duration::from_hours(30 * 24);
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

/// What definitions say of a rule; what is absent is as it was without them.
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

/// What is wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Which field.
    pub field: &'static str,
    /// Why, for people.
    pub why: String,
}

impl Setting {
    /// Whether a rule can have this setting.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn check(&self, rule: Rule) -> Result<(), Vec<Wrong>> {
        let known = rule.thresholds();
        let foreign = self.given().into_iter().filter(|threshold| !known.contains(threshold)).map(|threshold| {
            let names: Vec<&str> = known.iter().map(|threshold| threshold.as_str()).collect();
            let has = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Wrong { field: threshold.as_str(), why: format!("is no threshold of {rule}, which has: {has}") }
        });
        let wrong: Vec<Wrong> = foreign.chain(self.out_of_range()).collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    /// The thresholds that are there.
    #[must_use]
    pub fn given(&self) -> Vec<Threshold> {
        let given = |threshold: &Threshold| match threshold {
            Threshold::Failures => self.failures.is_some(),
            Threshold::Below => self.below.is_some(),
            Threshold::Tasks => self.tasks.is_some(),
            Threshold::Spreads => self.spreads.is_some(),
            Threshold::ShrunkTo => self.shrunk_to.is_some(),
            Threshold::By => self.by.is_some(),
            Threshold::After => self.after.is_some(),
            Threshold::Waiting => self.waiting.is_some(),
        };
        Threshold::ALL.iter().copied().filter(given).collect()
    }

    fn out_of_range(&self) -> Vec<Wrong> {
        let within = |field, fits: Option<bool>, range: &str| {
            (fits == Some(false)).then(|| Wrong { field, why: format!("is not {range}") })
        };
        let short = |time: Option<Duration>| time.map(|time| time <= LONGEST);
        [
            within("failures", self.failures.map(|failures| (1..=100).contains(&failures)), "from 1 to 100"),
            within("below", self.below.map(|share| share > 0.0 && share <= 1.0), "above 0 and up to 1"),
            within("tasks", self.tasks.map(|tasks| (1..=10_000).contains(&tasks)), "from 1 to 10000"),
            within("spreads", self.spreads.map(|spreads| (1.0..=1000.0).contains(&spreads)), "from 1 to 1000"),
            within("shrunk_to", self.shrunk_to.map(|share| (0.0..1.0).contains(&share)), "from 0 to less than 1"),
            within("for", short(self.pending), "at most 30d"),
            within("cooldown", short(self.cooldown), "at most 30d"),
            within("by", short(self.by), "at most 30d"),
            within("after", short(self.after), "at most 30d"),
            within("waiting", short(self.waiting), "at most 30d"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
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
    fn a_threshold_of_another_rule_is_refused_with_those_that_it_has() {
        let setting = Setting { below: Some(0.9), failures: Some(0), ..Setting::default() };
        let wrong = setting.check(Rule::BackupsFailing).unwrap_err();
        let told: Vec<_> = wrong.iter().map(|wrong| (wrong.field, wrong.why.as_str())).collect();
        assert_eq!(
            told,
            [
                ("below", "is no threshold of backups_failing, which has: failures"),
                ("failures", "is not from 1 to 100"),
            ]
        );
        assert_eq!(Setting { failures: Some(4), ..Setting::default() }.check(Rule::TargetFailing), Ok(()));
    }

    #[test]
    fn a_setting_is_stored_as_what_was_said_and_nothing_else() {
        let setting = Setting { pending: Some(Duration::from_mins(5)), enabled: Some(false), ..Setting::default() };
        let stored = serde_json::to_value(setting).unwrap();
        assert_eq!(stored, serde_json::json!({ "for": "5m", "enabled": false }));
        assert_eq!(serde_json::from_value::<Setting>(stored).unwrap(), setting);
    }
}
