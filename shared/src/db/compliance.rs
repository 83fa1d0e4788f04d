//! Table `compliance`, with `verdict_change`: takes evidence in and judges the jobs that it touches.
//!
//! Two recorders of one job would each miss the other's evidence. So whoever records evidence first locks the rows
//! of the jobs that it touches, in the order of their numbers, and reads what is known after that.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use serde::Deserialize;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::copy::FactsByCopy;
use super::definition::{Definitions, JobWithTargets};
use super::evidence::Link;
use super::{Error, from_json, prepared};
use crate::compliance::{self, Answer, Copy, POLICY_VERSION, Policy, Rule, Verdict, Verdicts};
use crate::evidence::{self, Evidence, EvidenceId, Finding};
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

/// Judged jobs, for whoever plans what to verify next.
#[derive(Debug)]
pub struct Judged {
    /// The moment of the judgement, on the database's clock.
    pub now: DateTime<Utc>,
    /// The newest facts of the jobs' copies.
    pub facts: FactsByCopy,
}

struct State {
    chain_length: i64,
    chain_head: Vec<u8>,
    answers: Vec<Answered>,
}

/// What matters of a verdict once there is a newer one.
#[derive(Deserialize)]
struct Answered {
    rule: Rule,
    answer: Answer,
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
    let mut facts = super::copy::load(transaction, &jobs).await?;

    let links = chain(observations, now, &mut states);
    let touched: BTreeSet<_> = links.iter().map(|link| (link.evidence.job, link.evidence.target)).collect();
    for link in &links {
        facts.entry((link.evidence.job, link.evidence.target)).or_default().observe(&link.evidence);
    }
    super::evidence::insert(transaction, &links).await?;
    let changed: Vec<_> =
        facts.iter().filter(|(key, _)| touched.contains(key)).map(|(key, f)| (*key, f)).collect();
    super::copy::store(transaction, &changed).await?;

    let jobs = definitions.load(transaction, jobs).await?;
    let judged: Vec<_> = jobs.iter().map(|(id, job)| (*id, judge(job, &facts, now))).collect();
    store(transaction, &states, &judged, now).await?;
    Ok(Judged { now, facts })
}

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
        links.push(Link { evidence, position: state.chain_length, hash: state.chain_head.clone() });
    }
    links
}

fn judge(
    JobWithTargets { job, targets }: &JobWithTargets,
    facts: &FactsByCopy,
    now: DateTime<Utc>,
) -> Verdicts {
    let copies: Vec<Copy> = targets
        .iter()
        .map(|stored| Copy {
            target: stored.target.name.clone(),
            repository: stored.target.repository.clone(),
            place: stored.target.place.clone(),
            isolation: stored.target.isolation,
            primary: Some(&stored.target.name) == job.job.primary(),
            facts: facts.get(&(job.id, stored.id)).cloned().unwrap_or_default(),
        })
        .collect();
    compliance::evaluate(&Policy::from(&job.job), &copies, now)
}

async fn lock(transaction: &Transaction<'_>, jobs: &[JobId]) -> Result<BTreeMap<JobId, State>, Error> {
    let statement = "select job_id, chain_length, chain_head, verdicts from compliance
         where job_id = any($1) order by job_id for update";
    let statement = prepared(transaction, statement).await?;
    let jobs: Vec<i32> = jobs.iter().map(|job| job.0).collect();
    let rows = transaction.query(&statement, &[&jobs]).await?;
    rows.iter()
        .map(|row| {
            let state = State {
                chain_length: row.try_get("chain_length")?,
                chain_head: row.try_get("chain_head")?,
                answers: from_json(row, "verdicts")?,
            };
            Ok((JobId(row.try_get("job_id")?), state))
        })
        .collect()
}

async fn store(
    transaction: &Transaction<'_>,
    states: &BTreeMap<JobId, State>,
    judged: &[(JobId, Verdicts)],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let statement = "update compliance c set chain_length = j.chain_length, chain_head = j.chain_head, \
             policy_version = $7, evaluated_at = $8, due_at = j.due_at, compliant = j.compliant, verdicts = j.verdicts
         from unnest($1::integer[], $2::bigint[], $3::bytea[], $4::timestamptz[], $5::boolean[], $6::jsonb[])
             as j(job_id, chain_length, chain_head, due_at, compliant, verdicts)
         where c.job_id = j.job_id";
    let statement = prepared(transaction, statement).await?;
    let known: Vec<_> =
        judged.iter().filter_map(|(job, v)| states.get(job).map(|state| (job, state, v))).collect();
    let job: Vec<i32> = known.iter().map(|(job, _, _)| job.0).collect();
    let length: Vec<i64> = known.iter().map(|(_, state, _)| state.chain_length).collect();
    let head: Vec<&[u8]> = known.iter().map(|(_, state, _)| state.chain_head.as_slice()).collect();
    let due_at: Vec<_> = known.iter().map(|(_, _, verdicts)| verdicts.due_at).collect();
    let compliant: Vec<bool> = known.iter().map(|(_, _, verdicts)| verdicts.compliant()).collect();
    let verdicts: Vec<_> = known.iter().map(|(_, _, verdicts)| Json(&verdicts.verdicts)).collect();
    transaction
        .execute(&statement, &[&job, &length, &head, &due_at, &compliant, &verdicts, &POLICY_VERSION, &now])
        .await?;
    let changes: Vec<_> =
        known.iter().flat_map(|(job, state, v)| changes(**job, &state.answers, v)).collect();
    store_changes(transaction, &changes, now).await
}

struct Change<'a> {
    job: JobId,
    previous: Option<Answer>,
    verdict: &'a Verdict,
}

fn changes<'a>(job: JobId, before: &[Answered], after: &'a Verdicts) -> Vec<Change<'a>> {
    let answer_before = |rule: Rule| before.iter().find(|known| known.rule == rule).map(|known| known.answer);
    after
        .verdicts
        .iter()
        .map(|verdict| Change { job, previous: answer_before(verdict.rule), verdict })
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
    let statement =
        "insert into verdict_change (job_id, rule, previous, answer, reason, evidence, changed_at)
         select job_id, rule, previous, answer, reason,
             array(select jsonb_array_elements_text(evidence)::uuid), $7
         from unnest($1::integer[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[])
             as c(job_id, rule, previous, answer, reason, evidence)";
    let statement = prepared(transaction, statement).await?;
    let job: Vec<i32> = changes.iter().map(|change| change.job.0).collect();
    let rule: Vec<&str> = changes.iter().map(|change| change.verdict.rule.as_str()).collect();
    let previous: Vec<Option<&str>> =
        changes.iter().map(|change| change.previous.map(Answer::as_str)).collect();
    let answer: Vec<&str> = changes.iter().map(|change| change.verdict.answer.as_str()).collect();
    let reason: Vec<&str> = changes.iter().map(|change| change.verdict.reason.as_str()).collect();
    let evidence: Vec<_> = changes.iter().map(|change| Json(&change.verdict.evidence)).collect();
    transaction.execute(&statement, &[&job, &rule, &previous, &answer, &reason, &evidence, &now]).await?;
    Ok(())
}

/// The jobs whose evidence has expired since they were judged, at most `limit`.
pub async fn due<C: GenericClient>(client: &C, limit: i64) -> Result<Vec<JobId>, Error> {
    let statement = "select job_id from compliance where due_at <= now() order by due_at limit $1";
    let statement = prepared(client, statement).await?;
    let rows = client.query(&statement, &[&limit]).await?;
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

/// The verdicts of all active jobs, or of one.
pub async fn verdicts<C: GenericClient>(
    client: &C,
    job: Option<&crate::job::JobName>,
) -> Result<Vec<JobVerdicts>, Error> {
    let statement =
        "select j.name, j.definition ->> 'owner' as owner, c.compliant, c.evaluated_at, c.verdicts
         from compliance c join job j on j.id = c.job_id
         where j.active and ($1::text is null or j.name = $1) order by j.name";
    let statement = prepared(client, statement).await?;
    let rows = client.query(&statement, &[&job.map(crate::job::JobName::as_str)]).await?;
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
