//! `model`: random walks through the pure machine of leases and tasks, with every fault that it knows.

use std::time::Instant;

use super::form::Form;
use super::report::{Report, bar};
use super::screen::Screen;
use super::verdict::Verdict;
use crate::Servers;
use crate::model::{self, Invariant, TASKS};

/// The walks are always the same; another seed gives others.
const SEED: u64 = 7;

/// Runs the scenario.
pub(super) async fn run(_: &Servers, form: Form, screen: &Screen) -> anyhow::Result<Report> {
    let (steps, began) = (form.pick(50_000, 1_000_000), Instant::now());
    screen.tell(format_args!("walking {steps} steps through the model"));
    let walked = tokio::task::spawn_blocking(move || model::explore(steps, SEED)).await?;

    let mut verdict = Verdict::default();
    for violation in &walked.violations {
        let said = format!(
            "{} does not hold for task {} after {}",
            violation.invariant,
            violation.task,
            violation.events.join(", ")
        );
        column(&mut verdict, violation.invariant).push(said);
    }
    let missed = walked.missed();
    let mut report = Report {
        fault: "model",
        form,
        load: format!("{} steps, {} different states, seed {SEED}", walked.steps, walked.states),
        // Each walk is a history of its own with many faults in it.
        injections: usize::try_from(walked.walks)?,
        tasks: usize::try_from(walked.walks)? * TASKS,
        lost: 0,
        doubled: 0,
        stale_commits: 0,
        dead: 0,
        recovery_s: None,
        bar: vec![bar(missed.is_empty(), format!("every event and turn was met, but for {missed:?}"))],
        passed: false,
        seconds: began.elapsed().as_secs_f64(),
        violations: Vec::new(),
    };
    report.judge(&verdict);
    Ok(report)
}

/// Where violations of an invariant are counted.
fn column<'a>(verdict: &'a mut Verdict, invariant: &str) -> &'a mut Vec<String> {
    let is = |these: &[Invariant]| these.iter().any(|this| this.as_str() == invariant);
    if is(&[Invariant::EveryPublicationEnds, Invariant::NothingIsLeft]) {
        &mut verdict.lost
    } else if is(&[
        Invariant::OneResult,
        Invariant::OneOwner,
        Invariant::EffectsInOrder,
        Invariant::WaitsOrRuns,
    ]) {
        &mut verdict.doubled
    } else {
        &mut verdict.stale_commits
    }
}
