//! What reports there are, and which time one of them covers.

use chrono::{DateTime, NaiveDate, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde_json::{Map, Value};

use super::span::{Month, Span, Week, is_reasonable};
use super::values::{optional, text, word};
use crate::channel::ChannelName;
use crate::job::JobName;
use crate::limit::Label;
use crate::name::{self, text_enum};

/// The longest period of a report, in days: a year.
pub const LONGEST_PERIOD: u64 = 366;
/// The most channels that a report is sent by.
pub const MOST_CHANNELS: usize = 10;

text_enum! {
    /// The reports that can be asked for.
    #[derive(Default)]
    ReportKind {
        /// One day: backups, verdicts, what needs attention.
        #[default]
        Daily = "daily",
        /// A week: success, growth, durations, recovery points, the jobs that are worst off.
        Weekly = "weekly",
        /// A month, likewise.
        Monthly = "monthly",
        /// Each job with its five verdicts, the evidence behind them, and its exceptions.
        Compliance = "compliance",
        /// Who changed what, and what was restored.
        Audit = "audit",
    }
}

text_enum! {
    /// What a report is written as.
    ReportFormat {
        /// A page for people that needs nothing else.
        Html = "html",
        /// The same on paper.
        Pdf = "pdf",
        /// The main list, for spreadsheets.
        Csv = "csv",
        /// All facts, for programs.
        Json = "json",
    }
}

impl ReportFormat {
    /// How a file of this format is announced to whoever receives it.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Pdf => "application/pdf",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Json => "application/json",
        }
    }
}

text_enum! {
    /// Which day, week or month, counted from when the report is asked for.
    Relative {
        /// The one in which it is asked for.
        Current = "current",
        /// The one before.
        Previous = "previous",
    }
}

/// Parameters of `report`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(extend("description" = "Parameters of `report`. Of day, week, month, from with to, and period one at most is given"))]
pub struct ReportParams {
    /// Which report.
    #[schemars(with = "Option<ReportKind>")]
    pub report: ReportKind,
    /// The time that it covers.
    #[serde(flatten)]
    pub period: Period,
    /// Only about this job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobName>,
    /// Only about jobs of this owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", length(min = 1, max = 200))]
    pub owner: Option<Label>,
    /// The e-mail channels by which it is sent when it is made; several are a list, or one text with commas.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default, schema_with = "channels")]
    pub mail_to: Vec<ChannelName>,
}

/// The time that a report is asked to cover; what its kind has by itself when nothing is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Period {
    /// A day in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<NaiveDate>,
    /// An ISO week such as `2026-W47`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", regex(pattern = r"^[0-9]{4}-W[0-9]{2}$"))]
    pub week: Option<Week>,
    /// A month such as `2026-11`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", regex(pattern = r"^[0-9]{4}-[0-9]{2}$"))]
    pub month: Option<Month>,
    /// The first day of any period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<NaiveDate>,
    /// Its last day; 366 days at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<NaiveDate>,
    /// The day, week or month in which it is asked for, or the one before.
    #[serde(rename = "period", skip_serializing_if = "Option::is_none")]
    #[schemars(rename = "period")]
    pub relative: Option<Relative>,
}

impl ReportParams {
    /// Reads the parameters; those that are not known are ignored.
    ///
    /// # Errors
    /// Names the parameter that is wrong.
    pub fn read(params: &Map<String, Value>) -> Result<Self, String> {
        let report = optional(params, "report", word)?.unwrap_or_default();
        let period = Period {
            day: optional(params, "day", date)?,
            week: optional(params, "week", word)?,
            month: optional(params, "month", word)?,
            from: optional(params, "from", date)?,
            to: optional(params, "to", date)?,
            relative: optional(params, "period", word)?,
        };
        period.fits(report)?;
        Ok(Self {
            report,
            period,
            job: optional(params, "job", word)?,
            owner: optional(params, "owner", word)?,
            mail_to: optional(params, "mail_to", channel_names)?.unwrap_or_default(),
        })
    }

    /// The days that the report covers when it is asked for at `asked_at`.
    ///
    /// # Errors
    /// The calendar ends there.
    pub fn span(&self, asked_at: DateTime<Utc>) -> Result<Span, String> {
        let today = asked_at.date_naive();
        let Period { day, week, month, from, to, relative } = &self.period;
        if let Some((from, to)) = (*from).zip(*to) {
            return Ok(Span { from, to });
        }
        if let Some(day) = day {
            return Ok(Span { from: *day, to: *day });
        }
        if let Some(Week(monday)) = week {
            return Span::week(*monday);
        }
        if let Some(Month(first)) = month {
            return Span::month(*first);
        }
        let which = relative.unwrap_or(match self.report {
            ReportKind::Daily | ReportKind::Compliance => Relative::Current,
            ReportKind::Weekly | ReportKind::Monthly | ReportKind::Audit => Relative::Previous,
        });
        let span = match self.report {
            ReportKind::Daily => Span { from: today, to: today },
            ReportKind::Weekly => Span::week(today)?,
            ReportKind::Monthly | ReportKind::Compliance | ReportKind::Audit => Span::month(today)?,
        };
        match which {
            Relative::Current => Ok(span),
            Relative::Previous => span.before(self.report),
        }
    }

    /// Checks what depends on the time at which the task was received.
    ///
    /// # Errors
    /// Names the parameter that is wrong.
    pub(super) fn check(&self, received_at: DateTime<Utc>) -> Result<(), String> {
        let span = self.span(received_at)?;
        if span.from > received_at.date_naive() {
            let field = self.period.field().unwrap_or("period");
            return Err(format!("{field}: begins on {}, which is not yet", span.from));
        }
        Ok(())
    }
}

impl Period {
    /// The field that says which.
    fn field(&self) -> Option<&'static str> {
        self.fields().first().copied()
    }

    fn fields(&self) -> Vec<&'static str> {
        let said = [
            ("day", self.day.is_some()),
            ("week", self.week.is_some()),
            ("month", self.month.is_some()),
            ("from", self.from.is_some()),
            ("to", self.to.is_some()),
            ("period", self.relative.is_some()),
        ];
        said.into_iter().filter_map(|(field, said)| said.then_some(field)).collect()
    }

    fn fits(&self, report: ReportKind) -> Result<(), String> {
        match self.fields().as_slice() {
            [] | ["period"] => {}
            ["from", "to"] => self.is_short()?,
            ["from"] => return Err("to: is missing beside from".to_owned()),
            ["to"] => return Err("from: is missing beside to".to_owned()),
            [field] => {
                let fits = match report {
                    ReportKind::Daily => *field == "day",
                    ReportKind::Weekly => *field == "week",
                    ReportKind::Monthly => *field == "month",
                    ReportKind::Compliance | ReportKind::Audit => true,
                };
                if !fits {
                    return Err(format!("{field}: does not fit a {report} report"));
                }
            }
            [one, other, ..] => return Err(format!("{other}: is one too many beside {one}")),
        }
        Ok(())
    }

    fn is_short(&self) -> Result<(), String> {
        let (Some(from), Some(to)) = (self.from, self.to) else { return Ok(()) };
        if to < from {
            return Err("to: is before from".to_owned());
        }
        if (Span { from, to }).days() > LONGEST_PERIOD {
            return Err(format!("to: lies more than {LONGEST_PERIOD} days after from"));
        }
        Ok(())
    }
}

fn date(value: &Value) -> Result<NaiveDate, String> {
    let day: Option<NaiveDate> = text(value)?.parse().ok();
    day.filter(|day| is_reasonable(*day)).ok_or_else(|| "is no date such as 2026-11-23".to_owned())
}

fn channel_names(value: &Value) -> Result<Vec<ChannelName>, String> {
    let names: Vec<&str> = match value {
        Value::Array(names) => names.iter().map(text).collect::<Result<_, _>>()?,
        value => text(value)?.split(',').map(str::trim).collect(),
    };
    if names.len() > MOST_CHANNELS {
        return Err(format!("has more than {MOST_CHANNELS} channels"));
    }
    let mut channels: Vec<ChannelName> = Vec::new();
    for name in names {
        let channel = name.parse().map_err(|error: name::InvalidName| error.to_string())?;
        if channels.contains(&channel) {
            return Err(format!("{channel} stands there twice"));
        }
        channels.push(channel);
    }
    Ok(channels)
}

fn channels(_: &mut SchemaGenerator) -> Schema {
    let names = r"^\s*[A-Za-z0-9][A-Za-z0-9._-]{0,62}\s*(,\s*[A-Za-z0-9][A-Za-z0-9._-]{0,62}\s*)*$";
    json_schema!({
        "anyOf": [
            { "type": "array", "items": { "type": "string", "pattern": name::PATTERN }, "maxItems": MOST_CHANNELS,
                "uniqueItems": true },
            { "type": "string", "pattern": names },
            { "type": "null" },
        ],
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(params: &Value) -> Result<ReportParams, String> {
        ReportParams::read(params.as_object().unwrap())
    }

    /// The days of a report that is asked for on Thursday, 2026-11-26.
    fn days(params: &Value) -> String {
        let span = read(params).unwrap().span("2026-11-26T23:59:59Z".parse().unwrap()).unwrap();
        format!("{} {}", span.from, span.to)
    }

    #[test]
    fn each_kind_has_a_period_of_its_own() {
        for (params, expected) in [
            (json!({}), "2026-11-26 2026-11-26"),
            (json!({ "day": "2024-02-29" }), "2024-02-29 2024-02-29"),
            (json!({ "period": "previous" }), "2026-11-25 2026-11-25"),
            (json!({ "report": "weekly" }), "2026-11-16 2026-11-22"),
            (json!({ "report": "weekly", "period": "current" }), "2026-11-23 2026-11-29"),
            (json!({ "report": "weekly", "week": "2026-W01" }), "2025-12-29 2026-01-04"),
            (json!({ "report": "monthly" }), "2026-10-01 2026-10-31"),
            (json!({ "report": "monthly", "month": "2024-02" }), "2024-02-01 2024-02-29"),
            (json!({ "report": "compliance" }), "2026-11-01 2026-11-30"),
            (json!({ "report": "audit", "from": "2025-01-01", "to": "2026-01-01" }), "2025-01-01 2026-01-01"),
        ] {
            assert_eq!(days(&params), expected, "{params}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        for (params, field) in [
            (json!({ "report": "yearly" }), "report: "),
            (json!({ "day": "2026-02-30" }), "day: "),
            (json!({ "day": 5 }), "day: "),
            (json!({ "report": "weekly", "week": "2026-W54" }), "week: "),
            (json!({ "report": "weekly", "week": "2026-47" }), "week: "),
            (json!({ "report": "monthly", "month": "2026-13" }), "month: "),
            (json!({ "report": "weekly", "day": "2026-11-23" }), "day: does not fit"),
            (json!({ "from": "2026-11-23" }), "to: is missing"),
            (json!({ "to": "2026-11-23" }), "from: is missing"),
            (json!({ "from": "2026-11-23", "to": "2026-11-22" }), "to: is before"),
            (json!({ "from": "2024-01-01", "to": "2025-01-01" }), "to: lies more than 366 days"),
            (json!({ "day": "2026-11-23", "period": "current" }), "period: is one too many"),
            (json!({ "period": "next" }), "period: "),
            (json!({ "job": "../etc" }), "job: "),
            (json!({ "owner": "" }), "owner: "),
            (json!({ "mail_to": "ops@example.org" }), "mail_to: "),
            (json!({ "mail_to": ["ops", "ops"] }), "mail_to: "),
            (json!({ "mail_to": 1 }), "mail_to: "),
        ] {
            let refused = read(&params).unwrap_err();
            assert!(refused.starts_with(field), "{params}: {refused}");
        }
    }

    #[test]
    fn a_period_that_has_not_begun_is_refused() {
        let now = "2026-11-26T12:00:00Z".parse().unwrap();
        assert!(read(&json!({ "day": "2026-11-26" })).unwrap().check(now).is_ok());
        let refused = read(&json!({ "day": "2026-11-27" })).unwrap().check(now).unwrap_err();
        assert!(refused.starts_with("day: "), "{refused}");
    }

    #[test]
    fn what_was_before_is_of_the_same_length_or_the_month_before() {
        let before = |params: &Value| {
            let params = read(params).unwrap();
            let span = params.span("2026-11-26T00:00:00Z".parse().unwrap()).unwrap();
            let span = span.before(params.report).unwrap();
            format!("{} {}", span.from, span.to)
        };
        assert_eq!(before(&json!({ "report": "monthly", "month": "2026-03" })), "2026-02-01 2026-02-28");
        assert_eq!(before(&json!({ "report": "weekly", "week": "2026-W47" })), "2026-11-09 2026-11-15");
        assert_eq!(before(&json!({ "from": "2026-03-02", "to": "2026-03-04" })), "2026-02-27 2026-03-01");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let all = json!({ "report": "weekly", "week": "2026-W47", "owner": "ops & co", "job": "docs", "mail_to": ["a", "b"] });
        assert_eq!(json!(read(&all).unwrap()), all);
        let texts = json!({ "mail_to": "a, b" });
        assert_eq!(read(&texts).unwrap().mail_to.len(), 2);
        assert_eq!(json!(read(&json!({})).unwrap()), json!({ "report": "daily" }));
    }
}
