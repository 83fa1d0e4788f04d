//! The main list of a report, for spreadsheets: one row a line, figures as they are (bytes, seconds, shares, UTC).

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use csv::Writer;
use shared::compliance::{Held, Rule};
use shared::evidence::EvidenceId;
use shared::figures::Figures;

use super::activity::{Activity, JobRow};
use super::audit::{self, Audit};
use super::compliance::Compliance;
use super::standing::{Judged, Stands};

/// A spreadsheet takes what begins with one of these for a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// One row a job.
pub(super) fn activity(activity: &Activity) -> anyhow::Result<Vec<u8>> {
    let mut header: Vec<String> = ["job", "owner", "stands"].map(str::to_owned).into();
    header.extend(Rule::ALL.iter().map(ToString::to_string));
    let figures = [
        "backups",
        "success_rate",
        "p50_seconds",
        "p95_seconds",
        "source_bytes",
        "stored_bytes",
        "rpo_seconds",
        "rpo_achieved_seconds",
        "rpo_kept",
        "newest_data",
    ];
    header.extend(figures.map(str::to_owned));
    written(&header, activity.jobs().iter().map(job))
}

fn job(row: &JobRow) -> Vec<String> {
    let JobRow { job, owner, stands, answers, figures, .. } = row;
    let Figures { backups, success_rate, source_bytes, storage_growth, durations, .. } = figures;
    let mut cells = vec![
        text(job),
        text(owner.as_deref().unwrap_or_default()),
        stands.map(word).unwrap_or_default().to_owned(),
    ];
    cells.extend(Rule::ALL.iter().map(|rule| {
        let answer = answers.iter().find(|of| of.rule == *rule);
        answer.map(|of| of.answer.to_string()).unwrap_or_default()
    }));
    cells.extend([
        backups.to_string(),
        number(*success_rate),
        number(durations.p50_seconds),
        number(durations.p95_seconds),
        source_bytes.to_string(),
        storage_growth.to_string(),
        number(row.rpo_seconds),
        number(row.rpo_achieved_seconds),
        row.rpo_kept.map(|kept| kept.to_string()).unwrap_or_default(),
        row.newest_data.map(|time| time.to_rfc3339()).unwrap_or_default(),
    ]);
    cells
}

/// One row a job and rule.
pub(super) fn compliance(compliance: &Compliance) -> anyhow::Result<Vec<u8>> {
    let header = [
        "job",
        "owner",
        "stands",
        "rule",
        "answer",
        "reason",
        "expires_at",
        "evidence",
        "evidence_observed_at",
        "evidence_expires_at",
        "exception_reason",
        "exception_owner",
        "exception_until",
    ];
    let rows = compliance.jobs.iter().flat_map(|judged| Rule::ALL.iter().map(|rule| verdict(judged, *rule)));
    written(&header.map(str::to_owned), rows)
}

fn verdict(judged: &Judged, rule: Rule) -> Vec<String> {
    let verdict = judged.verdicts.iter().find(|verdict| verdict.rule == rule);
    let exception = judged.exception(rule);
    let pieces: Vec<EvidenceId> = verdict.iter().flat_map(|verdict| &verdict.evidence).copied().collect();
    // One word for each piece, in the same order. One piece may say several things; what ends first counts.
    let of_each = |what: fn(&Held) -> Option<DateTime<Utc>>| {
        let of = |id| judged.evidence.iter().map(|of| &of.held).filter(move |held| held.evidence == id);
        let moment = |id| of(id).filter_map(what).min().map(|moment| moment.to_rfc3339());
        cells(pieces.iter().map(|id| moment(*id).unwrap_or_else(|| "none".to_owned())))
    };
    vec![
        text(&judged.job),
        text(&judged.owner),
        word(judged.stands).to_owned(),
        rule.to_string(),
        verdict.map(|verdict| verdict.answer.to_string()).unwrap_or_default(),
        text(verdict.map(|verdict| verdict.reason.as_str()).unwrap_or_default()),
        verdict.and_then(|verdict| verdict.expires_at).map(|time| time.to_rfc3339()).unwrap_or_default(),
        cells(pieces.iter().map(ToString::to_string)),
        of_each(|held| Some(held.observed_at)),
        of_each(|held| held.expires_at),
        text(exception.map(|exception| exception.reason.as_str()).unwrap_or_default()),
        text(exception.map(|exception| exception.owner.as_str()).unwrap_or_default()),
        exception.map(|exception| exception.until.to_string()).unwrap_or_default(),
    ]
}

/// One row a change.
pub(super) fn audit(audit: &Audit) -> anyhow::Result<Vec<u8>> {
    let header = ["at", "actor", "by", "action", "subject", "name", "changed"];
    let rows = audit.changes.iter().map(|change| {
        vec![
            change.at.to_rfc3339(),
            text(&change.actor),
            audit::way(change.over_http).to_owned(),
            text(&change.action),
            text(&change.subject),
            text(&change.name),
            text(&audit::difference(change)),
        ]
    });
    written(&header.map(str::to_owned), rows)
}

fn written(header: &[String], rows: impl Iterator<Item = Vec<String>>) -> anyhow::Result<Vec<u8>> {
    let mut writer = Writer::from_writer(Vec::new());
    writer.write_record(header)?;
    for row in rows {
        writer.write_record(row)?;
    }
    writer.into_inner().map_err(csv::IntoInnerError::into_error).context("writing the list")
}

const fn word(stands: Stands) -> &'static str {
    match stands {
        Stands::Fails => "fails",
        Stands::Unknown => "unknown",
        Stands::Follows => "follows",
    }
}

fn number(number: Option<f64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

/// Several words in one cell.
fn cells(words: impl Iterator<Item = String>) -> String {
    text(&words.collect::<Vec<_>>().join(" "))
}

/// What people have written: never a formula.
fn text(text: &str) -> String {
    if text.starts_with(FORMULA) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_becomes_a_formula() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"] {
            assert_eq!(text(formula), format!("'{formula}"));
        }
        assert_eq!(text("docs"), "docs");
    }
}
