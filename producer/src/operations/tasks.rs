//! Tasks: enqueued, and cancelled.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use deadpool_postgres::{GenericClient, Transaction};
use serde_json::{Value, json};
use shared::db::job::Reference;
use shared::db::task::{self, State};
use shared::db::{self, Database, lease};
use shared::job::{JobId, JobName};
use shared::message::{Refusal, TaskMessage};
use shared::target::TargetName;
use shared::task::{Priority, Task, TaskId, TaskKind};
use shared::work::Work;
use tokio::time::sleep;

use super::{Actor, Entry, Refused, record, reports};
use crate::{events, outbox};

/// How often a task is looked for that moves from waiting to running and back.
const LOOKS: u32 = 20;
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// A task that is asked for.
#[derive(Debug)]
pub(crate) struct Order {
    /// The task as it would come over the wire.
    pub(crate) message: TaskMessage,
    /// Its priority where it is not that of its job.
    pub(crate) priority: Option<Priority>,
    /// Whether that may be above what its job has: what people may want, and other systems may not.
    pub(crate) may_be_above: bool,
}

/// Enqueues tasks, all or none; returns those whose ids were new. A refusal says which of them it is about, counted from 0.
pub(crate) async fn enqueue(
    transaction: &Transaction<'_>,
    orders: Vec<Order>,
    actor: &Actor,
) -> Result<HashSet<TaskId>, (usize, Refused)> {
    let first = |error| (0, Refused::Database(error));
    let names: Vec<&JobName> = orders.iter().filter_map(|order| order.message.job.as_ref()).collect();
    let jobs = db::job::resolve(transaction, &names).await.map_err(first)?;
    let messages = orders.iter().map(|order| &order.message);
    let mut misplaced = misplaced(transaction, messages, &jobs).await.map_err(first)?;
    let now = db::now(transaction).await.map_err(first)?;
    let (mut rows, mut ids) = (Vec::with_capacity(orders.len()), HashSet::new());
    for (number, Order { message, priority, may_be_above }) in orders.into_iter().enumerate() {
        if !ids.insert(message.id) {
            return Err((number, Refused::invalid("id", "another of these tasks has it")));
        }
        let job = db::job::accept(&message, &jobs).map_err(|refusal| (number, not_accepted(&refusal)))?;
        if let Some(why) = misplaced.remove(&number) {
            return Err((number, Refused::invalid("params", why)));
        }
        let of_job = message.job.as_ref().and_then(|name| jobs.get(name)).map(|job| job.priority);
        if !may_be_above && (priority, of_job) == (Some(Priority::High), Some(Priority::Normal)) {
            return Err((number, Refused::invalid("priority", "is above that of the job")));
        }
        let task = Task {
            id: message.id,
            kind: message.kind,
            priority: priority.or(of_job).unwrap_or(Priority::Normal),
            job,
            params: message.params,
            requested_by: message.requested_by,
            enqueued_at: now,
            trace: message.trace,
        };
        rows.push((task, message.not_before.unwrap_or(now).max(now)));
    }
    let described: Vec<_> = rows.iter().map(|(task, _)| (task.id, described(task, &jobs))).collect();
    let fresh = outbox::put_at(transaction, rows).await.map_err(first)?;
    let names: Vec<String> = described.iter().map(|(id, _)| id.to_string()).collect();
    let entries: Vec<Entry<'_>> = described
        .iter()
        .zip(&names)
        .filter(|((id, _), _)| fresh.contains(id))
        .map(|((_, after), name)| Entry {
            action: "enqueue",
            subject: "task",
            name,
            before: None,
            after: Some(after.clone()),
        })
        .collect();
    record(transaction, actor, &entries).await.map_err(first)?;
    Ok(fresh)
}

/// What the audit says of a task.
fn described(task: &Task, jobs: &HashMap<JobName, Reference>) -> Value {
    let job = jobs.iter().find(|(_, job)| Some(job.id) == task.job).map(|(name, _)| name);
    json!({ "kind": task.kind, "job": job, "priority": task.priority, "params": task.params })
}

/// Tasks that can never work because of the target, the job or the channel that they name, by their places: why not.
pub(crate) async fn misplaced<'m, C: GenericClient>(
    client: &C,
    messages: impl Iterator<Item = &'m TaskMessage>,
    jobs: &HashMap<JobName, Reference>,
) -> Result<HashMap<usize, String>, db::Error> {
    let messages: Vec<(usize, &TaskMessage)> = messages.enumerate().collect();
    let mut misplaced = reports::impossible(client, messages.iter().copied()).await?;
    let named: Vec<(usize, &TaskMessage, TargetName)> = messages
        .into_iter()
        .filter_map(|(place, message)| Some((place, message, target(message)?)))
        .collect();
    if named.is_empty() {
        return Ok(misplaced);
    }
    let stored = db::target::all(client).await?;
    let all: HashSet<TargetName> = stored.into_iter().map(|stored| stored.target.name).collect();
    let of = |message: &TaskMessage| message.job.as_ref().and_then(|name| jobs.get(name)).map(|job| job.id);
    let reported = named.iter().filter(|(_, message, _)| message.kind == TaskKind::Record);
    let reported: Vec<JobId> = reported.filter_map(|(_, message, _)| of(message)).collect();
    let own: HashSet<(JobId, TargetName)> = db::job::targets(client, &reported)
        .await?
        .into_iter()
        .map(|own| (own.job, own.target.name))
        .collect();
    let why = |(place, message, target): (usize, &TaskMessage, TargetName)| {
        if !all.contains(&target) {
            return Some((place, format!("target: no target is named \"{target}\"")));
        }
        let is_strange = message.kind == TaskKind::Record
            && of(message).is_some_and(|job| !own.contains(&(job, target.clone())));
        is_strange.then(|| (place, format!("target: {target} is none of the job's targets")))
    };
    misplaced.extend(named.into_iter().filter_map(why));
    Ok(misplaced)
}

fn target(message: &TaskMessage) -> Option<TargetName> {
    Work::parse(message.kind, message.params.json()).ok()?.target().cloned()
}

fn not_accepted(refusal: &Refusal) -> Refused {
    match refusal {
        Refusal::UnknownJob(_) => Refused::Missing(refusal.to_string()),
        _ => Refused::Conflict(refusal.to_string()),
    }
}

/// What came of the wish to end a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// It was waiting and is ended.
    Ended,
    /// It runs: its worker will end it.
    Asked,
}

/// Ends a task wherever it is; it may move between the tables meanwhile.
pub(crate) async fn cancel(database: &Database, id: TaskId, actor: &Actor) -> Result<Cancelled, Refused> {
    for _ in 0..LOOKS {
        let mut client = database.client().await?;
        let transaction = client.transaction().await.map_err(db::Error::from)?;
        let by = &actor.name;
        let cancelled = if task::cancel(&transaction, id, by).await? {
            Some(Cancelled::Ended)
        } else if lease::cancel(&transaction, id, by).await? {
            Some(Cancelled::Asked)
        } else {
            None
        };
        if let Some(cancelled) = cancelled {
            let state = if cancelled == Cancelled::Ended { "waiting" } else { "running" };
            let entry = Entry {
                action: "cancel",
                subject: "task",
                name: &id.to_string(),
                before: Some(json!({ "state": state })),
                after: None,
            };
            record(&transaction, actor, &[entry]).await?;
            transaction.commit().await.map_err(db::Error::from)?;
            match cancelled {
                Cancelled::Ended => events::cancelled_waiting(id, by),
                Cancelled::Asked => events::cancel_asked(id, by),
            }
            return Ok(cancelled);
        }
        let late = |why: &str| Err(Refused::Conflict(why.to_owned()));
        match task::state(&transaction, id).await? {
            State::Queued { .. } | State::Running { .. } => {}
            State::Succeeded => return late("it is finished"),
            State::Cancelled => return late("it was cancelled already"),
            State::Dead { .. } => return late(&format!("it is dead; `producer dead show {id}` says why")),
            State::Unknown => return Err(Refused::Missing(format!("no task has the id {id}"))),
        }
        drop(transaction);
        drop(client);
        sleep(PAUSE).await;
    }
    Err(Refused::Conflict("it moved on each time it was found: try again".to_owned()))
}
