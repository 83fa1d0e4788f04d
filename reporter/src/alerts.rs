//! Alerts: looks at the rules again and again, opens what is wrong and resolves what is over.
//!
//! Of all reporters one leads. Each look has these steps: executions that are new are folded into the health of their jobs and
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

use std::time::{Duration, Instant};

use shared::db::{self, Database, alert_setting, leader, maintenance, silence};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::events;
use crate::metrics::Pressure;
use fold::Fold;
use jobs::Jobs;
use rules::Context;

/// How often the leader looks whether there is something to do, and the others whether they are to lead.
const LOOK: Duration = Duration::from_secs(1);
/// How long a leader may go without a word, at least; and in looks at the rules, of which each may take its time.
const TTL: Duration = Duration::from_secs(5);
const TTL_LOOKS: u32 = 3;
/// How long a step may take: beyond it somebody else leads anyway.
const STEP_LIMIT: Duration = Duration::from_mins(1);
/// The role in the table of leaders.
const ROLE: &str = "alerts";

/// One who looks at the rules, among others.
#[derive(Debug)]
pub struct Alerts {
    id: Uuid,
    leads: bool,
    refresh: Duration,
    looked: Option<Instant>,
    fold: Fold,
    jobs: Jobs,
    pressure: watch::Receiver<Option<Pressure>>,
}

impl Alerts {
    /// Looks at the rules every `refresh`; `pressure` is what the collector of metrics sees of the pools.
    #[must_use]
    pub fn new(refresh: Duration, pressure: watch::Receiver<Option<Pressure>>) -> Self {
        Self {
            id: Uuid::now_v7(),
            leads: false,
            refresh,
            looked: None,
            fold: Fold::default(),
            jobs: Jobs::default(),
            pressure,
        }
    }

    /// Looks again and again until `stop`, while it leads.
    pub async fn run(mut self, database: &Database, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let rest = tokio::select! {
                stepped = db::within(STEP_LIMIT, self.step(database)) => stepped.unwrap_or_else(|error| {
                    events::alerts_failed(&error);
                    LOOK
                }),
                // Whatever it is at can be begun anew.
                () = stop.cancelled() => break,
            };
            _ = tokio::time::timeout(rest, stop.cancelled()).await;
        }
        self.resign(database).await;
    }

    /// Leads if nobody else does, and does what is next; returns how long there is nothing more to do.
    async fn step(&mut self, database: &Database) -> Result<Duration, db::Error> {
        let mut client = database.client().await?;
        let now = db::now(&client).await?;
        let term = leader::hold(&client, ROLE, self.id, now, self.term()).await?;
        if self.leads != term.is_some() {
            self.leads = term.is_some();
            events::alerts_lead(term);
        }
        let rest = self.refresh.min(LOOK);
        if !self.leads {
            return Ok(rest);
        }
        // What was not folded yet would be missing: then nothing is said at all.
        if !self.fold.step(&mut client).await? {
            return Ok(Duration::ZERO);
        }
        let began = Instant::now();
        let left = self.looked.map_or(Duration::ZERO, |looked| self.refresh.saturating_sub(began - looked));
        if !left.is_zero() {
            return Ok(rest.min(left));
        }
        self.looked = Some(began);
        self.jobs.refresh(&client).await?;
        let settings = alert_setting::all(&client).await?;
        let pressure = self.pressure.borrow().clone().filter(|pressure| pressure.is_recent(self.refresh));
        let context = Context { settings: &settings, jobs: &self.jobs, pressure: pressure.as_ref(), now };
        let found = rules::find(&client, &context).await;
        let silences = silence::current(&client).await?;
        let windows = maintenance::all(&client).await?;
        let quiet = suppression::Quiet { silences: &silences, windows: &windows, jobs: &self.jobs, now };
        // Looking may have taken long: as long as nobody else leads, what was seen counts.
        leader::hold(&client, ROLE, self.id, db::now(&client).await?, self.term()).await?;
        let written = store::write(&mut client, self.id, found, &quiet, began).await?;
        if !written {
            // Somebody else leads: what was seen here is of no use.
            self.looked = None;
        }
        Ok(rest)
    }

    /// How long it may go without a word.
    fn term(&self) -> Duration {
        TTL.max(self.refresh * TTL_LOOKS)
    }

    async fn resign(&self, database: &Database) {
        let resigned = async { leader::resign(&database.client().await?, ROLE, self.id).await };
        // Otherwise it expires.
        if self.leads
            && let Err(error) = db::within(Duration::from_secs(2), resigned).await
        {
            events::alerts_failed(&error);
        }
    }
}
