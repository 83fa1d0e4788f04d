//! The 3-2-1-1-0 rule: five verdicts about a job at one moment, from evidence only.
//!
//! The rule in words: three copies of the data (production and two backups), on two media, one off-site, one
//! isolated, and no error when recovery is verified. Sources differ on whether production counts; here it does,
//! as Veeam and US-CERT have it, unless the job is `strict`. [`evaluate`] is a pure function: times are instants,
//! so that zones and daylight saving never change a verdict.
//!
//! What another system only reported counts as a copy, and each reason says so, but it is verified by nobody: it passes
//! no rule under `strict`, and it never is without errors.

mod counted;
mod exception;
mod held;
mod rules;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::evidence::{EvidenceId, Facts};
use crate::job::{Job, Place, VerifyWindows};
use crate::name::text_enum;
use crate::target::{Isolation, Target, TargetName};

pub use exception::Exception;
pub use held::{Held, held};

/// Counts the changes of the rules themselves; it is stored with every verdict.
pub const POLICY_VERSION: i32 = 3;

/// A job's default recovery point objective: a day, and two hours for the backup itself.
pub const DEFAULT_RPO: Duration = Duration::from_hours(26);
/// Read at least this often; a job may ask for more.
pub const READ_WINDOW: Duration = Duration::from_hours(30 * 24);
/// Restore at least this often; a job may ask for more.
pub const RESTORE_WINDOW: Duration = Duration::from_hours(90 * 24);
/// What a copy may lag behind the backup that it was made from.
const COPY_LAG: Duration = Duration::from_hours(6);
/// How old the newest restore point on a medium that is away may be.
const OFFLINE_AGE: Duration = Duration::from_hours(7 * 24);
/// How long a listing proves presence.
const LISTING_WINDOW: Duration = Duration::from_hours(24);
/// How long an inventory proves presence.
const INVENTORY_WINDOW: Duration = Duration::from_hours(35 * 24);
/// How long a lock must still last.
const LOCK_MARGIN: Duration = Duration::from_hours(7 * 24);
/// How long a refused delete proves that deletes are refused.
const DELETE_PROBE_WINDOW: Duration = Duration::from_hours(30 * 24);
/// A passing verdict warns in this last share of any window that it rests on.
const WARNING_SHARE: f64 = 0.2;

text_enum! {
    /// The five rules.
    Rule {
        /// Three copies.
        ThreeCopies = "3-copies",
        /// Two media.
        TwoMedia = "2-media",
        /// One off-site.
        OneOffsite = "1-offsite",
        /// One isolated.
        OneIsolated = "1-isolated",
        /// No errors when verified.
        ZeroErrors = "0-errors",
    }
}

text_enum! {
    /// What a rule answers.
    Answer {
        /// It holds.
        Pass = "pass",
        /// It holds, but evidence for it expires soon.
        Warning = "warning",
        /// It does not hold.
        Fail = "fail",
        /// It would hold if what was never observed were good.
        Unknown = "unknown",
    }
}

impl Answer {
    /// Whether the rule holds.
    #[must_use]
    pub const fn passes(self) -> bool {
        matches!(self, Self::Pass | Self::Warning)
    }
}

/// The answer of one rule, with what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Which rule.
    pub rule: Rule,
    /// Its answer.
    pub answer: Answer,
    /// Why, for people.
    pub reason: String,
    /// The evidence that it used.
    pub evidence: Vec<EvidenceId>,
    /// When the earliest of it expires.
    pub expires_at: Option<DateTime<Utc>>,
}

/// All five verdicts about one job.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdicts {
    /// In the order of [`Rule::ALL`].
    pub verdicts: Vec<Verdict>,
    /// When time alone can change an answer next.
    pub due_at: Option<DateTime<Utc>>,
}

impl Verdicts {
    /// A job complies only if all five rules hold.
    #[must_use]
    pub fn compliant(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.answer.passes())
    }

    /// The answers alone, in the order of [`Rule::ALL`].
    #[must_use]
    pub fn answers(&self) -> Vec<Answer> {
        self.verdicts.iter().map(|verdict| verdict.answer).collect()
    }
}

/// What a job demands.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Where production is.
    pub source: Place,
    /// How old the newest restore point may be.
    pub rpo: Duration,
    /// How old verification may be.
    pub verify: VerifyWindows,
    /// Three backups, and neither the source counts nor what was only reported.
    pub strict: bool,
}

impl From<&Job> for Policy {
    fn from(job: &Job) -> Self {
        Self { source: job.source.place.clone(), rpo: job.rpo, verify: job.verify, strict: job.strict }
    }
}

/// A job's data on one target.
#[derive(Debug, Clone, PartialEq)]
pub struct Copy {
    /// The target's name.
    pub target: TargetName,
    /// Two targets that name one repository are one copy.
    pub repository: String,
    /// Where it is.
    pub place: Place,
    /// How it is isolated.
    pub isolation: Isolation,
    /// Whether it takes the backup itself, without the lag of a copy.
    pub primary: bool,
    /// What was observed.
    pub facts: Facts,
}

impl Copy {
    /// What was observed of a job's data on one of its targets.
    #[must_use]
    pub fn new(job: &Job, target: &Target, facts: Facts) -> Self {
        Self {
            target: target.name.clone(),
            repository: target.repository.clone(),
            place: target.place.clone(),
            isolation: target.isolation,
            primary: Some(&target.name) == job.primary(),
            facts,
        }
    }
}

/// Judges a job at the time `now`.
#[must_use]
pub fn evaluate(policy: &Policy, copies: &[Copy], now: DateTime<Utc>) -> Verdicts {
    let counted = counted::count(policy, copies, now);
    let verdicts = vec![
        rules::three_copies(policy, &counted),
        rules::two_media(policy, &counted),
        rules::one_offsite(policy, &counted),
        rules::one_isolated(&counted, now),
        rules::zero_errors(policy, &counted, now),
    ];
    let due_at = verdicts.iter().filter_map(|(_, due_at)| *due_at).min();
    Verdicts { verdicts: verdicts.into_iter().map(|(verdict, _)| verdict).collect(), due_at }
}

#[cfg(test)]
mod tests;
