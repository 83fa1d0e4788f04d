//! Which dead tasks and letters are meant.

use std::time::Duration;

use chrono::{DateTime, Utc};
use shared::db::dead_task::{Filter, Reason};
use shared::job::JobName;
use shared::message::Refusal;
use shared::task::TaskKind;

use super::letter::Letter;

/// Each narrows what is meant; what cannot be told of a letter (its job, its age) does not match.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::commands) struct Filters {
    /// Only of one kind
    #[arg(long)]
    kind: Option<TaskKind>,
    /// Only of one job
    #[arg(long, value_name = "NAME")]
    job: Option<JobName>,
    /// Only with one reason: of tasks failed, `timed_out`, refused, lost; of letters `unknown_job`, `not_json` and so on
    #[arg(long, value_parser = reason)]
    reason: Option<String>,
    /// Only what died at least so long ago, such as 1h
    #[arg(long, value_name = "AGE")]
    older_than: Option<humantime::Duration>,
    /// Only what died at most so long ago, such as 7d
    #[arg(long, value_name = "AGE")]
    newer_than: Option<humantime::Duration>,
    /// Only dead letters
    #[arg(long)]
    pub(super) letters: bool,
    /// Only dead tasks; the broker is not asked
    #[arg(long, conflicts_with = "letters")]
    pub(super) tasks: bool,
}

/// A reason that tasks or letters can have, so that a slip of the pen does not match nothing.
fn reason(text: &str) -> Result<String, String> {
    let known: Vec<&str> =
        Reason::ALL.iter().map(|reason| reason.as_str()).chain(Refusal::CODES.iter().copied()).collect();
    if known.contains(&text) { Ok(text.to_owned()) } else { Err(format!("use one of: {}", known.join(", "))) }
}

impl Filters {
    /// Whether something narrows what is meant within tasks or letters.
    pub(super) const fn narrow(&self) -> bool {
        self.kind.is_some()
            || self.job.is_some()
            || self.reason.is_some()
            || self.older_than.is_some()
            || self.newer_than.is_some()
    }

    /// The filter for tasks; `None` when only letters are meant. No reason is both a task's and a letter's.
    pub(super) fn of_tasks(&self) -> Option<Filter> {
        let reason = self.reason.as_deref().map(str::parse::<Reason>);
        match reason {
            _ if self.letters => None,
            Some(Err(_)) => None,
            reason => Some(Filter {
                ids: Vec::new(),
                kind: self.kind,
                job: self.job.clone(),
                reason: reason.and_then(Result::ok),
                older_than: self.older_than.map(Into::into),
                newer_than: self.newer_than.map(Into::into),
            }),
        }
    }

    /// Whether letters are meant as well.
    pub(super) fn mean_letters(&self) -> bool {
        let reason = self.reason.as_deref().map(str::parse::<Reason>);
        !self.tasks && !matches!(reason, Some(Ok(_)))
    }

    /// Whether a letter is meant.
    pub(super) fn match_letter(&self, letter: &Letter, now: DateTime<Utc>) -> bool {
        let age = letter.died_at.map(|died| (now - died).to_std().unwrap_or_default());
        let is = |wanted: Option<&str>, found: Option<&str>| wanted.is_none() || wanted == found;
        is(self.kind.map(TaskKind::as_str), letter.kind.as_deref())
            && is(self.job.as_ref().map(JobName::as_str), letter.job.as_deref())
            && is(self.reason.as_deref(), letter.reason.as_deref())
            && self.older_than.is_none_or(|least| age.is_some_and(|age| age >= Duration::from(least)))
            && self.newer_than.is_none_or(|most| age.is_some_and(|age| age <= Duration::from(most)))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        filters: Filters,
    }

    fn filters(arguments: &[&str]) -> Filters {
        Line::parse_from([&["dead"], arguments].concat()).filters
    }

    fn letter(age_seconds: Option<i64>) -> Letter {
        let now = shared::clock::now();
        let body = json!({ "version": 1, "kind": "backup", "job": "docs" }).to_string();
        let died_at = age_seconds.map(|seconds| now - chrono::TimeDelta::seconds(seconds));
        Letter { reason: Some("unknown_job".to_owned()), died_at, ..Letter::of_body(body.as_bytes()) }
    }

    #[test]
    fn a_reason_tells_whether_tasks_or_letters_are_meant() {
        let meant = |arguments: &[&str]| {
            let filters = filters(arguments);
            (filters.of_tasks().is_some(), filters.mean_letters())
        };
        assert_eq!(meant(&[]), (true, true));
        assert_eq!(meant(&["--reason", "failed"]), (true, false));
        assert_eq!(meant(&["--reason", "unknown_job"]), (false, true));
        assert_eq!(meant(&["--letters"]), (false, true));
        assert_eq!(meant(&["--tasks"]), (true, false));
    }

    #[test]
    fn a_letter_matches_when_all_filters_do() {
        let now = shared::clock::now();
        let matches = |arguments: &[&str]| filters(arguments).match_letter(&letter(Some(7200)), now);
        assert!(matches(&["--kind", "backup", "--job", "docs", "--reason", "unknown_job"]));
        assert!(matches(&["--older-than", "1h", "--newer-than", "3h"]));
        for other in [["--kind", "copy"], ["--job", "mail"], ["--older-than", "3h"], ["--newer-than", "1h"]] {
            assert!(!matches(&other), "{other:?}");
        }
    }

    #[test]
    fn an_age_that_cannot_be_told_matches_no_age() {
        let now = shared::clock::now();
        for filter in [["--older-than", "1s"], ["--newer-than", "1000d"]] {
            assert!(!filters(&filter).match_letter(&letter(None), now), "{filter:?}");
        }
    }
}
