//! All faults, in the order of the list of guarantees.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;

use super::form::Form;
use super::report::Report;
use super::screen::Screen;
use super::*;
use crate::Servers;

/// One fault.
pub struct Fault {
    /// Its number in the list of guarantees.
    pub name: &'static str,
    /// What happens, in a few words.
    pub what: &'static str,
    scenario: Scenario,
}

type Scenario = for<'a> fn(&'a Servers, Form, &'a Screen) -> LocalBoxFuture<'a, anyhow::Result<Report>>;

macro_rules! fault {
    ($name:literal, $what:literal, $module:ident) => {
        Fault {
            name: $name,
            what: $what,
            scenario: |servers, form, screen| Box::pin($module::run(servers, form, screen)),
        }
    };
}

/// All faults.
pub const ALL: &[Fault] = &[fault!("T1", "workers are killed at random", killed_workers)];

/// The fault of a name, whatever its case.
pub fn find(name: &str) -> Option<&'static Fault> {
    ALL.iter().find(|fault| fault.name.eq_ignore_ascii_case(name))
}

impl Fault {
    /// Brings the fault about and reports what came of it. `servers` are for the faults that harm none; the others
    /// start their own.
    pub async fn run(&self, servers: &Servers, form: Form, screen: &Screen) -> Report {
        let began = Instant::now();
        // The parts of the harness panic where they cannot go on; the other faults have their turn all the same.
        let scenario = AssertUnwindSafe((self.scenario)(servers, form, screen)).catch_unwind().await;
        let why = match scenario {
            Ok(Ok(report)) => return report,
            Ok(Err(error)) => format!("{error:#}"),
            Err(panic) => panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
                .unwrap_or_else(|| "a panic without words".to_owned()),
        };
        Report::broken(self.name, form, why, began.elapsed())
    }
}
