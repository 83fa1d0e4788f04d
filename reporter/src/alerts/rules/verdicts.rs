//! What the evidence of jobs says of them: whether they keep the five rules, and whether anybody still looks.

use chrono::TimeDelta;
use shared::alert::Rule;
use shared::compliance::Answer;

use super::super::finding::Finding;
use super::super::jobs::JobFacts;
use super::Context;

/// Looks at all active jobs.
pub(super) fn find(context: &Context<'_>) -> Vec<Finding> {
    let of_job = |job| {
        let answers = [
            (Rule::VerdictFailing, Answer::Fail, "does not keep"),
            (Rule::VerdictUnknown, Answer::Unknown, "is not known to keep"),
            (Rule::VerdictExpiring, Answer::Warning, "will soon not be known to keep"),
        ];
        let verdicts = answers.map(|(rule, answer, says)| verdict(context, job, rule, answer, says));
        verdicts.into_iter().flatten().chain(overdue(context, job))
    };
    context.jobs.all().flat_map(of_job).collect()
}

fn verdict(context: &Context<'_>, job: &JobFacts, rule: Rule, answer: Answer, says: &str) -> Option<Finding> {
    let setting = context.of_job(rule, job)?;
    let such = || job.judged.verdicts.iter().filter(|(_, given, _)| *given == answer);
    let rules: Vec<&str> = such().map(|(rule, ..)| rule.as_str()).collect();
    if rules.is_empty() {
        return None;
    }
    let reasons: Vec<String> = such().map(|(rule, _, reason)| format!("{rule}: {reason}")).collect();
    let summary = format!("{} {says} {}", job.name, rules.join(", "));
    Some(Finding::of_job(rule, &setting, job, &summary).with_detail(&reasons.join("; ")))
}

/// Copies that were not verified within their windows. What another system backs up nobody can verify.
fn overdue(context: &Context<'_>, job: &JobFacts) -> Option<Finding> {
    let setting = context.of_job(Rule::VerificationOverdue, job)?;
    if job.is_reported {
        return None;
    }
    let copies = job.targets.iter().filter_map(|target| Some((target, job.judged.checks.get(target)?)));
    let overdue: Vec<String> = copies
        .flat_map(|(target, checks)| {
            let late = job.windows.iter().filter(|(level, window)| {
                // One that was never made is late when the job is older than that.
                let checked_at = checks.get(level).copied().unwrap_or(job.created_at);
                context.now - checked_at > TimeDelta::from_std(*window).unwrap_or(TimeDelta::MAX)
            });
            late.map(move |(level, _)| format!("{level} on {target}"))
        })
        .collect();
    if overdue.is_empty() {
        return None;
    }
    let summary = format!("the verification of {} is overdue: {}", job.name, overdue.join(", "));
    Some(Finding::of_job(Rule::VerificationOverdue, &setting, job, &summary))
}
