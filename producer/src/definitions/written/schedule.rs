//! Schedules and reports as users write them.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use shared::channel::ChannelName;
use shared::job::JobName;
use shared::limit::Label;
use shared::schedule::{self, CatchUp, Day, Overlap, When};
use shared::work::{MOST_CHANNELS, Relative, ReportKind, ReportName};

use super::values::{Length, catch_up, clock, delay, label, name, text, words};
use crate::definitions;

/// When work is due, and what becomes of it when that is not possible.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields, extend("oneOf" = [{ "required": ["cron"] }, { "required": ["every"] }]))]
pub struct Schedule {
    /// A cron expression of five fields, or six with seconds first, or a nickname such as `@daily`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "text")]
    cron: Option<String>,
    /// An interval of a second at least, at whole multiples since the beginning of 1970 in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, with = "Length")]
    every: Option<Length>,
    /// By whose clock, such as `Europe/Berlin`.
    #[schemars(default = "utc", schema_with = "text")]
    timezone: String,
    /// What becomes of due times that were missed: `none` (they are passed over), `latest` (the last one is worked on) or
    /// `all(N)` (the last N are).
    #[schemars(default = "latest", schema_with = "catch_up")]
    catch_up: String,
    /// Within which time after a due time the work starts, at most 24h: always by the same length for the same name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "delay")]
    jitter: Option<Length>,
    /// What becomes of a due time while the work of the one before it is not done: it is passed over, it waits, or both are
    /// worked on at once.
    #[schemars(default = "skip", schema_with = "overlap")]
    overlap: Overlap,
    /// When nothing is due: what would be is due at the end, once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    blackouts: Vec<Blackout>,
}

/// A time of the day, on some days of the week or on all.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Blackout {
    /// When it begins, such as `22:00`.
    #[schemars(schema_with = "clock")]
    from: String,
    /// When it ends: on the next day where that is not after its beginning.
    #[schemars(schema_with = "clock")]
    until: String,
    /// The days on which it begins; all when absent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default, schema_with = "days")]
    days: Vec<Day>,
}

/// A report that is made again and again.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Report {
    /// What its schedule is called.
    #[schemars(schema_with = "name")]
    name: ReportName,
    /// Which report.
    #[serde(rename = "report")]
    #[schemars(schema_with = "reports")]
    kind: ReportKind,
    /// Whether it is about the day, week or month in which it is made or the one before; `daily` and `compliance` are about the
    /// current one without it, the others about the previous one. `compliance` and `audit` are about months.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "periods")]
    period: Option<Relative>,
    /// Only about this job.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "name")]
    job: Option<JobName>,
    /// Only about jobs of this owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(default, schema_with = "label")]
    owner: Option<Label>,
    /// The e-mail channels by which it is sent when it is made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default, schema_with = "channels")]
    mail_to: Vec<ChannelName>,
    /// When it is made.
    schedule: Schedule,
}

impl From<&schedule::Schedule> for Schedule {
    fn from(schedule: &schedule::Schedule) -> Self {
        let schedule::Schedule { when, timezone, catch_up, jitter, overlap, blackouts } = schedule;
        let (cron, every) = match when {
            When::Cron(cron) => (Some(cron.to_string()), None),
            When::Every(every) => (None, Some(Length(*every))),
        };
        Self {
            cron,
            every,
            timezone: timezone.to_string(),
            catch_up: match catch_up {
                CatchUp::None => "none".to_owned(),
                CatchUp::Latest => latest(),
                CatchUp::All(most) => format!("all({most})"),
            },
            jitter: (!jitter.is_zero()).then_some(Length(*jitter)),
            overlap: *overlap,
            blackouts: blackouts.iter().map(Blackout::from).collect(),
        }
    }
}

impl From<&schedule::Blackout> for Blackout {
    fn from(blackout: &schedule::Blackout) -> Self {
        let schedule::Blackout { from, until, days } = blackout;
        Self { from: from.to_string(), until: until.to_string(), days: days.clone() }
    }
}

impl From<&definitions::Report> for Report {
    fn from(report: &definitions::Report) -> Self {
        let definitions::Report { name, params, schedule } = report;
        Self {
            name: name.clone(),
            kind: params.report,
            period: params.period.relative,
            job: params.job.clone(),
            owner: params.owner.clone(),
            mail_to: params.mail_to.clone(),
            schedule: schedule.into(),
        }
    }
}

fn utc() -> String {
    chrono_tz::Tz::default().to_string()
}

fn latest() -> String {
    "latest".to_owned()
}

fn skip() -> Overlap {
    Overlap::default()
}

fn overlap(_: &mut SchemaGenerator) -> Schema {
    words(Overlap::ALL)
}

fn days(_: &mut SchemaGenerator) -> Schema {
    let days = words(Day::ALL);
    schemars::json_schema!({ "type": "array", "items": days })
}

fn periods(_: &mut SchemaGenerator) -> Schema {
    words(Relative::ALL)
}

fn channels(generator: &mut SchemaGenerator) -> Schema {
    let name = name(generator);
    schemars::json_schema!({ "type": "array", "items": name, "maxItems": MOST_CHANNELS, "uniqueItems": true })
}

fn reports(_: &mut SchemaGenerator) -> Schema {
    words(ReportKind::ALL)
}
