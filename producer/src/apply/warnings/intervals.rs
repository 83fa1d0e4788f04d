//! What is demanded more often than the schedules let it happen.

use std::time::Duration;

use shared::evidence::DUE_SHARE;
use shared::job::{Job, SourceData};
use shared::work::Level;

use super::Warning;
use super::gaps::Gaps;
use crate::definitions::DefinedJob;
use crate::definitions::written::Length;

/// A recovery point objective that passes between two backups.
pub(super) fn rpo(defined: &DefinedJob, gaps: &mut Gaps) -> Option<Warning> {
    let DefinedJob { job, passage } = defined;
    let written = passage.has("rpo");
    let message = match &job.schedule {
        Some(schedule) => {
            // A restore point exactly as old as the objective is too old already, and a backup takes a while.
            let gap = gaps.longest(schedule).filter(|gap| *gap >= job.rpo)?;
            let (rpo, gap) = (Length(job.rpo), Length(gap));
            format!("the newest restore point may be {rpo} old, but up to {gap} lie between two backups")
        }
        // Each job has an objective; one that somebody has written down is meant.
        // What another system backs up has no schedule here.
        None if written && !passage.has("schedule") && job.source.data != SourceData::Reported => {
            "nothing backs it up by itself: give it a schedule, or say `schedule: manual`".to_owned()
        }
        None => return None,
    };
    let origin = passage.field(if written { "rpo" } else { "schedule" });
    Some(Warning { origin, rule: "rpo", message })
}

/// Windows of verification that pass between two checks.
pub(super) fn verification(defined: &DefinedJob, gaps: &mut Gaps) -> Vec<Warning> {
    let windows = defined.job.verify;
    let levels = [
        (Level::Structure, windows.structure),
        (Level::Read, Some(windows.read)),
        (Level::Restore, Some(windows.restore)),
    ];
    levels.into_iter().filter_map(|(level, window)| one_window(defined, level, window?, gaps)).collect()
}

fn one_window(defined: &DefinedJob, level: Level, window: Duration, gaps: &mut Gaps) -> Option<Warning> {
    let between = between_checks(&defined.job, level, window, gaps).filter(|between| *between >= window)?;
    let (window, between) = (Length(window), Length(between));
    Some(Warning {
        origin: defined.passage.field(&format!("verify.{level}")),
        rule: "verify",
        message: format!("a {level} check may be {window} old, but up to {between} lie between two of them"),
    })
}

/// The longest time between two checks of a copy: by their own schedule, or after backups. `None` where neither comes by
/// itself.
fn between_checks(job: &Job, level: Level, window: Duration, gaps: &mut Gaps) -> Option<Duration> {
    let scheduled = job.verify_schedules.get(&level).and_then(|schedule| gaps.longest(schedule));
    let backup = job.schedule.as_ref().and_then(|schedule| gaps.longest(schedule));
    let after_backups = backup.map(|gap| match level {
        Level::Structure => gap,
        Level::Read | Level::Restore => gap.saturating_mul(backups_until(window.mul_f64(DUE_SHARE), gap)),
    });
    scheduled.into_iter().chain(after_backups).min()
}

/// How many backups come until a check is due again, the one with which it comes included.
fn backups_until(due: Duration, gap: Duration) -> u32 {
    let backups = due.as_nanos().div_ceil(gap.as_nanos().max(1)).max(1);
    u32::try_from(backups).unwrap_or(u32::MAX)
}
