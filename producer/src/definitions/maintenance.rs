//! Maintenance windows as users write them.

use std::time::Duration;

use shared::alert::{Maintenance, Matcher};
use shared::job::JobName;
use shared::target::TargetName;

use super::fields::{Fields, Located};
use super::node::Value;
use super::schedule;
use super::values::{parsed, period};

/// The most matchers of a window: each alert is held against all of them.
const MOST_MATCHERS: usize = 100;

/// What windows name.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) jobs: Vec<Located<JobName>>,
    pub(super) targets: Vec<Located<TargetName>>,
}

/// Reads an entry of the list `maintenance`, and notes what it names; `None` when a problem was noted.
pub(super) fn read(mut fields: Fields<'_, '_>, named: &mut Named) -> Option<Maintenance> {
    let before = fields.problems();
    let name = fields.required("name", parsed);
    let cron = fields.required("cron", parsed);
    let lasts = fields.required("for", lasts);
    let timezone = fields.optional("timezone", schedule::timezone).unwrap_or_default();
    let read = fields.each_below("matches", matcher);
    if read.len() > MOST_MATCHERS {
        fields.problem(0, "matches", format!("are more than {MOST_MATCHERS}"));
    }
    let mut matches = Vec::new();
    for (matcher, job, target) in read.into_iter().flatten() {
        named.jobs.extend(job);
        named.targets.extend(target);
        matches.push(matcher);
    }
    let fine = fields.problems() == before;
    fields.finish();
    let window = Maintenance { name: name?.value, cron: cron?.value, lasts: lasts?.value, timezone, matches };
    fine.then_some(window)
}

type Read = (Matcher, Option<Located<JobName>>, Option<Located<TargetName>>);

fn matcher(mut fields: Fields<'_, '_>) -> Option<Read> {
    let before = fields.problems();
    let job = fields.located("job", parsed::<JobName>);
    let target = fields.located("target", parsed::<TargetName>);
    let matcher = Matcher {
        rule: fields.optional("rule", parsed),
        job: job.clone().map(|job| job.value),
        target: target.clone().map(|target| target.value),
        owner: fields.optional("owner", parsed),
        tag: fields.optional("tag", parsed),
        severity: fields.optional("severity", parsed),
    };
    if matcher.is_empty() && fields.problems() == before {
        fields.reject("needs one of job, target, rule, owner, tag and severity");
    }
    let fine = fields.problems() == before;
    fields.finish();
    fine.then_some((matcher, job, target))
}

fn lasts(value: &Value) -> Result<Duration, String> {
    let lasts = period(value)?;
    if lasts > Maintenance::LONGEST { Err("is longer than 7d".to_owned()) } else { Ok(lasts) }
}
