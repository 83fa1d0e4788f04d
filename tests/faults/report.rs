//! What came of a fault.

use std::time::Duration;

use serde::Serialize;
use shared::terminal;

use super::form::Form;
use super::verdict::Verdict;

/// Violations that are told one by one.
const TOLD: usize = 10;

/// What came of a fault.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Its number in the list of guarantees.
    pub fault: &'static str,
    /// Short or full.
    pub form: Form,
    /// What ran meanwhile.
    pub load: String,
    /// How often the fault was brought about.
    pub injections: usize,
    /// Tasks that were published and confirmed.
    pub tasks: usize,
    /// Confirmed tasks without an end, and what was left anywhere.
    pub lost: usize,
    /// Tasks with two results, or two attempts at a time.
    pub doubled: usize,
    /// Results of owners that were not the owner any more.
    pub stale_commits: usize,
    /// Tasks that will not run again by themselves: an end, though no good one.
    pub dead: usize,
    /// How long it took until all was as before; what that means depends on the fault.
    pub recovery_s: Option<f64>,
    /// What this fault has to meet beside the three zeros.
    pub bar: Vec<Bar>,
    /// Whether all three are zero and every bar is met.
    pub passed: bool,
    /// How long it took altogether.
    pub seconds: f64,
    /// The first violations, and why the scenario could not be carried through if so.
    pub violations: Vec<String>,
}

/// One thing that a fault has to meet.
#[derive(Debug, Clone, Serialize)]
pub struct Bar {
    /// What was asked, with what was measured.
    pub what: String,
    /// Whether it was met.
    pub met: bool,
}

/// States a bar.
pub(crate) fn bar(met: bool, what: impl Into<String>) -> Bar {
    Bar { what: what.into(), met }
}

impl Report {
    /// A fault that could not be carried through.
    pub(crate) fn broken(fault: &'static str, form: Form, why: String, took: Duration) -> Self {
        Self {
            fault,
            form,
            load: String::new(),
            injections: 0,
            tasks: 0,
            lost: 0,
            doubled: 0,
            stale_commits: 0,
            dead: 0,
            recovery_s: None,
            bar: vec![bar(false, "was carried through")],
            passed: false,
            seconds: took.as_secs_f64(),
            violations: vec![why],
        }
    }

    /// Takes over what was found.
    pub(crate) fn judge(&mut self, verdict: &Verdict) {
        let all = [&verdict.lost, &verdict.doubled, &verdict.stale_commits];
        [self.lost, self.doubled, self.stale_commits] = all.map(Vec::len);
        self.violations.extend(all.iter().flat_map(|found| found.iter().take(TOLD)).cloned());
        self.passed = verdict.is_clean() && self.bar.iter().all(|bar| bar.met);
    }
}

/// The table at the end.
pub fn table(reports: &[Report]) -> String {
    let mut table = terminal::table(&[
        "fault",
        "load",
        "injections",
        "tasks",
        "lost",
        "doubled",
        "stale",
        "dead",
        "recovery",
        "bar",
        "took",
    ]);
    for report in reports {
        let number = |number: usize| number.to_string();
        let met = report.bar.iter().filter(|bar| bar.met).count();
        // The first that is not met, or else the one that says most.
        let told = report.bar.iter().find(|bar| !bar.met).or(report.bar.first());
        let bars = format!("{met} of {} met: {}", report.bar.len(), told.map_or("", |bar| bar.what.as_str()));
        table.add_row([
            report.fault.to_owned(),
            report.load.clone(),
            number(report.injections),
            number(report.tasks),
            number(report.lost),
            number(report.doubled),
            number(report.stale_commits),
            number(report.dead),
            report.recovery_s.map(terminal::seconds).unwrap_or_default(),
            bars,
            terminal::seconds(report.seconds),
        ]);
    }
    table.to_string()
}
