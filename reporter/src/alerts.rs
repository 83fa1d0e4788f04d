//! Alerts: looks at the rules again and again, opens what is wrong and resolves what is over.
//!
//! The leader of the reporters does. Each look has these steps: executions that are new are folded into the health of their jobs and
//! targets ([`fold`]), each rule finds what is wrong ([`rules`]), a pure function decides what becomes of each alert ([`life`])
//! and another one of whom nobody is told ([`suppression`]), and one transaction writes that ([`store`]). It looks whether its
//! writer leads still, so that one that was stopped for a while and goes on writes nothing.

mod finding;
mod fold;
mod jobs;
mod life;
mod rules;
mod store;
mod suppression;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use shared::alert::{Rule, Settings};
use shared::db::{self, Database, alert_setting, maintenance, silence};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::events;
use crate::leadership::Lead;
use crate::metrics::Pressure;
use crate::untold::Untold;
use fold::Fold;
use jobs::Jobs;
use rules::Context;

/// How often it is looked whether there is something to do.
const LOOK: Duration = Duration::from_secs(1);
/// How long a step may take.
const STEP_LIMIT: Duration = Duration::from_mins(1);

/// Looks at the rules every `refresh`, whenever this process leads, until `stop`; `pressure` is what the collector of metrics sees of the
/// pools.
pub async fn run(
    mut lead: Lead,
    database: &Database,
    refresh: Duration,
    pressure: watch::Receiver<Option<Pressure>>,
    stop: &CancellationToken,
) {
    let mut alerts = Alerts {
        lead: lead.clone(),
        refresh,
        looked: None,
        fold: Fold::default(),
        jobs: Jobs::default(),
        untold: Untold::default(),
        pressure,
    };
    while lead.is_had(stop).await {
        // Whatever it is at can be begun anew.
        lead.during(stop, alerts.go_on(database)).await;
    }
}

struct Alerts {
    lead: Lead,
    refresh: Duration,
    looked: Option<Instant>,
    fold: Fold,
    jobs: Jobs,
    untold: Untold,
    pressure: watch::Receiver<Option<Pressure>>,
}

impl Alerts {
    async fn go_on(&mut self, database: &Database) {
        loop {
            let stepped = db::within(STEP_LIMIT, self.step(database)).await;
            let rest = stepped.unwrap_or_else(|error| {
                events::alerts_failed(&error);
                LOOK
            });
            tokio::time::sleep(rest).await;
        }
    }

    /// Does what is next; returns how long there is nothing more to do.
    async fn step(&mut self, database: &Database) -> Result<Duration, db::Error> {
        let mut client = database.client().await?;
        // What was not folded yet would be missing: then nothing is said at all.
        if !self.fold.step(&mut client).await? {
            return Ok(Duration::ZERO);
        }
        let rest = self.refresh.min(LOOK);
        let began = Instant::now();
        let left = self.looked.map_or(Duration::ZERO, |looked| self.refresh.saturating_sub(began - looked));
        if !left.is_zero() {
            return Ok(rest.min(left));
        }
        self.looked = Some(began);
        self.jobs.refresh(&client, &mut self.untold).await?;
        let settings = alert_setting::all(&client).await?;
        // By a threshold that cannot be read nobody can look.
        let unknown: HashSet<Rule> =
            settings.unreadable.iter().filter_map(|setting| setting.key.parse().ok()).collect();
        let settings = Settings(self.untold.readable("alert setting", settings).into_iter().collect());
        let pressure = self.pressure.borrow().clone().filter(|pressure| pressure.is_recent(self.refresh));
        let now = db::now(&client).await?;
        let context = Context { settings: &settings, jobs: &self.jobs, pressure: pressure.as_ref(), now };
        let found = rules::find(&client, &context).await.without(&unknown);
        let silences = self.untold.readable("silence", silence::current(&client).await?);
        let windows = self.untold.readable("maintenance window", maintenance::all(&client).await?);
        let quiet = suppression::Quiet { silences: &silences, windows: &windows, jobs: &self.jobs, now };
        if !store::write(&mut client, &self.lead, found, &quiet, &mut self.untold, began).await? {
            // Somebody else leads: what was seen here is of no use.
            self.looked = None;
        }
        Ok(rest)
    }
}
