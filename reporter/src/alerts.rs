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

use shared::alert::{Rule, Settings, SuppressedBy};
use shared::db::{self, Database, alert_setting, maintenance, silence};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::events;
use crate::leadership::{Lead, Term};
use crate::metrics::Pressure;
use crate::untold::Untold;
use jobs::Jobs;
use rules::Context;
use suppression::Quiet;

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
    let mut alerts =
        Alerts { refresh, looked: None, jobs: Jobs::default(), untold: Untold::default(), pressure };
    while lead.is_had(stop).await {
        // Whatever it is at can be begun anew.
        lead.during(stop, |term| alerts.go_on(database, term)).await;
    }
}

struct Alerts {
    refresh: Duration,
    looked: Option<Instant>,
    jobs: Jobs,
    untold: Untold,
    pressure: watch::Receiver<Option<Pressure>>,
}

impl Alerts {
    async fn go_on(&mut self, database: &Database, term: Term) {
        loop {
            let stepped = db::within(STEP_LIMIT, self.step(database, term)).await;
            let rest = stepped.unwrap_or_else(|error| {
                events::alerts_failed(&error);
                LOOK
            });
            tokio::time::sleep(rest).await;
        }
    }

    /// Does what is next; returns how long there is nothing more to do.
    async fn step(&mut self, database: &Database, term: Term) -> Result<Duration, db::Error> {
        let mut client = database.client().await?;
        // What was not folded yet would be missing: then nothing is said at all.
        if !fold::step(&mut client).await? {
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
        let (silences, windows) = (silence::current(&client).await?, maintenance::all(&client).await?);
        let silences_unread = silences.unreadable.iter().map(|silence| silence.key);
        let windows_unread = windows.unreadable.iter().map(|window| window.key.clone());
        let unread = silences_unread
            .map(|id| SuppressedBy::Silence(id).to_string())
            .chain(windows_unread.map(|name| format!("maintenance:{name}")))
            .collect();
        let silences = self.untold.readable("silence", silences);
        let windows = self.untold.readable("maintenance window", windows);
        let quiet = Quiet { silences: &silences, windows: &windows, unread: &unread, jobs: &self.jobs, now };
        if !store::write(&mut client, term, found, &quiet, &mut self.untold, began).await? {
            // Somebody else leads: what was seen here is of no use.
            self.looked = None;
        }
        Ok(rest)
    }
}
