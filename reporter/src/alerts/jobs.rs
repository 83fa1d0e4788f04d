//! What rules need to know of jobs, kept in memory as long as it is true.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use shared::alert::{Rule, Setting, Tag};
use shared::compliance::{Answer, Rule as PolicyRule};
use shared::db::compliance::{self, Standing};
use shared::db::job::{self, StoredJob};
use shared::db::readable::{Readable, Unreadable};
use shared::db::{Error, target};
use shared::evidence::{Check, Fact, Facts};
use shared::job::{JobId, JobName, SourceData};
use shared::target::{TargetId, TargetName};
use shared::work::Level;

use crate::untold::Untold;

/// Jobs whose facts and verdicts are read at once.
const BATCH: usize = 1_000;

/// The active jobs.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    version: Option<i64>,
    by_id: BTreeMap<JobId, JobFacts>,
    unreadable: HashSet<JobId>,
    unjudged: HashSet<JobId>,
    targets: HashMap<TargetId, TargetName>,
}

/// An active job, as far as rules go.
#[derive(Debug, Clone)]
pub(super) struct JobFacts {
    pub(super) id: JobId,
    pub(super) name: JobName,
    pub(super) owner: String,
    pub(super) tags: Vec<Tag>,
    /// In the job's order.
    pub(super) targets: Vec<TargetName>,
    pub(super) rpo: Duration,
    /// How old each level of verification may be.
    pub(super) windows: Vec<(Level, Duration)>,
    /// Whether another system backs it up.
    pub(super) is_reported: bool,
    pub(super) alerts: BTreeMap<Rule, Setting>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) judged: Judged,
}

/// What the job's evidence says.
#[derive(Debug, Clone, Default)]
pub(super) struct Judged {
    evaluated_at: Option<DateTime<Utc>>,
    /// The rules that do not simply pass, with why.
    pub(super) verdicts: Vec<(PolicyRule, Answer, String)>,
    /// When each copy that there is was checked last, by level.
    pub(super) checks: BTreeMap<TargetName, BTreeMap<Level, DateTime<Utc>>>,
}

impl Jobs {
    /// Reads what is new since the last call.
    pub(super) async fn refresh<C: GenericClient>(
        &mut self,
        client: &C,
        untold: &mut Untold,
    ) -> Result<(), Error> {
        // Before anything else is read: what is read after it is at least that new.
        let version = job::definitions_version(client).await?;
        if self.version != Some(version) {
            self.read(client, untold).await?;
            self.version = Some(version);
        }
        let evaluations = compliance::evaluations(client).await?;
        let is_new = |(id, at): &(JobId, DateTime<Utc>)| {
            self.by_id.get(id).is_some_and(|job| job.judged.evaluated_at != Some(*at))
        };
        let stale: Vec<JobId> = evaluations.iter().filter(|pair| is_new(pair)).map(|(id, _)| *id).collect();
        self.read_verdicts(client, &stale, untold).await
    }

    /// Reads the verdicts of some jobs; those that cannot be read are tried again the next time.
    async fn read_verdicts<C: GenericClient>(
        &mut self,
        client: &C,
        jobs: &[JobId],
        untold: &mut Untold,
    ) -> Result<(), Error> {
        let mut unreadable = Vec::new();
        let mut batches: Vec<&[JobId]> = jobs.chunks(BATCH).collect();
        while let Some(batch) = batches.pop() {
            match compliance::standings(client, batch).await {
                Ok(standings) => {
                    for (id, standing) in standings {
                        if let Some(job) = self.by_id.get_mut(&id) {
                            job.judged = judged(&standing, &self.targets);
                        }
                    }
                }
                Err(error) if error.blames_the_rows() && batch.len() > 1 => {
                    let (first, rest) = batch.split_at(batch.len() / 2);
                    batches.extend([rest, first]);
                }
                Err(error) if error.blames_the_rows() => {
                    unreadable.extend(batch.first().map(|job| Unreadable { key: *job, error }));
                }
                Err(error) => return Err(error),
            }
        }
        self.unjudged = unreadable.iter().map(|job| job.key).collect();
        untold.readable::<(), _>("verdicts of job", Readable { rows: Vec::new(), unreadable });
        Ok(())
    }

    async fn read<C: GenericClient>(&mut self, client: &C, untold: &mut Untold) -> Result<(), Error> {
        self.targets = target::names(client).await?;
        let active = job::active(client).await?;
        self.unreadable = active.unreadable.iter().map(|job| job.key).collect();
        let active = untold.readable("job", active).into_iter();
        self.by_id = active.map(|stored| (stored.id, facts(stored))).collect();
        Ok(())
    }

    /// Whether a job is active and it, or its verdicts, cannot be read: what is wrong with it is not known.
    pub(super) fn is_unreadable(&self, id: JobId) -> bool {
        self.unreadable.contains(&id) || self.unjudged.contains(&id)
    }

    /// A job, if it is active.
    pub(super) fn get(&self, id: JobId) -> Option<&JobFacts> {
        self.by_id.get(&id)
    }

    /// All active jobs.
    pub(super) fn all(&self) -> impl Iterator<Item = &JobFacts> {
        self.by_id.values()
    }

    /// A target's name.
    pub(super) fn target(&self, id: TargetId) -> Option<&TargetName> {
        self.targets.get(&id)
    }
}

fn facts(StoredJob { id, job, created_at, .. }: StoredJob) -> JobFacts {
    let verify = job.verify;
    let windows = [
        (Level::Structure, verify.structure),
        (Level::Read, Some(verify.read)),
        (Level::Restore, Some(verify.restore)),
    ];
    JobFacts {
        id,
        name: job.name,
        owner: job.owner,
        tags: job.tags,
        targets: job.targets,
        rpo: job.rpo,
        windows: windows.into_iter().filter_map(|(level, window)| Some((level, window?))).collect(),
        is_reported: job.source.data == SourceData::Reported,
        alerts: job.alerts,
        created_at,
        judged: Judged::default(),
    }
}

fn judged(standing: &Standing, targets: &HashMap<TargetId, TargetName>) -> Judged {
    let troubled = standing.verdicts.iter().filter(|verdict| verdict.answer != Answer::Pass);
    let copies = standing.facts.iter().filter(|(_, facts)| facts.restore_point.is_some());
    Judged {
        evaluated_at: Some(standing.evaluated_at),
        verdicts: troubled.map(|verdict| (verdict.rule, verdict.answer, verdict.reason.clone())).collect(),
        checks: copies.filter_map(|(id, facts)| Some((targets.get(id)?.clone(), checks(facts)))).collect(),
    }
}

fn checks(facts: &Facts) -> BTreeMap<Level, DateTime<Utc>> {
    let at = |check: &Option<Fact<Check>>| check.as_ref().map(|fact| fact.at);
    let levels = [
        (Level::Structure, at(&facts.structure)),
        (Level::Read, at(&facts.read)),
        (Level::Restore, at(&facts.restore_test)),
    ];
    levels.into_iter().filter_map(|(level, at)| Some((level, at?))).collect()
}
