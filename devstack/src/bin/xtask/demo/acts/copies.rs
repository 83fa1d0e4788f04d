//! What follows a backup by itself: copies to the other targets, and verification of every copy.

use std::{fs, time::Duration};

use anyhow::bail;
use tokio::time::sleep;

use crate::demo::{
    definitions::TARGETS, figures, place::Place, programs::Programs, screen::Act, status::Status,
};

/// As seldom as a person hardly notices: each look is a process.
const INTERVAL: Duration = Duration::from_millis(500);
/// Structure, read, restore.
const LEVELS: u64 = 3;

/// Waits until every target has its copy.
pub(super) async fn copied(programs: &Programs, place: &Place) -> anyhow::Result<()> {
    let others = &TARGETS[1..];
    let act = Act::begin("Copying");
    let act = until(act, programs, place, |status| status.succeeded("copy") >= others.len() as u64).await?;
    act.done("Copied", &format!("to {}", others.join(" and ")));
    Ok(())
}

/// Waits until every copy was verified at every level.
pub(super) async fn verified(programs: &Programs, place: &Place) -> anyhow::Result<()> {
    let expected = LEVELS * TARGETS.len() as u64;
    let done = |status: &Status| status.is_idle() && status.succeeded("verify") >= expected;
    let act = until(Act::begin("Verifying"), programs, place, done).await?;
    let checks = figures::count(expected, "check", "checks");
    act.done("Verified", &format!("{} copies by structure, read and restore: {checks}", TARGETS.len()));
    Ok(())
}

async fn until(
    mut act: Act,
    programs: &Programs,
    place: &Place,
    done: impl Fn(&Status) -> bool,
) -> anyhow::Result<Act> {
    loop {
        let status = Status::read(programs).await?;
        if status.dead > 0 {
            bail!("{} failed for good; {}", figures::count(status.dead, "task", "tasks"), complaints(place));
        }
        if done(&status) {
            return Ok(act);
        }
        act.tell(&status.activity());
        sleep(INTERVAL).await;
    }
}

/// Why tasks failed, as the worker tells it in its log.
fn complaints(place: &Place) -> String {
    let path = place.path("worker.log");
    let log = fs::read_to_string(&path).unwrap_or_default();
    let complaints = log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR "));
    let lines: Vec<&str> = complaints.take(20).collect();
    format!("the worker's log {} says:\n    {}", path.display(), lines.join("\n    "))
}
