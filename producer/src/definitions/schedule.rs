//! A schedule as users write it.

use std::time::Duration;

use chrono::DateTime;
use chrono_tz::Tz;
use shared::schedule::{Blackout, CatchUp, MOST_CATCH_UP, SHORTEST, Schedule, When};

use super::fields::Fields;
use super::node::Value;
use super::values::{duration, parsed, period, text};

/// The longest jitter: beyond a day nobody would know any more which due time a start belongs to.
const LONGEST_JITTER: Duration = Duration::from_hours(24);

/// The most blackouts of a schedule.
const MOST_BLACKOUTS: usize = 20;

/// Reads a schedule; `None` when a problem was noted.
pub(super) fn read(mut fields: Fields<'_, '_>) -> Option<Schedule> {
    let before = fields.problems();
    let cron = fields.optional("cron", parsed).map(When::Cron);
    let every = fields.optional("every", interval).map(When::Every);
    let when = match (cron, every) {
        (Some(when), None) | (None, Some(when)) => Some(when),
        _ => {
            if fields.problems() == before {
                fields.reject("needs one of cron and every");
            }
            None
        }
    };
    let timezone = fields.optional("timezone", timezone).unwrap_or_default();
    let catch_up = fields.optional("catch_up", catch_up).unwrap_or_default();
    let jitter = fields.optional("jitter", jitter).unwrap_or_default();
    let overlap = fields.optional("overlap", parsed).unwrap_or_default();
    let blackouts = blackouts(&mut fields);
    let schedule = when.map(|when| Schedule { when, timezone, catch_up, jitter, overlap, blackouts });
    // The first due time of all that are conceivable: an expression alone has one.
    let is_empty =
        |schedule: &Schedule| !schedule.blackouts.is_empty() && schedule.next(DateTime::UNIX_EPOCH).is_none();
    if fields.problems() == before && schedule.as_ref().is_some_and(is_empty) {
        fields.problem(0, "blackouts", "leave no time in which anything could be due");
    }
    let fine = fields.problems() == before;
    fields.finish();
    schedule.filter(|_| fine)
}

fn blackouts(fields: &mut Fields<'_, '_>) -> Vec<Blackout> {
    let blackouts: Vec<Blackout> = fields
        .each_below("blackouts", |mut fields| {
            let (from, until) = (fields.required("from", parsed), fields.required("until", parsed));
            let days = fields.optional_list("days", parsed).into_iter().map(|day| day.value).collect();
            fields.finish();
            Some(Blackout { from: from?.value, until: until?.value, days })
        })
        .into_iter()
        .flatten()
        .collect();
    // Each due time is looked for in all of them.
    if blackouts.len() > MOST_BLACKOUTS {
        fields.problem(0, "blackouts", format!("are more than {MOST_BLACKOUTS}"));
        return Vec::new();
    }
    blackouts
}

fn interval(value: &Value) -> Result<Duration, String> {
    let every = period(value)?;
    if every < SHORTEST { Err("is shorter than a second".to_owned()) } else { Ok(every) }
}

fn jitter(value: &Value) -> Result<Duration, String> {
    let jitter = duration(value)?;
    if jitter > LONGEST_JITTER { Err("is longer than 24h".to_owned()) } else { Ok(jitter) }
}

/// The name of a time zone.
pub(super) fn timezone(value: &Value) -> Result<Tz, String> {
    let text = text(value)?;
    text.parse().map_err(|_| format!("{text:?} is no time zone such as Europe/Berlin or UTC"))
}

fn catch_up(value: &Value) -> Result<CatchUp, String> {
    let text = text(value)?;
    let most = text.strip_prefix("all(").and_then(|rest| rest.strip_suffix(')'));
    match (text.as_str(), most.map(str::parse)) {
        ("none", _) => Ok(CatchUp::None),
        ("latest", _) => Ok(CatchUp::Latest),
        (_, Some(Ok(most))) if (1..=MOST_CATCH_UP).contains(&most) => Ok(CatchUp::All(most)),
        _ => Err(format!("{text:?} is none of: none, latest, all(N) with N from 1 to {MOST_CATCH_UP}")),
    }
}
