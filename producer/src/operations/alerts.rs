//! Alerts: who knows about them, and which nobody wants to be told of.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Transaction;
use serde_json::{Value, json};
use shared::alert::{AlertId, Matcher, SilenceId, State, Transition};
use shared::db;
use shared::db::alert::{self, Alert};
use shared::db::alert_event::{self, Event};
use shared::db::silence::{self, Silence};

use super::{Actor, Entry, Refused, record};

/// The longest note or reason, in characters.
pub(crate) const LONGEST_TEXT: usize = 1000;
/// The longest time for which somebody says that they know about an alert, or do not want to be told.
pub(crate) const LONGEST: Duration = Duration::from_hours(365 * 24);

/// That somebody knows about an alert.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Acknowledgement<'a> {
    /// What they say.
    pub(crate) note: Option<&'a str>,
    /// For how long; without it, until the alert is over or gets worse.
    pub(crate) lasts: Option<Duration>,
}

/// Writes down that somebody knows about an open alert.
pub(crate) async fn acknowledge(
    transaction: &Transaction<'_>,
    id: AlertId,
    known: Acknowledgement<'_>,
    actor: &Actor,
) -> Result<(), Refused> {
    if let Some(note) = known.note {
        check_text("note", note)?;
    }
    let alert = open(transaction, id).await?;
    let now = db::now(transaction).await?;
    let until = known.lasts.map(|lasts| end("until", now, lasts)).transpose()?;
    alert::acknowledge(transaction, id, &actor.name, known.note, until).await?;
    let after = json!({ "acknowledged_by": actor.name, "note": known.note, "until": until });
    let change = Change { transition: Transition::Acknowledged, note: known.note, after: Some(after) };
    note(transaction, &alert, now, change, actor).await
}

/// Writes down that nobody knows about an alert any more.
pub(crate) async fn unacknowledge(
    transaction: &Transaction<'_>,
    id: AlertId,
    actor: &Actor,
) -> Result<(), Refused> {
    let alert = open(transaction, id).await?;
    let Some(known) = &alert.life.acknowledged else {
        return Err(Refused::Conflict(format!("alert {id} is not acknowledged")));
    };
    let now = db::now(transaction).await?;
    alert::unacknowledge(transaction, &[(id, known.at)]).await?;
    let change = Change { transition: Transition::Unacknowledged, note: None, after: None };
    note(transaction, &alert, now, change, actor).await
}

async fn open(transaction: &Transaction<'_>, id: AlertId) -> Result<Alert, Refused> {
    let alert = alert::lock(transaction, id).await?;
    let alert = alert.ok_or_else(|| Refused::Missing(format!("no alert has the number {id}")))?;
    match alert.life.state {
        State::Open => Ok(alert),
        State::Pending => Err(Refused::Conflict(format!("alert {id} is not open yet"))),
        State::Resolved => Err(Refused::Conflict(format!("alert {id} is over"))),
    }
}

struct Change<'a> {
    transition: Transition,
    note: Option<&'a str>,
    after: Option<Value>,
}

async fn note(
    transaction: &Transaction<'_>,
    alert: &Alert,
    now: DateTime<Utc>,
    Change { transition, note, after }: Change<'_>,
    actor: &Actor,
) -> Result<(), Refused> {
    let event = Event {
        alert: alert.id,
        transition,
        severity: alert.about.severity,
        summary: alert.about.summary.clone(),
        by: Some(actor.name.clone()),
        note: note.map(ToOwned::to_owned),
        suppressed_by: alert.life.suppressed_by.clone(),
    };
    alert_event::insert(transaction, now, &[event]).await?;
    let action = if transition == Transition::Acknowledged { "acknowledge" } else { "unacknowledge" };
    let before = alert.life.acknowledged.as_ref().map(|known| json!({ "acknowledged_by": known.by }));
    let entry = Entry { action, subject: "alert", name: &alert.about.cause, before, after };
    Ok(record(transaction, actor, &[entry]).await?)
}

/// Has nobody told of the alerts that match, from now on for so long.
pub(crate) async fn silence(
    transaction: &Transaction<'_>,
    matcher: &Matcher,
    lasts: Duration,
    why: &str,
    actor: &Actor,
) -> Result<Silence, Refused> {
    if matcher.is_empty() {
        return Err(Refused::invalid(
            "rule",
            "give at least one of rule, job, target, owner, tag and severity",
        ));
    }
    check_names(transaction, matcher).await?;
    check_text("why", why)?;
    end("for", db::now(transaction).await?, lasts)?;
    let silence = silence::insert(transaction, matcher, lasts, &actor.name, why).await?;
    let name = silence.id.to_string();
    let after = Some(json!(silence));
    let entry = Entry { action: "create", subject: "silence", name: &name, before: None, after };
    record(transaction, actor, &[entry]).await?;
    Ok(silence)
}

/// Ends a silence before its time.
pub(crate) async fn unsilence(
    transaction: &Transaction<'_>,
    id: SilenceId,
    actor: &Actor,
) -> Result<(), Refused> {
    let ended = silence::end(transaction, id).await?;
    let ended =
        ended.ok_or_else(|| Refused::Missing(format!("no silence has the number {id}, or it is over")))?;
    let name = id.to_string();
    let before = Some(json!(ended));
    let entry = Entry { action: "remove", subject: "silence", name: &name, before, after: None };
    Ok(record(transaction, actor, &[entry]).await?)
}

/// A name that nothing has matches nothing, and whoever wrote it will be told what they did not want to be told.
async fn check_names(transaction: &Transaction<'_>, matcher: &Matcher) -> Result<(), Refused> {
    let unknown = silence::unknown_name(transaction, matcher).await?;
    match unknown {
        Some((field, name)) => Err(Refused::invalid(field, format!("no {field} is called {name}"))),
        None => Ok(()),
    }
}

fn check_text(field: &str, text: &str) -> Result<(), Refused> {
    if text.trim().is_empty() {
        return Err(Refused::invalid(field, "is empty"));
    }
    if text.chars().count() > LONGEST_TEXT || text.contains('\0') {
        return Err(Refused::invalid(
            field,
            format!("is longer than {LONGEST_TEXT} characters or holds a zero"),
        ));
    }
    Ok(())
}

/// The end of a length of time that begins now.
fn end(field: &str, now: DateTime<Utc>, lasts: Duration) -> Result<DateTime<Utc>, Refused> {
    match TimeDelta::from_std(lasts) {
        Ok(delta) if lasts >= Duration::from_secs(1) && lasts <= LONGEST => Ok(now + delta),
        _ => Err(Refused::invalid(field, "is not from a second to a year")),
    }
}
