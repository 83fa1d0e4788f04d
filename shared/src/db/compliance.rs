//! Table `compliance`, with `verdict_change`: takes evidence in and judges the jobs that it touches.
//!
//! Two recorders of one job would each miss the other's evidence. So whoever records evidence first locks the rows
//! of the jobs that it touches, in the order of their numbers, and reads what is known after that.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::definition::{Definitions, JobWithTargets};
use super::evidence::Link;
use super::statement::{command, statement};
use super::{Error, from_json};
use crate::compliance::{self, Answer, Copy, POLICY_VERSION, Policy, Verdict, Verdicts};
use crate::evidence::{self, Evidence, EvidenceId, Facts, Finding};
use crate::job::JobId;
use crate::target::TargetId;
use crate::task::TaskId;

/// An observation that is about to be recorded; it gets its identity and its time under the lock.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// Whose data.
    pub job: JobId,
    /// Where.
    pub target: TargetId,
    /// The task that observed it.
    pub task: TaskId,
    /// What.
    pub finding: Finding,
}

/// The newest facts about each target's copy of a job's data: a fold over its evidence.
type FactsByTarget = BTreeMap<TargetId, Facts>;

/// Judged jobs, for whoever plans what to verify next.
#[derive(Debug)]
pub struct Judged {
    /// The moment of the judgement, on the database's clock.
    pub now: DateTime<Utc>,
    states: BTreeMap<JobId, State>,
    /// Those that take tasks.
    active: BTreeSet<JobId>,
}

impl Judged {
    /// The newest facts about a job's data on a target.
    #[must_use]
    pub fn facts(&self, job: JobId, target: TargetId) -> Option<&Facts> {
        self.states.get(&job)?.facts.get(&target)
    }

    /// Whether a job takes tasks, so that there is anything to plan.
    #[must_use]
    pub fn is_active(&self, job: JobId) -> bool {
        self.active.contains(&job)
    }
}

/// What a job's lock guards.
#[derive(Debug)]
struct State {
    /// Where the locked version stands: nothing moves it until it is updated.
    place: String,
    chain_length: i64,
    chain_head: Vec<u8>,
    facts: FactsByTarget,
    /// In the order of [`compliance::Rule::ALL`]; empty before the first judgement.
    answers: Vec<Answer>,
}

/// Records observations and judges their jobs, and `others` besides.
pub async fn record(
    transaction: &Transaction<'_>,
    definitions: &Definitions,
    observations: Vec<Observation>,
    others: &[JobId],
) -> Result<Judged, Error> {
    let jobs: BTreeSet<JobId> =
        observations.iter().map(|observation| observation.job).chain(others.iter().copied()).collect();
    let jobs: Vec<JobId> = jobs.into_iter().collect();
    let mut states = lock(transaction, &jobs).await?;
    // After the locks were had: another recorder's commit must not lie later than what is judged here.
    let now = super::now(transaction).await?;
    let links = chain(observations, now, &mut states);
    super::evidence::insert(transaction, &links).await?;
    let definitions = definitions.current(transaction).await?.load(transaction, jobs).await?;
    let judged: Vec<_> = states
        .iter()
        .filter_map(|(id, state)| Some((*id, state, judge(definitions.get(id)?, &state.facts, now))))
        .collect();
    store(transaction, &judged, now).await?;
    let active = definitions.values().filter(|definition| definition.job.active);
    let active = active.map(|definition| definition.job.id).collect();
    Ok(Judged { now, states, active })
}

/// Gives each observation its place in its job's chain, and takes it in.
fn chain(
    observations: Vec<Observation>,
    now: DateTime<Utc>,
    states: &mut BTreeMap<JobId, State>,
) -> Vec<Link> {
    let mut links = Vec::with_capacity(observations.len());
    for observation in observations {
        // A job is never deleted while it has tasks; evidence without a job has no chain to stand in.
        let Some(state) = states.get_mut(&observation.job) else { continue };
        let Observation { job, target, task, finding } = observation;
        let evidence =
            Evidence { id: EvidenceId(Uuid::now_v7()), job, target, task, observed_at: now, finding };
        state.chain_head = evidence::chain(&state.chain_head, &evidence);
        state.chain_length += 1;
        state.facts.entry(target).or_default().observe(&evidence);
        links.push(Link { evidence, position: state.chain_length, hash: state.chain_head.clone() });
    }
    links
}

fn judge(
    JobWithTargets { job, targets }: &JobWithTargets,
    facts: &FactsByTarget,
    now: DateTime<Utc>,
) -> Verdicts {
    let copies: Vec<Copy> = targets
        .iter()
        .map(|stored| Copy::new(&job.job, &stored.target, facts.get(&stored.id).cloned().unwrap_or_default()))
        .collect();
    compliance::evaluate(&Policy::from(&job.job), &copies, now)
}

async fn lock(transaction: &Transaction<'_>, jobs: &[JobId]) -> Result<BTreeMap<JobId, State>, Error> {
    // While somebody holds an old snapshot, no version of a row can go. The newest stands behind the others in the table,
    // and equal keys stand in the index in the order of their rows: from the end the newest is found first, and the scan
    // ends there. A condition that the planner knows to have one value would be scanned from the front; and a bitmap, which
    // the planner prefers when a sample of so many versions holds few rows, would be one of all of them.
    command!("compliance.by_index")
        .run(transaction, "set local enable_seqscan = off; set local enable_bitmapscan = off")
        .await?;
    let statement = statement!(
        "compliance.lock",
        "select c.ctid::text as place, c.* from unnest($1::integer[]) as j(id)
         cross join lateral (
             select ctid, job_id, chain_length, chain_head, facts, answers from compliance
             where job_id >= j.id and job_id <= j.id order by job_id desc limit 1 for update) c"
    );
    let jobs: Vec<i32> = jobs.iter().map(|job| job.0).collect();
    let rows = statement.query(transaction, &[&jobs]).await?;
    rows.iter()
        .map(|row| {
            let state = State {
                place: row.try_get("place")?,
                chain_length: row.try_get("chain_length")?,
                chain_head: row.try_get("chain_head")?,
                facts: from_json(row, "facts")?,
                answers: from_json(row, "answers")?,
            };
            Ok((JobId(row.try_get("job_id")?), state))
        })
        .collect()
}

/// A job with what is known of it, and its new verdicts.
type JudgedJob<'a> = (JobId, &'a State, Verdicts);

async fn store(
    transaction: &Transaction<'_>,
    judged: &[JudgedJob<'_>],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let statement = statement!(
        "compliance.store",
        "update compliance c set chain_length = j.chain_length, chain_head = j.chain_head, facts = j.facts, \
             policy_version = $8, evaluated_at = $9, due_at = j.due_at, compliant = j.compliant, verdicts = j.verdicts, \
             answers = j.answers
         from unnest($1::text[], $2::bigint[], $3::bytea[], $4::json[], $5::timestamptz[], $6::boolean[], $7::json[], \
             $10::json[])
             as j(place, chain_length, chain_head, facts, due_at, compliant, verdicts, answers)
         where c.ctid = j.place::tid"
    );
    let place: Vec<&str> = judged.iter().map(|(_, state, _)| state.place.as_str()).collect();
    let length: Vec<i64> = judged.iter().map(|(_, state, _)| state.chain_length).collect();
    let head: Vec<&[u8]> = judged.iter().map(|(_, state, _)| state.chain_head.as_slice()).collect();
    let facts: Vec<_> = judged.iter().map(|(_, state, _)| Json(&state.facts)).collect();
    let due_at: Vec<_> = judged.iter().map(|(_, _, verdicts)| verdicts.due_at).collect();
    let compliant: Vec<bool> = judged.iter().map(|(_, _, verdicts)| verdicts.compliant()).collect();
    let verdicts: Vec<_> = judged.iter().map(|(_, _, verdicts)| Json(&verdicts.verdicts)).collect();
    let answers: Vec<_> = judged.iter().map(|(_, _, verdicts)| Json(verdicts.answers())).collect();
    let stored = statement
        .execute(
            transaction,
            &[
                &place,
                &length,
                &head,
                &facts,
                &due_at,
                &compliant,
                &verdicts,
                &POLICY_VERSION,
                &now,
                &answers,
            ],
        )
        .await?;
    // Otherwise there would be links of a chain that nothing knows of.
    let moved = judged.len() as u64 - stored;
    if moved > 0 {
        return Err(Error::Moved(moved));
    }
    let changes: Vec<_> =
        judged.iter().flat_map(|(job, state, verdicts)| changes(*job, &state.answers, verdicts)).collect();
    store_changes(transaction, &changes, now).await
}

struct Change<'a> {
    job: JobId,
    previous: Option<Answer>,
    verdict: &'a Verdict,
}

fn changes<'a>(job: JobId, before: &[Answer], after: &'a Verdicts) -> Vec<Change<'a>> {
    let before = before.iter().copied().map(Some).chain(std::iter::repeat(None));
    after
        .verdicts
        .iter()
        .zip(before)
        .map(|(verdict, previous)| Change { job, previous, verdict })
        .filter(|change| change.previous != Some(change.verdict.answer))
        .collect()
}

async fn store_changes(
    transaction: &Transaction<'_>,
    changes: &[Change<'_>],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let statement = statement!(
        "compliance.store_changes",
        "insert into verdict_change (job_id, rule, previous, answer, reason, evidence, changed_at)
         select job_id, rule, previous, answer, reason,
             array(select jsonb_array_elements_text(evidence)::uuid), $7
         from unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[])
             as c(job_id, rule, previous, answer, reason, evidence)"
    );
    let job: Vec<i32> = changes.iter().map(|change| change.job.0).collect();
    let rule: Vec<&str> = changes.iter().map(|change| change.verdict.rule.as_str()).collect();
    let previous: Vec<Option<&str>> =
        changes.iter().map(|change| change.previous.map(Answer::as_str)).collect();
    let answer: Vec<&str> = changes.iter().map(|change| change.verdict.answer.as_str()).collect();
    let reason: Vec<&str> = changes.iter().map(|change| change.verdict.reason.as_str()).collect();
    let evidence: Vec<_> = changes.iter().map(|change| Json(&change.verdict.evidence)).collect();
    statement.execute(transaction, &[&job, &rule, &previous, &answer, &reason, &evidence, &now]).await?;
    Ok(())
}

/// The jobs whose evidence has expired since they were judged, at most `limit`.
pub async fn due<C: GenericClient>(client: &C, limit: i64) -> Result<Vec<JobId>, Error> {
    let statement = statement!(
        "compliance.due",
        "select job_id from compliance where due_at <= now() order by due_at limit $1"
    );
    let rows = statement.query(client, &[&limit]).await?;
    rows.iter().map(|row| Ok(JobId(row.try_get(0)?))).collect()
}

/// Judges jobs by the evidence that there is.
pub async fn judge_again(
    transaction: &Transaction<'_>,
    definitions: &Definitions,
    jobs: &[JobId],
) -> Result<(), Error> {
    record(transaction, definitions, Vec::new(), jobs).await.map(|_| ())
}

/// The newest facts about some jobs' copies.
pub async fn facts<C: GenericClient>(
    client: &C,
    jobs: &[JobId],
) -> Result<BTreeMap<JobId, BTreeMap<TargetId, Facts>>, Error> {
    let statement =
        statement!("compliance.facts", "select job_id, facts from compliance where job_id = any($1)");
    let jobs: Vec<i32> = jobs.iter().map(|job| job.0).collect();
    let rows = statement.query(client, &[&jobs]).await?;
    rows.iter().map(|row| Ok((JobId(row.try_get("job_id")?), from_json(row, "facts")?))).collect()
}

/// When each active job was judged last.
pub async fn evaluations<C: GenericClient>(client: &C) -> Result<Vec<(JobId, DateTime<Utc>)>, Error> {
    let statement = statement!(
        "compliance.evaluations",
        "select c.job_id, c.evaluated_at from compliance c join job j on j.id = c.job_id where j.active"
    );
    let rows = statement.query(client, &[]).await?;
    rows.iter().map(|row| Ok((JobId(row.try_get("job_id")?), row.try_get("evaluated_at")?))).collect()
}

/// What is known of a job's data, and what is made of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// When it was judged.
    pub evaluated_at: DateTime<Utc>,
    /// The newest facts about its copies.
    pub facts: BTreeMap<TargetId, Facts>,
    /// The five verdicts; empty before the first judgement.
    pub verdicts: Vec<Verdict>,
}

/// What is known of some jobs' data, and what is made of it.
pub async fn standings<C: GenericClient>(
    client: &C,
    jobs: &[JobId],
) -> Result<BTreeMap<JobId, Standing>, Error> {
    let statement = statement!(
        "compliance.standings",
        "select job_id, evaluated_at, facts, verdicts from compliance where job_id = any($1)"
    );
    let jobs: Vec<i32> = jobs.iter().map(|job| job.0).collect();
    let rows = statement.query(client, &[&jobs]).await?;
    rows.iter()
        .map(|row| {
            let standing = Standing {
                evaluated_at: row.try_get("evaluated_at")?,
                facts: from_json(row, "facts")?,
                verdicts: from_json(row, "verdicts")?,
            };
            Ok((JobId(row.try_get("job_id")?), standing))
        })
        .collect()
}

/// A job's verdicts as people see them.
#[derive(Debug, Clone, serde::Serialize)]
pub struct JobVerdicts {
    /// The job's name.
    pub job: String,
    /// Who answers for it.
    pub owner: String,
    /// Whether all five rules hold.
    pub compliant: bool,
    /// When it was judged.
    pub evaluated_at: DateTime<Utc>,
    /// The five verdicts; empty before the first evidence.
    pub verdicts: Vec<Verdict>,
}

impl JobVerdicts {
    /// What a rule answers: a job that was never judged has no evidence at all.
    #[must_use]
    pub fn answer(&self, rule: compliance::Rule) -> Answer {
        let verdict = self.verdicts.iter().find(|verdict| verdict.rule == rule);
        verdict.map_or(Answer::Unknown, |verdict| verdict.answer)
    }
}

/// The verdicts of all active jobs, or of one.
pub async fn verdicts<C: GenericClient>(
    client: &C,
    job: Option<&crate::job::JobName>,
) -> Result<Vec<JobVerdicts>, Error> {
    let statement = statement!(
        "compliance.verdicts",
        "select j.name, j.definition ->> 'owner' as owner, c.compliant, c.evaluated_at, c.verdicts
         from compliance c join job j on j.id = c.job_id
         where j.active and ($1::text is null or j.name = $1) order by j.name"
    );
    let rows = statement.query(client, &[&job.map(crate::job::JobName::as_str)]).await?;
    rows.iter()
        .map(|row| {
            Ok(JobVerdicts {
                job: row.try_get("name")?,
                owner: row.try_get("owner")?,
                compliant: row.try_get("compliant")?,
                evaluated_at: row.try_get("evaluated_at")?,
                verdicts: from_json(row, "verdicts")?,
            })
        })
        .collect()
}
