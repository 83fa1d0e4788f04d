//! All faults, in the order of the list of guarantees.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;

use super::form::Form;
use super::report::Report;
use super::screen::Screen;
use super::{
    black_hole, broker_outages, consumer_timeout, database_outages, disk_alarm, full_disk, killed_notifiers,
    killed_producers, killed_reporters, killed_workers, limits, lost_consumer, model_check, paused_workers,
    poison, rolling_restarts, wiped_broker,
};
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
pub const ALL: &[Fault] = &[
    fault!("T1", "workers are killed at random", killed_workers),
    fault!("T2", "the broker is stopped and killed in turn", broker_outages),
    fault!("T3", "the broker is in a black hole", black_hole),
    fault!("T4", "the broker closes consumers that hold a delivery for seconds", consumer_timeout),
    fault!("T5", "workers are stopped for three leases and go on", paused_workers),
    fault!("T6", "the database restarts, cuts connections, is away", database_outages),
    fault!("T6b", "the broker loses everything", wiped_broker),
    fault!("T8", "the database's disk is full", full_disk),
    fault!("T9", "the broker's disk alarm stops publishers", disk_alarm),
    fault!("T11", "a task kills every process that runs it", poison),
    fault!("T12", "producers that see to schedules are killed or stopped at random", killed_producers),
    fault!("T13", "workers are restarted one after the other", rolling_restarts),
    fault!("T14", "reporters that tell of alerts are killed at random", killed_notifiers),
    fault!(
        "limits",
        "workers join, leave, die and hang, and lose the database, under caps and a strict rate",
        limits
    ),
    fault!(
        "rollups",
        "reporters are killed and stopped at random while one of them rolls up",
        killed_reporters
    ),
    fault!("consumer", "the broker forgets a worker's consumers and says nothing", lost_consumer),
    fault!("model", "the protocol as a pure function, in random interleavings of everything", model_check),
];

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
        let scenario = AssertUnwindSafe((self.scenario)(servers, form, screen)).catch_unwind();
        let limit = form.seconds(300, 1_200);
        let why = match tokio::time::timeout(limit, scenario).await {
            Ok(Ok(Ok(report))) => return report,
            Ok(Ok(Err(error))) => format!("{error:#}"),
            Err(_) => format!("it did not end within {} s", limit.as_secs()),
            Ok(Err(panic)) => panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
                .unwrap_or_else(|| "a panic without words".to_owned()),
        };
        Report::broken(self.name, form, why, began.elapsed())
    }
}
