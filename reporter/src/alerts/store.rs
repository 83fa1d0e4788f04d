//! Writes what has become of alerts, each change with its event, in one transaction of the one who leads.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use deadpool_postgres::{Client, Transaction};
use shared::alert::{AlertId, Transition};
use shared::db::alert::{About, Life};
use shared::db::alert_event::Event;
use shared::db::{Error, alert, alert_evaluation, alert_event};

use super::life::{self, Step};
use super::rules::Found;
use super::suppression::Quiet;
use crate::events;
use crate::leadership::Term;
use crate::metrics;
use crate::untold::Untold;

/// Decides about all alerts by what was found, and writes that. Returns `false`, and writes nothing, if somebody else leads by now.
pub(super) async fn write(
    client: &mut Client,
    term: Term,
    found: Found,
    quiet: &Quiet<'_>,
    untold: &mut Untold,
    began: Instant,
) -> Result<bool, Error> {
    let transaction = client.transaction().await?;
    let Found { mut findings, judged } = found;
    let cooldown = findings.iter().map(|finding| finding.cooldown).max().unwrap_or(Duration::ZERO);
    let stored = alert::current(&transaction, cooldown).await?;
    // An alert that cannot be read stays as it is, and no other of its cause opens.
    let unread =
        |cause: &str| stored.unreadable.iter().any(|alert| !alert.key.is_over && alert.key.cause == cause);
    findings.retain(|finding| !unread(&finding.about.cause));
    let stored = untold.readable("alert", stored);
    let judged = |about: &About| {
        judged.contains(&about.rule) && about.job.is_none_or(|job| !quiet.jobs.is_unreadable(job))
    };
    let mut steps = life::step(stored, findings, judged, quiet.now);
    quiet.apply(&mut steps);
    steps.retain(Step::is_change);
    forget_acknowledgements(&transaction, &mut steps).await?;
    let written = write_steps(&transaction, &steps).await?;
    let events: Vec<Event> = written.iter().flat_map(|(id, step)| events_of(*id, step)).collect();
    alert_event::insert(&transaction, quiet.now, &events).await?;
    alert_evaluation::finish(&transaction, quiet.now, began.elapsed()).await?;
    if !term.lasts(&transaction).await? {
        return Ok(false);
    }
    transaction.commit().await?;
    for (_, step) in &written {
        for transition in &step.transitions {
            metrics::count_transition(step.about.rule, *transition);
            events::alert_changed(&step.about, *transition);
        }
    }
    Ok(true)
}

/// Forgets who knew of alerts, where that is over. Where somebody has said meanwhile that they know, nothing is forgotten.
async fn forget_acknowledgements(transaction: &Transaction<'_>, steps: &mut [Step]) -> Result<(), Error> {
    let known: Vec<(AlertId, DateTime<Utc>)> = steps.iter().filter_map(Step::forgotten).collect();
    if known.is_empty() {
        return Ok(());
    }
    let forgotten = alert::unacknowledge(transaction, &known).await?;
    for step in
        steps.iter_mut().filter(|step| step.forgotten().is_some_and(|(id, _)| !forgotten.contains(&id)))
    {
        step.transitions.retain(|transition| *transition != Transition::Unacknowledged);
    }
    Ok(())
}

/// Returns the alerts that are there now, with their numbers.
async fn write_steps<'a>(
    transaction: &Transaction<'_>,
    steps: &'a [Step],
) -> Result<Vec<(AlertId, &'a Step)>, Error> {
    let (mut new, mut changed, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    for step in steps {
        match (&step.before, &step.life) {
            (None, Some(life)) => new.push((step, life)),
            (Some(before), Some(life)) => changed.push((before, step, life)),
            (Some(before), None) => gone.push(before.id),
            (None, None) => {}
        }
    }
    alert::discard(transaction, &gone).await?;
    let ids: Vec<AlertId> = changed.iter().map(|(before, ..)| before.id).collect();
    let rows: Vec<(&About, &Life)> = changed.iter().map(|(_, step, life)| (&step.about, *life)).collect();
    alert::update(transaction, &ids, &rows).await?;
    let rows: Vec<(&About, &Life)> = new.iter().map(|(step, life)| (&step.about, *life)).collect();
    let new_ids = alert::insert(transaction, &rows).await?;
    let changed = ids.into_iter().zip(changed.into_iter().map(|(_, step, _)| step));
    Ok(changed.chain(new_ids.into_iter().zip(new.into_iter().map(|(step, _)| step))).collect())
}

fn events_of(alert: AlertId, step: &Step) -> impl Iterator<Item = Event> + '_ {
    let suppressed_by = step.life.as_ref().and_then(|life| life.suppressed_by.clone());
    step.transitions.iter().map(move |transition| Event {
        alert,
        transition: *transition,
        severity: step.about.severity,
        summary: step.about.summary.clone(),
        by: None,
        note: None,
        suppressed_by: suppressed_by.clone(),
    })
}
