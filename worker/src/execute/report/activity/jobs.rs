//! What the period came to for each job.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use serde::Serialize;
use shared::compliance::{Answer, Rule};
use shared::db::recovery::Gap;
use shared::db::rollup::Slice;
use shared::db::{self, job};
use shared::figures::Figures;
use shared::job::JobId;

use super::super::standing::{Judged, Stands};

/// A job's row.
#[derive(Debug, Serialize)]
pub(in crate::execute::report) struct JobRow {
    #[serde(skip)]
    pub(in crate::execute::report) id: JobId,
    pub(in crate::execute::report) job: String,
    /// Of one that is not active there is none.
    pub(in crate::execute::report) owner: Option<String>,
    pub(in crate::execute::report) stands: Option<Stands>,
    /// The answers in the order of the rules; empty where it was not judged.
    pub(in crate::execute::report) answers: Vec<OfRule>,
    #[serde(flatten)]
    pub(in crate::execute::report) figures: Figures,
    /// Whether its backups succeed less often than is demanded.
    pub(in crate::execute::report) too_few: bool,
    /// What it may lose at most, in seconds.
    pub(in crate::execute::report) rpo_seconds: Option<f64>,
    /// What it could have lost at the worst moment of the period, in seconds.
    pub(in crate::execute::report) rpo_achieved_seconds: Option<f64>,
    pub(in crate::execute::report) rpo_kept: Option<bool>,
    pub(in crate::execute::report) newest_data: Option<DateTime<Utc>>,
    pub(in crate::execute::report) unprotected_since: Option<DateTime<Utc>>,
}

/// The answer of one rule.
#[derive(Debug, Serialize)]
pub(in crate::execute::report) struct OfRule {
    pub(in crate::execute::report) rule: Rule,
    pub(in crate::execute::report) answer: Answer,
    pub(in crate::execute::report) reason: String,
    pub(in crate::execute::report) excepted: bool,
}

/// One row for each active job, and for each other one that did something; the worst first.
pub(super) async fn rows<C: GenericClient>(
    client: &C,
    judged: Vec<Judged>,
    gaps: &[Gap],
    mut attempts: BTreeMap<Option<JobId>, Vec<Slice>>,
    demanded: f64,
) -> Result<Vec<JobRow>, db::Error> {
    attempts.remove(&None);
    let gaps: HashMap<&str, &Gap> = gaps.iter().map(|gap| (gap.job.as_str(), gap)).collect();
    let mut rows = Vec::with_capacity(judged.len());
    for judged in judged {
        let figures = Figures::of(&attempts.remove(&Some(judged.id)).unwrap_or_default());
        rows.push(JobRow::of(judged, &gaps, figures, demanded));
    }
    // What is left was done for jobs that are not active any more.
    let others: Vec<JobId> = attempts.keys().flatten().copied().collect();
    let mut names = if others.is_empty() { HashMap::new() } else { job::names(client, &others).await? };
    for (id, slices) in attempts {
        let Some((id, name)) = id.and_then(|id| Some((id, names.remove(&id)?))) else { continue };
        let figures = Figures::of(&slices);
        if figures.backups > 0 {
            rows.push(JobRow::gone(id, name, figures, demanded));
        }
    }
    rows.sort_by(|one, other| {
        (other.badness(), &one.job)
            .partial_cmp(&(one.badness(), &other.job))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    Ok(rows)
}

impl JobRow {
    fn of(judged: Judged, gaps: &HashMap<&str, &Gap>, figures: Figures, demanded: f64) -> Self {
        let gap = gaps.get(judged.job.as_str());
        let answers = judged.verdicts.iter().map(|verdict| OfRule {
            rule: verdict.rule,
            answer: verdict.answer,
            reason: verdict.reason.clone(),
            excepted: judged.exception(verdict.rule).is_some(),
        });
        Self {
            id: judged.id,
            answers: answers.collect(),
            stands: Some(judged.stands),
            too_few: is_too_few(&figures, demanded),
            rpo_seconds: gap.map(|gap| gap.rpo.as_secs_f64()),
            rpo_achieved_seconds: gap.and_then(|gap| gap.seconds),
            rpo_kept: gap.map(|gap| gap.is_kept()),
            newest_data: judged.newest_data,
            unprotected_since: judged.unprotected_since,
            owner: Some(judged.owner),
            job: judged.job,
            figures,
        }
    }

    /// A job that is not active any more.
    fn gone(id: JobId, job: String, figures: Figures, demanded: f64) -> Self {
        Self {
            id,
            job,
            owner: None,
            stands: None,
            answers: Vec::new(),
            too_few: is_too_few(&figures, demanded),
            figures,
            rpo_seconds: None,
            rpo_achieved_seconds: None,
            rpo_kept: None,
            newest_data: None,
            unprotected_since: None,
        }
    }

    /// Backups that failed.
    pub(in crate::execute::report) fn failed(&self) -> u64 {
        self.figures.backups - self.figures.succeeded()
    }

    /// How bad it is: what does not follow the rule, then what is not protected, then the share that failed.
    fn badness(&self) -> (u8, bool, bool, f64) {
        let stands = match self.stands {
            Some(Stands::Fails) => 2,
            Some(Stands::Unknown) => 1,
            Some(Stands::Follows) | None => 0,
        };
        (
            stands,
            self.unprotected_since.is_some(),
            self.too_few,
            1.0 - self.figures.success_rate.unwrap_or(1.0),
        )
    }
}

fn is_too_few(figures: &Figures, demanded: f64) -> bool {
    figures.success_rate.is_some_and(|rate| rate < demanded)
}
