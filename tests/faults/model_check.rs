//! The model: the protocol as a pure function, over random interleavings of everything that can happen to it.

use super::Form;
use super::report::{Report, bar};
use super::screen::Screen;
use crate::Servers;
use crate::model::{self, Invariant, explore};

/// The walks of a seed are the same for ever; each form has its own.
const SEED: u64 = 0x0401_dfa5;

pub(crate) async fn run(_: &Servers, form: Form, screen: &Screen) -> anyhow::Result<Report> {
    let steps = form.pick(50_000, 1_000_000);
    screen.tell(format!("{steps} steps"));
    let began = std::time::Instant::now();
    let explored = tokio::task::spawn_blocking(move || explore(steps, SEED)).await?;
    Ok(report(&explored, form, began.elapsed().as_secs_f64()))
}

fn report(explored: &model::Report, form: Form, seconds: f64) -> Report {
    let count = |invariants: &[Invariant]| {
        let named = |violation: &&model::Violation| {
            invariants.iter().any(|invariant| invariant.as_str() == violation.invariant)
        };
        explored.violations.iter().filter(named).count()
    };
    let lost = count(&[Invariant::EveryPublicationEnds, Invariant::NothingIsLeft]);
    let stale_commits = count(&[Invariant::NoStaleCommit]);
    let missed = explored.missed();
    let bars = vec![bar(missed.is_empty(), format!("every event and turn came; missed: {missed:?}"))];
    Report {
        fault: "model",
        form,
        load: format!("{} walks, {} different states", explored.walks, explored.states),
        injections: usize::try_from(explored.steps).unwrap_or(usize::MAX),
        tasks: 0,
        lost,
        doubled: explored.violations.len() - lost - stale_commits,
        stale_commits,
        dead: 0,
        recovery_s: None,
        passed: explored.is_convincing(),
        bar: bars,
        seconds,
        violations: explored.violations.iter().map(|violation| format!("{violation:?}")).collect(),
    }
}
