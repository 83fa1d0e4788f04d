//! Jobs that can never comply with the 3-2-1-1-0 rule, whatever will be observed.

use chrono::{DateTime, TimeDelta, Utc};
use shared::compliance::{Copy, Policy, evaluate};
use shared::evidence::{Check, EvidenceId, Fact, Facts, PointFact, Whereabouts};
use shared::job::{Job, SourceData};
use shared::target::{Isolation, Target};
use shared::work::RestorePointId;
use uuid::Uuid;

use super::Warning;
use crate::definitions::DefinedJob;

/// The rules that do not even pass by the best evidence that the job's targets could ever give.
pub(super) fn of(defined: &DefinedJob, targets: &[&Target], now: DateTime<Utc>) -> Vec<Warning> {
    let DefinedJob { job, passage } = defined;
    let copies: Vec<Copy> =
        targets.iter().map(|target| Copy::new(job, target, best(job, target.isolation, now))).collect();
    let verdicts = evaluate(&Policy::from(job), &copies, now).verdicts;
    let failing = verdicts.into_iter().filter(|verdict| !verdict.answer.passes());
    let warning = |verdict: shared::compliance::Verdict| Warning {
        origin: passage.field("targets"),
        rule: verdict.rule.as_str(),
        message: format!("{} can never pass: {}", verdict.rule, verdict.reason),
    };
    failing.map(warning).collect()
}

/// All that a copy can have, observed now, or reported where nobody observes.
fn best(job: &Job, isolation: Isolation, now: DateTime<Utc>) -> Facts {
    fn fact<T>(at: DateTime<Utc>, says: T) -> Fact<T> {
        Fact { evidence: EvidenceId(Uuid::nil()), at, says }
    }
    let restore_point = RestorePointId(Uuid::nil());
    let check = || Check { restore_point, passed: true, seconds: 0.0, detail: String::new() };
    let away = match isolation {
        Isolation::Detached => Whereabouts::Away,
        Isolation::None | Isolation::Immutable => Whereabouts::InReach,
    };
    let point = fact(now, PointFact { restore_point, data_time: now, source_errors: 0 });
    // Whatever is written, is written before it is taken away.
    let written_at = Some(now - TimeDelta::seconds(1));
    if job.source.data == SourceData::Reported {
        return Facts { reported: Some(point), written_at, ..Facts::default() };
    }
    Facts {
        reported: None,
        restore_point: Some(point),
        written_at,
        listing: Some(fact(now, true)),
        inventory: Some(fact(now, true)),
        whereabouts: Some(fact(now, away)),
        structure: Some(fact(now, check())),
        read: Some(fact(now, check())),
        restore_test: Some(fact(now, check())),
        lock: Some(fact(now, now + TimeDelta::days(366))),
        delete_probe: Some(fact(now, true)),
    }
}
