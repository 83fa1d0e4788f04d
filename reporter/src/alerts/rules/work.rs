//! How the work goes on: tasks that do not get on, what waits for too long, workers that are gone, dead tasks.

use chrono::TimeDelta;
use deadpool_postgres::GenericClient;
use shared::alert::{Effective, Rule};
use shared::db::running::{self, Stuck};
use shared::db::{Error, dead_task, pulse, worker};

use super::super::finding::Finding;
use super::{Context, moment};
use crate::metrics::Pressure;

/// No more single tasks are named: where so many are stuck, it is not the tasks.
const MOST_STUCK: i64 = 100;

/// Tasks that run without progress, and kinds of which some task waits for nothing and is not taken.
pub(super) async fn stuck<C: GenericClient>(
    client: &C,
    pressure: &Pressure,
    context: &Context<'_>,
) -> Result<Vec<Finding>, Error> {
    let Some(setting) = context.setting(Rule::TaskStuck) else { return Ok(Vec::new()) };
    let running = running::stuck(client, setting.after, MOST_STUCK).await?;
    let running = running.iter().map(|stuck| without_progress(context, &setting, stuck));
    let longest = TimeDelta::from_std(setting.waiting).unwrap_or(TimeDelta::MAX);
    let waiting = pressure.kinds.iter().filter_map(|(kind, of_kind)| {
        let since = of_kind.oldest_due.filter(|since| context.now - *since > longest)?;
        let summary =
            format!("a {kind} task waits for nothing since {}, and no worker takes it", moment(since));
        Some(
            Finding::of(Rule::TaskStuck, &setting, Some(&format!("waiting/{kind}")), &summary)
                .called(kind.as_str()),
        )
    });
    Ok(running.chain(waiting).collect())
}

fn without_progress(context: &Context<'_>, setting: &Effective, stuck: &Stuck) -> Finding {
    let job = stuck.job.and_then(|job| context.jobs.get(job));
    let of = job.map_or_else(String::new, |job| format!(" of {}", job.name));
    let summary = format!(
        "the {}{of} on worker {} makes no progress since {}",
        stuck.kind,
        stuck.worker,
        moment(stuck.progressed_at)
    );
    let task = stuck.task.to_string();
    let finding = Finding::of(Rule::TaskStuck, setting, Some(&task), &summary)
        .with_detail(&format!("task {task}, which runs since {}", moment(stuck.started_at)));
    match job {
        Some(job) => finding.about_job(job).called(job.name.as_str()),
        None => finding.called(&stuck.kind),
    }
}

/// Kinds of which the last task that waits now begins too late, by the signal by which pools are scaled.
pub(super) fn backlog(pressure: &Pressure, context: &Context<'_>) -> Vec<Finding> {
    let Some(setting) = context.setting(Rule::Backlog) else { return Vec::new() };
    let late = pressure.kinds.iter().filter(|(_, of_kind)| of_kind.drain > setting.after.as_secs_f64());
    let finding = |(kind, of_kind): (&shared::task::TaskKind, &crate::metrics::OfKind)| {
        let when = if of_kind.drain.is_finite() {
            format!("for {:.0} minutes with the slots that there are", of_kind.drain / 60.0)
        } else {
            "for ever, because there are no slots".to_owned()
        };
        let summary = format!("{kind} tasks wait {when}");
        Finding::of(Rule::Backlog, &setting, Some(kind.as_str()), &summary)
    };
    late.map(finding).collect()
}

/// Workers that are silent and have not said that they stop.
pub(super) async fn lost_workers<C: GenericClient>(
    client: &C,
    context: &Context<'_>,
) -> Result<Vec<Finding>, Error> {
    let Some(setting) = context.setting(Rule::WorkerLost) else { return Ok(Vec::new()) };
    let lost = worker::lost(client, setting.after).await?;
    let finding = |lost: &worker::Lost| {
        let summary =
            format!("worker {} was heard of for the last time at {}", lost.name, moment(lost.seen_at));
        Finding::of(Rule::WorkerLost, &setting, Some(&lost.id.to_string()), &summary).called(&lost.name)
    };
    Ok(lost.iter().map(finding).collect())
}

/// That no producer is there: nothing is scheduled, handed to the broker, or taken over from workers that are gone.
pub(super) async fn lost_producers<C: GenericClient>(
    client: &C,
    context: &Context<'_>,
) -> Result<Vec<Finding>, Error> {
    let Some(setting) = context.setting(Rule::ProducerLost) else { return Ok(Vec::new()) };
    if pulse::look(client).await?.producer {
        return Ok(Vec::new());
    }
    let summary = "no producer was heard of: nothing is scheduled, and nothing new comes to the broker";
    Ok(vec![Finding::of(Rule::ProducerLost, &setting, None, summary)])
}

/// Kinds of which some tasks are dead, and nobody has decided about them.
pub(super) async fn dead<C: GenericClient>(client: &C, context: &Context<'_>) -> Result<Vec<Finding>, Error> {
    let Some(setting) = context.setting(Rule::DeadTasks) else { return Ok(Vec::new()) };
    let open = dead_task::open_by_kind(client).await?;
    let finding = |open: &dead_task::Open| {
        let summary = format!(
            "{} dead {} tasks wait for a decision, the first since {}",
            open.tasks,
            open.kind,
            moment(open.since)
        );
        Finding::of(Rule::DeadTasks, &setting, Some(&open.kind), &summary)
    };
    Ok(open.iter().map(finding).collect())
}
