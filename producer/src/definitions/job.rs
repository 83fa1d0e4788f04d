//! A job as users write it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shared::alert::Tag;
use shared::compliance::{DEFAULT_RPO, READ_WINDOW, RESTORE_WINDOW};
use shared::job::{Job, Source, SourceData, TryLimits, VerifyWindows};
use shared::schedule::Schedule;
use shared::target::TargetName;
use shared::task::{Priority, TaskKind};
use shared::work::Level;

use super::fields::{Fields, Located};
use super::node::Value;
use super::values::{parsed, period, text, truth};
use super::{alert, exception, retention, schedule, source};

/// The most tags of a job.
const MOST_TAGS: usize = 20;

/// Reads a job, and notes the targets that it names; `None` when a problem was noted.
pub(super) fn read(mut fields: Fields<'_, '_>, references: &mut Vec<Located<TargetName>>) -> Option<Job> {
    let name = fields.required("name", parsed);
    let owner = fields.required("owner", text);
    let source = fields.required_below("source", "must be a mapping with a kind").and_then(source::read);
    let targets = targets(&mut fields);
    let rpo = fields.optional("rpo", period).unwrap_or(DEFAULT_RPO);
    let rto = fields.optional("rto", period);
    let priority = fields.optional("priority", parsed).unwrap_or(Priority::Normal);
    let (verify, verify_schedules) = verify(&mut fields);
    let tries = tries(&mut fields);
    let strict = fields.optional("strict", truth).unwrap_or(false);
    let active = fields.optional("active", truth).unwrap_or(true);
    let tags = tags(&mut fields);
    let alerts = fields.optional_below("alerts").map(alert::of_job).unwrap_or_default();
    let exceptions = exception::read(&mut fields);
    if source.as_ref().is_some_and(|source| source.data == SourceData::Reported) {
        let why = "is the other system's business, where the source is reported";
        if !fields.says("schedule", "manual") {
            fields.refuse("schedule", why);
        }
        fields.refuse("retention", why);
    }
    let before = fields.problems();
    if let Some(Source { data: SourceData::Reported, .. }) = &source
        && verify_schedules.as_ref().is_some_and(|schedules| !schedules.is_empty())
    {
        fields.problem(0, "verify.schedule", "is of no use: what another system backs up cannot be verified");
    }
    let schedule = fields.optional_below_or("schedule", "manual").and_then(schedule::read);
    let retention = fields.optional_below("retention").and_then(retention::read);
    let times = (fields.problems() == before).then_some((schedule, retention));
    fields.finish();
    references.extend(targets.iter().cloned());
    let (schedule, retention) = times?;
    Some(Job {
        name: name?.value,
        owner: owner?.value,
        source: source?,
        targets: targets.into_iter().map(|target| target.value).collect(),
        rpo,
        rto,
        priority,
        verify,
        verify_schedules: verify_schedules?,
        tries,
        strict,
        active,
        schedule,
        retention,
        tags,
        alerts,
        exceptions,
    })
}

fn targets(fields: &mut Fields<'_, '_>) -> Vec<Located<TargetName>> {
    let targets = fields.required_list("targets", parsed::<TargetName>);
    let mut seen = BTreeSet::new();
    for target in &targets {
        if !seen.insert(&target.value) {
            fields.problem(target.at.line, "targets", format!("{} stands there twice", target.value));
        }
    }
    targets
}

fn tags(fields: &mut Fields<'_, '_>) -> Vec<Tag> {
    let tags = fields.optional_list("tags", parsed::<Tag>);
    let mut seen = BTreeSet::new();
    for tag in &tags {
        if !seen.insert(&tag.value) {
            fields.problem(tag.at.line, "tags", format!("{} stands there twice", tag.value));
        }
    }
    if tags.len() > MOST_TAGS {
        fields.problem(0, "tags", format!("has more than {MOST_TAGS} items"));
    }
    tags.into_iter().map(|tag| tag.value).collect()
}

/// How old each level of verification may be, and when it is due by itself; `None` when that is wrong.
fn verify(fields: &mut Fields<'_, '_>) -> (VerifyWindows, Option<BTreeMap<Level, Schedule>>) {
    let mut windows = VerifyWindows { structure: None, read: READ_WINDOW, restore: RESTORE_WINDOW };
    let mut schedules = Some(BTreeMap::new());
    if let Some(mut verify) = fields.optional_below("verify") {
        windows.structure = verify.optional("structure", period);
        windows.read = verify.optional("read", read_window).unwrap_or(READ_WINDOW);
        windows.restore = verify.optional("restore", restore_window).unwrap_or(RESTORE_WINDOW);
        schedules = verify_schedules(&mut verify);
        verify.finish();
    }
    (windows, schedules)
}

fn verify_schedules(verify: &mut Fields<'_, '_>) -> Option<BTreeMap<Level, Schedule>> {
    let before = verify.problems();
    let mut schedules = BTreeMap::new();
    if let Some(mut levels) = verify.optional_below("schedule") {
        for &level in Level::ALL {
            let schedule = levels.optional_below(level.as_str()).and_then(schedule::read);
            schedules.extend(schedule.map(|schedule| (level, schedule)));
        }
        levels.finish();
    }
    (verify.problems() == before).then_some(schedules)
}

fn tries(fields: &mut Fields<'_, '_>) -> BTreeMap<TaskKind, TryLimits> {
    let mut tries = BTreeMap::new();
    let Some(mut kinds) = fields.optional_below("tries") else { return tries };
    for &kind in TaskKind::ALL.iter().filter(|kind| kind.needs_job()) {
        if let Some(mut limits) = kinds.optional_below(kind.as_str()) {
            let attempts = limits.optional("attempts", attempts);
            let timeout = limits.optional("timeout", period);
            limits.finish();
            tries.insert(kind, TryLimits { attempts, timeout });
        }
    }
    kinds.finish();
    tries
}

fn attempts(value: &Value) -> Result<u16, String> {
    match value {
        Value::Whole(attempts @ 1..=100) => Ok(u16::try_from(*attempts).unwrap_or(100)),
        Value::Whole(_) => Err("is not from 1 to 100".to_owned()),
        other => Err(format!("is {}, a whole number from 1 to 100 is needed", other.what())),
    }
}

fn read_window(value: &Value) -> Result<Duration, String> {
    tightened(value, READ_WINDOW)
}

fn restore_window(value: &Value) -> Result<Duration, String> {
    tightened(value, RESTORE_WINDOW)
}

fn tightened(value: &Value, widest: Duration) -> Result<Duration, String> {
    let window = period(value)?;
    if window > widest {
        let days = widest.as_secs() / (24 * 60 * 60);
        return Err(format!("a window may only be tightened: at most {days}d"));
    }
    Ok(window)
}
