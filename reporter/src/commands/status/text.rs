//! The status for people.

use std::fmt::Write as _;

use comfy_table::{Cell, Color, Table};
use shared::task::Outcome;
use shared::terminal;

use super::{PERIOD, RunningTask, Status};

pub(super) fn render(status: &Status) -> String {
    let waiting: i64 = status.waiting.iter().map(|waiting| waiting.tasks).sum();
    let mut text = format!(
        "jobs: {}, of which {} comply   waiting: {waiting}   running: {}   dead: {}\n",
        status.jobs, status.compliant, status.running_total, status.dead
    );
    section(&mut text, "workers", &workers(status));
    section(&mut text, "waiting", &waiting_tasks(status));
    let unlisted = status.running_total - i64::try_from(status.running.len()).unwrap_or(i64::MAX);
    let running = if unlisted > 0 { format!("running, {unlisted} more") } else { "running".to_owned() };
    section(&mut text, &running, &running_tasks(status));
    section(&mut text, &format!("executions of the last {PERIOD} hours"), &executions(status));
    text
}

/// Adds a table under its title, or says that there is nothing to show.
fn section(text: &mut String, title: &str, table: &Table) {
    _ = if table.row_count() == 0 {
        writeln!(text, "\n{title}: none")
    } else {
        writeln!(text, "\n{title}\n{table}")
    };
}

fn workers(status: &Status) -> Table {
    let mut table = terminal::table(&["worker", "version", "slots in use"]);
    for worker in &status.workers {
        let pools: Vec<_> =
            worker.pools.iter().map(|(kind, pool)| format!("{kind} {}/{}", pool.busy, pool.slots)).collect();
        table.add_row([worker.name.as_str(), &worker.version, &pools.join(", ")]);
    }
    table
}

fn waiting_tasks(status: &Status) -> Table {
    let mut table = terminal::table(&["kind", "tasks", "held back"]);
    for waiting in &status.waiting {
        table.add_row([waiting.kind.clone(), waiting.tasks.to_string(), waiting.held.to_string()]);
    }
    table
}

fn running_tasks(status: &Status) -> Table {
    let headers = ["task", "kind", "job", "target", "attempt", "worker", "done", "elapsed"];
    let mut table = terminal::table(&headers);
    for RunningTask { task, elapsed_seconds, percent } in &status.running {
        table.add_row([
            task.task.to_string(),
            task.kind.clone(),
            task.job.clone().unwrap_or_default(),
            task.target.clone().unwrap_or_default(),
            task.attempt.to_string(),
            task.worker.clone().unwrap_or_default(),
            percent.map(|percent| format!("{percent:.0} %")).unwrap_or_default(),
            terminal::seconds(*elapsed_seconds),
        ]);
    }
    table
}

fn executions(status: &Status) -> Table {
    let mut table = terminal::table(&["kind", "outcome", "attempts", "mean duration", "size"]);
    for tally in &status.executions {
        let mean = tally.seconds / tally.count.max(1) as f64;
        table.add_row([
            Cell::new(tally.kind),
            Cell::new(tally.outcome).fg(colour(tally.outcome)),
            Cell::new(tally.count),
            Cell::new(terminal::seconds(mean)),
            Cell::new(terminal::bytes(tally.bytes)),
        ]);
    }
    table
}

fn colour(outcome: Outcome) -> Color {
    match outcome {
        Outcome::Success => Color::Green,
        Outcome::Warning | Outcome::Cancelled => Color::Yellow,
        Outcome::Failed | Outcome::TimedOut | Outcome::Lost => Color::Red,
    }
}
