//! What a fleet makes of what limits allow, while workers come and go, and who of those that wait gets it.

mod live;
mod reach;
mod shares;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::report::{Report, Table};
use crate::system::{EffectLog, Fleet, Layout, Servers};
use live::Live;
use reach::{EVENTS, LIMITS, Part};
use shares::Share;

/// The `allowance` scenario
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Allowance {
    /// How long each part is looked at, in seconds
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(5..=300))]
    seconds: u16,
}

/// The slots of each worker: more than the limits let run.
const SLOTS: usize = 50;
/// How long a lost worker is counted on.
const LEASE: Duration = Duration::from_secs(15);
/// How long something may take that has to come before the measurement.
const PATIENCE: Duration = Duration::from_mins(5);

impl Allowance {
    /// Runs the scenario; fails if a rate or a cap was exceeded.
    pub(crate) async fn run(&self, servers: &Servers) -> anyhow::Result<Report> {
        let length = Duration::from_secs(self.seconds.into());
        let parts = reach::measure(servers, length).await?;
        let owners = shares::of_owners(servers, length).await?;
        let priorities = shares::of_priorities(servers, length).await?;
        let live = live::measure(servers).await?;
        Ok(self.report(&parts, &[owners, priorities].concat(), &live))
    }

    fn report(&self, parts: &[Part], shares: &[Share], live: &[Live]) -> Report {
        let mut reached = Table::new(["", LIMITS[0].1, LIMITS[1].1, LIMITS[2].1]);
        for Part { event, reached: [strict, shared, cap] } in parts {
            reached.row([
                event.name().to_owned(),
                format!("{strict:.3}"),
                format!("{shared:.3}"),
                format!("{cap:.3}"),
            ]);
        }
        let mut got = Table::new(["of one target's rate", "share by weight", "share that it got", "starts"]);
        for share in shares {
            got.row([
                share.who.clone(),
                format!("{:.3}", share.expected),
                format!("{:.3}", share.got),
                share.starts.to_string(),
            ]);
        }
        let mut applied =
            Table::new(["asked for while they run", "applied on all workers after, s, at the worst"]);
        for Live { command, worst } in live {
            applied.row([(*command).to_owned(), format!("{worst:.2}")]);
        }
        Report {
            about: format!(
                "What part of the allowed starts happened, and of a cap of {} how many ran in the mean, in {} s after each \
                 event; more waited than could start. At first {} workers with {SLOTS} slots each, a lease of {} s, a strict rate \
                 and a rate of {} starts a second, and tasks of the cap that take {} s. By the workers' own log of their effects: no rate and \
                 no cap was exceeded in any stretch of time. Then who of those that wait in line for one target gets its rate; and how soon after its end a command applied on \
                 two workers that start 100 tasks a second, at the worst of 5 times.",
                reach::CAP,
                self.seconds,
                reach::WORKERS,
                LEASE.as_secs(),
                reach::RATE,
                reach::TAKES.as_secs(),
            ),
            tables: vec![reached, got, applied],
            json: json!({ "scenario": "allowance", "events": EVENTS.len(), "reached": parts, "shares": shares, "live": live }),
        }
    }
}

/// Workers, and a producer, on a database of their own.
async fn start(
    servers: &Servers,
    name: &str,
    workers: usize,
    definitions: Value,
    effects: Option<&EffectLog>,
) -> anyhow::Result<Fleet> {
    let lease = |part: u32| humantime::format_duration(LEASE / part).to_string();
    let mut settings = BTreeMap::from([
        ("pools.probe.slots".to_owned(), SLOTS.to_string()),
        ("lease".to_owned(), lease(1)),
        ("heartbeat".to_owned(), lease(5)),
    ]);
    settings.extend(effects.map(EffectLog::setting));
    let layout = Layout {
        database_url: Some(servers.create_database(name).await?),
        definitions: Some(definitions),
        workers,
        settings,
        producer: true,
        ..Layout::default()
    };
    Fleet::start(servers, layout).await
}

/// Jobs `load-0` and so on, each with an owner of its own and a source of its own, all on one target.
fn definitions(
    servers: &Servers,
    durations: &[Duration],
    limits_of_target: Option<&Value>,
    limits: &Value,
) -> Value {
    let jobs: Vec<Value> = durations
        .iter()
        .enumerate()
        .map(|(job, takes)| {
            let duration = humantime::format_duration(*takes).to_string();
            json!({
                "name": format!("load-{job}"), "owner": format!("owner-{job}"), "priority": "high", "targets": ["load"],
                "source": {
                    "kind": "simulated", "failure_domain": format!("host-{job}"), "site": "hq", "media": "disk",
                    "duration": duration,
                },
            })
        })
        .collect();
    let mut target = json!({
        "name": "load", "repository": servers.directory().join("repository"), "site": "hq", "media": "nas",
        "failure_domain": "array-1", "password": { "env": "UNUSED" },
    });
    if let Some(limits) = limits_of_target {
        target["limits"] = limits.clone();
    }
    json!({ "targets": [target], "jobs": jobs, "limits": limits })
}
