//! A report that is made again and again, as users write it.

use shared::schedule::Schedule;
use shared::work::{ReportKind, ReportName, ReportParams};

use super::fields::Fields;
use super::schedule;
use super::values::parsed;

/// A report that is made again and again.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What its schedule is called.
    pub name: ReportName,
    /// Which report.
    pub report: ReportKind,
    /// When it is made.
    pub schedule: Schedule,
}

impl Report {
    /// What the tasks of its schedule are to make: the report of the day on which they run.
    #[must_use]
    pub fn params(&self) -> ReportParams {
        ReportParams { report: self.report, day: None }
    }
}

/// Reads an entry of the list `reports`; `None` when a problem was noted.
pub(super) fn read(mut fields: Fields<'_, '_>) -> Option<Report> {
    let name = fields.required("name", parsed);
    let report = fields.required("report", parsed);
    let schedule = fields.required_below("schedule", "must be a mapping with cron or every");
    let schedule = schedule.and_then(schedule::read);
    fields.finish();
    Some(Report { name: name?.value, report: report?.value, schedule: schedule? })
}
