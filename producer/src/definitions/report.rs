//! A report that is made again and again, as users write it.

use shared::channel::ChannelName;
use shared::job::JobName;
use shared::schedule::Schedule;
use shared::work::{MOST_CHANNELS, Period, ReportName, ReportParams};

use super::fields::{Fields, Located};
use super::schedule;
use super::values::{distinct, parsed};

/// A report that is made again and again.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// What its schedule is called.
    pub name: ReportName,
    /// Which report about what, and who gets it: the parameters of its tasks.
    pub params: ReportParams,
    /// When it is made.
    pub schedule: Schedule,
}

/// What reports name.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) jobs: Vec<Located<JobName>>,
    pub(super) channels: Vec<Located<ChannelName>>,
}

/// Reads an entry of the list `reports`, and notes what it names; `None` when a problem was noted.
pub(super) fn read(mut fields: Fields<'_, '_>, named: &mut Named) -> Option<Report> {
    let before = fields.problems();
    let name = fields.required("name", parsed);
    let report = fields.required("report", parsed);
    let relative = fields.optional("period", parsed);
    let job = fields.located("job", parsed::<JobName>);
    named.jobs.extend(job.clone());
    let owner = fields.optional("owner", parsed);
    let mail_to = fields.optional_list("mail_to", parsed);
    named.channels.extend(mail_to.iter().cloned());
    let mail_to = distinct(&mut fields, "mail_to", mail_to, ChannelName::as_str);
    if mail_to.len() > MOST_CHANNELS {
        fields.problem(0, "mail_to", format!("has more than {MOST_CHANNELS} items"));
    }
    let schedule = fields.required_below("schedule", "must be a mapping with cron or every");
    let schedule = schedule.and_then(schedule::read);
    let fine = fields.problems() == before;
    fields.finish();
    let period = Period { relative, ..Period::default() };
    let params =
        ReportParams { report: report?.value, period, job: job.map(|job| job.value), owner, mail_to };
    fine.then_some(Report { name: name?.value, params, schedule: schedule? })
}
