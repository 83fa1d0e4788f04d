//! How jobs stand: their verdicts, the evidence behind them, and their exceptions.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, NaiveDate, Utc};
use deadpool_postgres::GenericClient;
use serde::Serialize;
use shared::compliance::{self, Answer, Copy, Exception, Held, Policy, Rule, Verdict};
use shared::db;
use shared::db::compliance::standings;
use shared::db::job::{self, JobTarget, StoredJob};
use shared::evidence::Facts;
use shared::job::JobId;
use shared::target::TargetId;
use shared::work::ReportParams;

/// Whom a report is about.
#[derive(Debug)]
pub(super) struct Subjects {
    /// All that are defined, or the only ones that were asked for; by name.
    pub(super) jobs: Vec<StoredJob>,
    /// Whether only some were asked for.
    some: bool,
}

impl Subjects {
    /// Reads them.
    pub(super) async fn read<C: GenericClient>(client: &C, params: &ReportParams) -> Result<Self, db::Error> {
        let owner = params.owner.as_ref().map(shared::limit::Label::as_str);
        let jobs = job::about(client, params.job.as_ref(), owner).await?;
        Ok(Self { jobs, some: params.job.is_some() || owner.is_some() })
    }

    /// Their numbers; `None` where all are meant, and what belongs to no job.
    pub(super) fn ids(&self) -> Option<Vec<JobId>> {
        self.some.then(|| self.jobs.iter().map(|stored| stored.id).collect())
    }
}

/// What a job's five verdicts come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stands {
    /// A rule does not hold.
    Fails,
    /// It would follow the rule if what was never observed were good; also before it is judged for the first time.
    Unknown,
    /// All five rules hold.
    Follows,
}

/// An active job that is judged.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Judged {
    #[serde(skip)]
    pub(super) id: JobId,
    pub(super) job: String,
    pub(super) owner: String,
    pub(super) strict: bool,
    pub(super) stands: Stands,
    /// Whether each rule that does not hold is excepted.
    pub(super) excepted: bool,
    pub(super) evaluated_at: Option<DateTime<Utc>>,
    /// The five verdicts; empty before the first evidence.
    pub(super) verdicts: Vec<Verdict>,
    pub(super) evidence: Vec<OfTarget>,
    pub(super) exceptions: Vec<Excepted>,
    /// The moment whose data the newest complete restore point holds.
    pub(super) newest_data: Option<DateTime<Utc>>,
    /// Since when no restore point is as young as the job's recovery point objective asks for.
    pub(super) unprotected_since: Option<DateTime<Utc>>,
}

/// Evidence about a job's data on a target.
#[derive(Debug, Clone, Serialize)]
pub(super) struct OfTarget {
    pub(super) target: String,
    #[serde(flatten)]
    pub(super) held: Held,
    /// How old it is.
    pub(super) age_seconds: f64,
    /// Whether it still speaks for the copy.
    pub(super) counts: bool,
}

/// An exception, and whether it counts.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Excepted {
    #[serde(flatten)]
    pub(super) exception: Exception,
    pub(super) counts: bool,
}

/// Reads how the active ones of some jobs stand; those that are worst first, then by name.
pub(super) async fn read<C: GenericClient>(
    client: &C,
    subjects: &Subjects,
    now: DateTime<Utc>,
) -> Result<Vec<Judged>, db::Error> {
    let active: Vec<&StoredJob> = subjects.jobs.iter().filter(|stored| stored.active).collect();
    let ids: Vec<JobId> = active.iter().map(|stored| stored.id).collect();
    let mut known = standings(client, &ids).await?;
    let mut targets: HashMap<JobId, Vec<JobTarget>> = HashMap::new();
    for target in job::targets(client, &ids).await? {
        targets.entry(target.job).or_default().push(target);
    }
    let judge = |stored: &StoredJob| {
        let standing = known.remove(&stored.id);
        let targets = targets.remove(&stored.id).unwrap_or_default();
        let (evaluated_at, facts, verdicts) = match standing {
            Some(standing) => (Some(standing.evaluated_at), standing.facts, standing.verdicts),
            None => (None, BTreeMap::new(), Vec::new()),
        };
        Judged::new(stored, &targets, &facts, verdicts, now, evaluated_at)
    };
    let mut judged: Vec<Judged> = active.into_iter().map(judge).collect();
    judged.sort_by(|one, other| {
        (one.stands, one.excepted, &one.job).cmp(&(other.stands, other.excepted, &other.job))
    });
    Ok(judged)
}

impl Judged {
    fn new(
        stored: &StoredJob,
        targets: &[JobTarget],
        facts: &BTreeMap<TargetId, Facts>,
        verdicts: Vec<Verdict>,
        now: DateTime<Utc>,
        evaluated_at: Option<DateTime<Utc>>,
    ) -> Self {
        let job = &stored.job;
        let policy = Policy::from(job);
        let copies = targets.iter().filter_map(|target| {
            Some((target, Copy::new(job, &target.target, facts.get(&target.id)?.clone())))
        });
        let evidence = copies.flat_map(|(target, copy)| {
            let of_target = |held: Held| OfTarget {
                target: target.target.name.to_string(),
                age_seconds: (now - held.observed_at).as_seconds_f64().max(0.0),
                counts: held.counts_at(now),
                held,
            };
            compliance::held(&policy, &copy).into_iter().map(of_target).collect::<Vec<_>>()
        });
        let newest_data = facts.values().filter_map(newest).max();
        let exceptions = excepted(&job.exceptions, now.date_naive());
        let stands = stands(&verdicts);
        Self {
            id: stored.id,
            job: job.name.to_string(),
            owner: job.owner.clone(),
            strict: job.strict,
            stands,
            excepted: stands != Stands::Follows && is_excepted(&verdicts, &exceptions),
            evaluated_at,
            evidence: evidence.collect(),
            verdicts,
            exceptions,
            newest_data,
            unprotected_since: match newest_data {
                Some(data) => Some(data + job.rpo).filter(|since| *since < now),
                None => Some(stored.created_at),
            },
        }
    }

    /// What a rule answers: of a job that was never judged nothing is known.
    pub(super) fn answer(&self, rule: Rule) -> Answer {
        let verdict = self.verdicts.iter().find(|verdict| verdict.rule == rule);
        verdict.map_or(Answer::Unknown, |verdict| verdict.answer)
    }

    /// The exception from a rule that counts.
    pub(super) fn exception(&self, rule: Rule) -> Option<&Exception> {
        let exceptions = self.exceptions.iter().filter(|excepted| excepted.counts);
        exceptions.map(|excepted| &excepted.exception).find(|exception| exception.rule == rule)
    }

    /// The verdicts that do not hold.
    pub(super) fn open(&self) -> impl Iterator<Item = &Verdict> {
        self.verdicts.iter().filter(|verdict| !verdict.answer.passes())
    }
}

/// The data of the newest complete restore point on a target, whoever says that it is there.
fn newest(facts: &Facts) -> Option<DateTime<Utc>> {
    let points = facts.restore_point.iter().chain(&facts.reported);
    points.filter(|fact| fact.says.source_errors == 0).map(|fact| fact.says.data_time).max()
}

fn excepted(exceptions: &[Exception], today: NaiveDate) -> Vec<Excepted> {
    let excepted =
        |exception: &Exception| Excepted { exception: exception.clone(), counts: exception.counts_on(today) };
    exceptions.iter().map(excepted).collect()
}

fn stands(verdicts: &[Verdict]) -> Stands {
    if verdicts.iter().any(|verdict| verdict.answer == Answer::Fail) {
        Stands::Fails
    } else if verdicts.is_empty() || verdicts.iter().any(|verdict| !verdict.answer.passes()) {
        Stands::Unknown
    } else {
        Stands::Follows
    }
}

fn is_excepted(verdicts: &[Verdict], exceptions: &[Excepted]) -> bool {
    let excepted =
        |rule| exceptions.iter().any(|excepted| excepted.counts && excepted.exception.rule == rule);
    let mut open = verdicts.iter().filter(|verdict| !verdict.answer.passes()).peekable();
    open.peek().is_some() && open.all(|verdict| excepted(verdict.rule))
}

/// How many jobs stand how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    pub(super) jobs: usize,
    pub(super) follow: usize,
    pub(super) fail: usize,
    pub(super) unknown: usize,
    /// Of those that fail or are unknown, the ones of which each rule that does not hold is excepted.
    pub(super) excepted: usize,
}

impl Counts {
    pub(super) fn of(judged: &[Judged]) -> Self {
        let stand = |how| judged.iter().filter(|job| job.stands == how).count();
        Self {
            jobs: judged.len(),
            follow: stand(Stands::Follows),
            fail: stand(Stands::Fails),
            unknown: stand(Stands::Unknown),
            excepted: judged.iter().filter(|job| job.excepted).count(),
        }
    }

    /// In a sentence.
    pub(super) fn sentence(&self) -> String {
        let Self { jobs, follow, fail, unknown, excepted } = *self;
        if jobs == 0 {
            return "There is no active job.".to_owned();
        }
        let mut rest = Vec::new();
        if fail > 0 {
            rest.push(format!("{fail} {}", if fail == 1 { "fails" } else { "fail" }));
        }
        if unknown > 0 {
            rest.push(format!("{unknown} {} unknown", if unknown == 1 { "is" } else { "are" }));
        }
        let of = if jobs == 1 { "The job".to_owned() } else { format!("{follow} of {jobs} jobs") };
        let follows = match (jobs, follow) {
            (1, 1) => "follows the 3-2-1-1-0 rule",
            (1, _) => "does not follow the 3-2-1-1-0 rule",
            (_, 1) => "follows the 3-2-1-1-0 rule",
            _ => "follow the 3-2-1-1-0 rule",
        };
        let rest =
            if rest.is_empty() || jobs == 1 { String::new() } else { format!("; {}", rest.join(", ")) };
        let excepted = match excepted {
            0 => String::new(),
            1 if jobs == 1 => " (excepted)".to_owned(),
            number => format!(" ({number} excepted)"),
        };
        format!("{of} {follows}{rest}{excepted}.")
    }
}

/// How many copies are verified at each level, within its window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Coverage {
    /// Copies of active jobs of which a restore point was seen.
    pub(super) copies: usize,
    pub(super) structure: usize,
    pub(super) read: usize,
    pub(super) restore_test: usize,
}

impl Coverage {
    pub(super) fn of(judged: &[Judged]) -> Self {
        let with = |kind| {
            let evidence = judged.iter().flat_map(|job| &job.evidence);
            evidence.filter(move |of| of.held.kind == kind)
        };
        let verified = |kind| with(kind).filter(|of| of.counts).count();
        Self {
            copies: with("restore_point").count(),
            structure: verified("structure"),
            read: verified("read"),
            restore_test: verified("restore_test"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(jobs: usize, follow: usize, fail: usize, unknown: usize, excepted: usize) -> String {
        Counts { jobs, follow, fail, unknown, excepted }.sentence()
    }

    #[test]
    fn a_sentence_says_how_many_jobs_follow_the_rule() {
        assert_eq!(counts(12, 9, 2, 1, 0), "9 of 12 jobs follow the 3-2-1-1-0 rule; 2 fail, 1 is unknown.");
        assert_eq!(counts(12, 12, 0, 0, 0), "12 of 12 jobs follow the 3-2-1-1-0 rule.");
        assert_eq!(
            counts(3, 1, 1, 1, 1),
            "1 of 3 jobs follows the 3-2-1-1-0 rule; 1 fails, 1 is unknown (1 excepted)."
        );
        assert_eq!(counts(1, 0, 1, 0, 0), "The job does not follow the 3-2-1-1-0 rule.");
        assert_eq!(counts(0, 0, 0, 0, 0), "There is no active job.");
    }

    #[test]
    fn an_exception_counts_to_the_end_of_its_last_day_and_covers_its_rule_alone() {
        let verdict = |rule, answer| Verdict {
            rule,
            answer,
            reason: String::new(),
            evidence: Vec::new(),
            expires_at: None,
        };
        let exception = Exception {
            rule: Rule::OneIsolated,
            reason: "the tape is on its way".to_owned(),
            owner: "ops".to_owned(),
            until: "2026-11-26".parse().unwrap(),
        };
        let on = |day: &str| excepted(std::slice::from_ref(&exception), day.parse().unwrap());
        let fails = [verdict(Rule::ThreeCopies, Answer::Pass), verdict(Rule::OneIsolated, Answer::Fail)];
        assert!(is_excepted(&fails, &on("2026-11-26")) && !is_excepted(&fails, &on("2026-11-27")));
        let both = [verdict(Rule::ZeroErrors, Answer::Unknown), verdict(Rule::OneIsolated, Answer::Fail)];
        assert!(!is_excepted(&both, &on("2026-11-26")));
        assert_eq!(stands(&fails), Stands::Fails, "no exception makes a verdict pass");
        assert!(!is_excepted(&[], &on("2026-11-26")) && stands(&[]) == Stands::Unknown);
    }
}
