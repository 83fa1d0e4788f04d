//! Jobs that can never comply with the 3-2-1-1-0 rule, whatever will be observed.

use chrono::{DateTime, TimeDelta, Utc};
use shared::compliance::{Copy, Policy, evaluate};
use shared::evidence::{Check, EvidenceId, Fact, Facts, PointFact, Whereabouts};
use shared::target::{Isolation, Target};
use shared::work::RestorePointId;
use uuid::Uuid;

use super::Warning;
use crate::definitions::DefinedJob;

/// The rules that do not even pass by the best evidence that the job's targets could ever give.
pub(super) fn of(defined: &DefinedJob, targets: &[&Target], now: DateTime<Utc>) -> Vec<Warning> {
    let DefinedJob { job, passage } = defined;
    let copies: Vec<Copy> =
        targets.iter().map(|target| Copy::new(job, target, best(target.isolation, now))).collect();
    let verdicts = evaluate(&Policy::from(job), &copies, now).verdicts;
    let failing = verdicts.into_iter().filter(|verdict| !verdict.answer.passes());
    let warning = |verdict: shared::compliance::Verdict| Warning {
        origin: passage.field("targets"),
        rule: verdict.rule.as_str(),
        message: format!("{} can never pass: {}", verdict.rule, verdict.reason),
    };
    failing.map(warning).collect()
}

/// All that a copy can have, observed now.
fn best(isolation: Isolation, now: DateTime<Utc>) -> Facts {
    fn fact<T>(at: DateTime<Utc>, says: T) -> Fact<T> {
        Fact { evidence: EvidenceId(Uuid::nil()), at, says }
    }
    let restore_point = RestorePointId(Uuid::nil());
    let check = || Check { restore_point, passed: true, seconds: 0.0, detail: String::new() };
    let away = match isolation {
        Isolation::Detached => Whereabouts::Away,
        Isolation::None | Isolation::Immutable => Whereabouts::InReach,
    };
    Facts {
        restore_point: Some(fact(now, PointFact { restore_point, data_time: now, source_errors: 0 })),
        // Whatever is written, is written before it is taken away.
        written_at: Some(now - TimeDelta::seconds(1)),
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
