//! What each report says, for programs: the JSON of a report. Pages, paper and lists are made of it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use shared::work::{ReportKind, ReportParams, Span};

use super::words;

/// What every report begins with.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Head {
    pub(super) report: ReportKind,
    /// What it is called, with its period.
    pub(super) title: String,
    /// The days in UTC that it covers.
    pub(super) period: Span,
    /// The days that it is compared with.
    pub(super) before: Span,
    /// The only job that it is about.
    pub(super) job: Option<String>,
    /// The owner of the only jobs that it is about.
    pub(super) owner: Option<String>,
    /// When its facts were read: verdicts and what is open are of this moment.
    pub(super) made_at: DateTime<Utc>,
}

impl Head {
    /// # Errors
    /// Nothing lies before the period.
    pub(super) fn new(params: &ReportParams, period: Span, made_at: DateTime<Utc>) -> Result<Self, String> {
        Ok(Self {
            report: params.report,
            title: title(params.report, period),
            period,
            before: period.before(params.report)?,
            job: params.job.as_ref().map(ToString::to_string),
            owner: params.owner.as_ref().map(|owner| owner.as_str().to_owned()),
            made_at,
        })
    }

    /// The days of its period.
    pub(super) fn days(&self) -> String {
        let Span { from, to } = self.period;
        if from == to {
            from.format("%A, %-d %B %Y").to_string()
        } else {
            format!("{} to {}", words::day(from), words::day(to))
        }
    }

    /// Its period, and whom it is about.
    pub(super) fn subtitle(&self) -> String {
        let mut text = format!("{}, UTC", self.days());
        if let Some(job) = &self.job {
            text = format!("{text} · job {job}");
        }
        if let Some(owner) = &self.owner {
            text = format!("{text} · jobs of {owner}");
        }
        text
    }
}

fn title(report: ReportKind, period: Span) -> String {
    let Span { from, to } = period;
    let days = period.days();
    let name = match report {
        ReportKind::Daily | ReportKind::Weekly | ReportKind::Monthly => "Backups",
        ReportKind::Compliance => "Compliance with the 3-2-1-1-0 rule",
        ReportKind::Audit => "Audit",
    };
    let is_month = from.format("%d").to_string() == "01"
        && to.succ_opt().is_some_and(|next| next.format("%d").to_string() == "01")
        && days <= 31;
    let is_week = days == 7 && from.format("%u").to_string() == "1";
    if days == 1 {
        format!("{name}, {from}")
    } else if is_month {
        format!("{name}, {}", from.format("%B %Y"))
    } else if is_week {
        format!("{name}, week {}", from.format("%V of %G"))
    } else {
        format!("{name}, {from} to {to}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_names_the_day_the_week_the_month_or_both_ends() {
        let title = |report, from: &str, to: &str| {
            title(report, Span { from: from.parse().unwrap(), to: to.parse().unwrap() })
        };
        assert_eq!(title(ReportKind::Daily, "2026-11-26", "2026-11-26"), "Backups, 2026-11-26");
        assert_eq!(title(ReportKind::Weekly, "2025-12-29", "2026-01-04"), "Backups, week 01 of 2026");
        assert_eq!(title(ReportKind::Monthly, "2024-02-01", "2024-02-29"), "Backups, February 2024");
        assert_eq!(title(ReportKind::Audit, "2026-01-01", "2026-12-31"), "Audit, 2026-01-01 to 2026-12-31");
    }
}
