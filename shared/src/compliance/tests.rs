//! The rule's sentences, one case each. What cannot be observed yet has no case: a copy that is being deleted.

#![expect(clippy::unnecessary_wraps, reason = "facts are optional where the cases put them")]
#![expect(clippy::unchecked_time_subtraction, reason = "the cases subtract from constants")]

mod valid_copy;

mod copies;
mod errors;
mod held;
mod isolated;
mod reported;

mod due;
mod verdicts;

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Answer, Copy, Policy, Rule, Verdict, Verdicts, evaluate};
use crate::evidence::{Check, EvidenceId, Fact, Facts, PointFact, Whereabouts};
use crate::job::{Place, VerifyWindows};
use crate::target::{Isolation, Media};
use crate::work::RestorePointId;

const TICK: Duration = Duration::from_micros(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// A job at a moment. The one to start from complies: a source on a disk, a primary copy on a NAS in the same
/// building, and a locked copy in a cloud, all observed an hour ago.
#[derive(Debug, Clone)]
struct Case {
    policy: Policy,
    nas: Copy,
    cloud: Copy,
    others: Vec<Copy>,
    now: DateTime<Utc>,
}

impl Case {
    fn compliant() -> Self {
        let verify = VerifyWindows { structure: None, read: 30 * DAY, restore: 90 * DAY };
        let policy =
            Policy { source: place("hq", "host-1", Media::Disk), rpo: 26 * HOUR, verify, strict: false };
        let nas = Copy { primary: true, ..copy("nas", place("hq", "array-1", Media::Nas), Isolation::None) };
        let vault = Place {
            region: Some("eu-1".to_owned()),
            account: Some("backup".to_owned()),
            ..place("cloud", "eu-1", Media::Object)
        };
        let mut cloud = copy("cloud", vault, Isolation::Immutable);
        cloud.facts.lock = fact(start() - HOUR, start() + 60 * DAY);
        cloud.facts.delete_probe = fact(start() - HOUR, true);
        Self { policy, nas, cloud, others: Vec::new(), now: start() }
    }

    /// The compliant job with something changed.
    fn with(change: impl FnOnce(&mut Self)) -> Self {
        let mut case = Self::compliant();
        change(&mut case);
        case
    }

    fn later(mut self, by: Duration) -> Self {
        self.now += by;
        self
    }

    fn judge(&self) -> Verdicts {
        let named = [self.nas.clone(), self.cloud.clone()];
        let copies: Vec<Copy> = named.into_iter().chain(self.others.iter().cloned()).collect();
        evaluate(&self.policy, &copies, self.now)
    }

    fn verdict(&self, rule: Rule) -> Verdict {
        let verdicts = self.judge().verdicts;
        verdicts.into_iter().find(|verdict| verdict.rule == rule).unwrap()
    }

    fn answer(&self, rule: Rule) -> Answer {
        self.verdict(rule).answer
    }

    fn answers(&self) -> Vec<Answer> {
        self.judge().verdicts.iter().map(|verdict| verdict.answer).collect()
    }
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

fn fact<T>(at: DateTime<Utc>, says: T) -> Option<Fact<T>> {
    Some(Fact { evidence: EvidenceId(Uuid::now_v7()), at, says })
}

fn point(data_time: DateTime<Utc>) -> Option<Fact<PointFact>> {
    fact(data_time, PointFact { restore_point: RestorePointId(Uuid::nil()), data_time, source_errors: 0 })
}

fn check(at: DateTime<Utc>, passed: bool) -> Option<Fact<Check>> {
    let detail = if passed { "" } else { "pack 7f is damaged" }.to_owned();
    fact(at, Check { restore_point: RestorePointId(Uuid::nil()), passed, seconds: 1.0, detail })
}

fn place(site: &str, failure_domain: &str, media: Media) -> Place {
    let (site, failure_domain) = (site.to_owned(), failure_domain.to_owned());
    Place { site, region: None, account: None, failure_domain, media }
}

/// A secondary copy, written two hours and verified one hour before the start.
fn copy(name: &str, place: Place, isolation: Isolation) -> Copy {
    let (written, seen) = (start() - 2 * HOUR, start() - HOUR);
    let facts = Facts {
        restore_point: point(written),
        written_at: Some(written),
        listing: fact(seen, true),
        structure: check(seen, true),
        read: check(seen, true),
        restore_test: check(seen, true),
        ..Facts::default()
    };
    let target = name.parse().unwrap();
    Copy { target, repository: format!("/backups/{name}"), place, isolation, primary: false, facts }
}

/// A disk in a drawer: written two days ago, then inventoried and taken away.
fn drawer() -> Copy {
    let mut copy = copy("usb", place("hq", "usb-1", Media::Removable), Isolation::Detached);
    let written = start() - 2 * DAY;
    let checked = written + HOUR;
    copy.facts = Facts {
        restore_point: point(written),
        written_at: Some(written),
        structure: check(checked, true),
        read: check(checked, true),
        restore_test: check(checked, true),
        inventory: fact(written + 2 * HOUR, true),
        whereabouts: fact(written + 3 * HOUR, Whereabouts::Away),
        ..Facts::default()
    };
    copy
}

#[test]
fn the_case_that_the_others_start_from_complies() {
    let verdicts = Case::compliant().judge();
    assert!(verdicts.compliant(), "{verdicts:#?}");
    assert_eq!(verdicts.verdicts.iter().map(|v| v.rule).collect::<Vec<_>>(), Rule::ALL);
}
