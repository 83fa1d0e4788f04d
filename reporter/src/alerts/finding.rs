//! What a rule finds.

use std::time::Duration;

use shared::alert::{Effective, Rule};
use shared::db::alert::About;
use shared::target::{TargetId, TargetName};

use super::jobs::JobFacts;

/// The longest sentence, in characters: what programs say in their errors has no end.
const LONGEST: usize = 400;

/// Something that is wrong at this moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    /// What.
    pub(super) about: About,
    /// How long it must last before its alert opens.
    pub(super) pending: Duration,
    /// How soon after its end it is the same alert when it comes back.
    pub(super) cooldown: Duration,
}

impl Finding {
    /// Something with neither a job nor a target. The subject is what the cause ends with; of what has no single subject, `None`.
    pub(super) fn of(rule: Rule, setting: &Effective, subject: Option<&str>, summary: &str) -> Self {
        let about = About {
            cause: subject.map_or_else(|| rule.to_string(), |subject| cause(rule, subject)),
            rule,
            severity: setting.severity,
            subject: subject.unwrap_or_default().to_owned(),
            job: None,
            target: None,
            owner: None,
            group_key: rule.to_string(),
            summary: shortened(summary),
            detail: None,
        };
        Self { about, pending: setting.pending, cooldown: setting.cooldown }
    }

    /// Something that is wrong with a job.
    pub(super) fn of_job(rule: Rule, setting: &Effective, job: &JobFacts, summary: &str) -> Self {
        Self::of(rule, setting, Some(job.name.as_str()), summary).about_job(job)
    }

    /// Something that is wrong with a target.
    pub(super) fn of_target(
        rule: Rule,
        setting: &Effective,
        (id, name): (TargetId, &TargetName),
        summary: &str,
    ) -> Self {
        let finding = Self::of(rule, setting, Some(name.as_str()), summary);
        let group_key = format!("{rule}/target:{name}");
        Self { about: About { target: Some(id), group_key, ..finding.about }, ..finding }
    }

    /// The same, as something that concerns a job.
    pub(super) fn about_job(self, job: &JobFacts) -> Self {
        let group_key = format!("{}/owner:{}", self.about.rule, job.owner);
        let (job, owner) = (Some(job.id), Some(job.owner.clone()));
        Self { about: About { job, owner, group_key, ..self.about }, ..self }
    }

    /// The same, called by another name than that of its cause.
    pub(super) fn called(self, subject: &str) -> Self {
        Self { about: About { subject: subject.to_owned(), ..self.about }, ..self }
    }

    /// The same, with what else is known.
    pub(super) fn with_detail(self, detail: &str) -> Self {
        Self { about: About { detail: Some(shortened(detail)), ..self.about }, ..self }
    }
}

/// What is wrong, by the rule and with what.
pub(super) fn cause(rule: Rule, subject: &str) -> String {
    format!("{rule}/{subject}")
}

fn shortened(text: &str) -> String {
    let mut characters = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = characters.by_ref().take(LONGEST).collect();
    if characters.next().is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_one_line_of_a_bounded_length() {
        assert_eq!(shortened("a\nb\tc"), "a b c");
        assert_eq!(shortened(&"é".repeat(500)).chars().count(), LONGEST + 1);
    }
}
