//! All at once: a token that is used at ten times its pace, slow clients, huge pages and garbage, while probes ask for health each tenth of
//! a second, and good clients open pages.

mod noise;
mod probes;
mod slow;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use shared::access::{Holder, Role};
use tokio::time::{Instant, sleep};

use self::noise::Noise;
use self::slow::Slow;
use super::bars::{self, Bar};
use super::drive::{Drive, Opened};
use super::tally::Tally;
use super::{Http, MIB, STORM_RATE, WARM_UP, seed};
use crate::measure::{Usage, number};
use crate::report::{Report, Table};
use crate::system::Fleet;

/// Connections of the good clients.
const GOOD: usize = 10;
/// Within this an orchestrator has its answer.
const HEALTH_MS: f64 = 100.0;
/// Four times what answers may be kept in.
const MEMORY_MIB: f64 = 256.0;
/// How long connections may take to go: a reporter waits for half a minute for a client that takes nothing.
const GONE_WITHIN: Duration = Duration::from_secs(40);

/// What was found.
struct Found {
    good: Opened,
    hasty: Tally,
    huge: Tally,
    garbage: Tally,
    /// Garbage that was not answered as it should be.
    unexpected: Vec<String>,
    slow: Slow,
    healthz: Tally,
    readyz: Tally,
    most_connections: usize,
    /// What was left when all had gone.
    left: usize,
    resident_before: f64,
    peak_mib: f64,
}

/// Runs the storm.
pub(super) async fn run(scenario: &Http, fleet: &Fleet) -> anyhow::Result<Report> {
    let length = scenario.length();
    let drive = scenario.drive(fleet, scenario.rate.unwrap_or(STORM_RATE), length).await?;
    let drive = Drive { connections: GOOD, ..drive };
    let database = &fleet.database;
    let noise = Noise {
        address: Arc::clone(&drive.address),
        hasty: seed::token(database, "hasty", Role::Viewer, Holder::Person).await?,
        machine: seed::token(database, "machine", Role::Auditor, Holder::Machine).await?,
        pace: scenario.pace,
        length,
    };
    eprintln!("warming up");
    Drive { length: length / WARM_UP, ..drive.clone() }.run().await?;
    noise.spend().await?;
    let pid = seed::reporter(fleet)?.service.pid();
    let resident_before = Usage::of(pid)?.resident as f64 / MIB;

    eprintln!("a storm of {} s", scenario.seconds);
    let slow = slow::clients(&noise, scenario.connections);
    let (good, hasty, huge, garbage, slow, probed, most_connections) = tokio::try_join!(
        drive.run(),
        noise.in_haste(),
        noise.huge(),
        noise.garbage(),
        slow,
        probes::health(&noise.address, length),
        most_connections(&noise.address, length),
    )?;
    let ((garbage, unexpected), (healthz, readyz)) = (garbage, probed);
    let started = Instant::now();
    let mut left = probes::connections(&noise.address)?;
    while left > 0 && started.elapsed() < GONE_WITHIN {
        sleep(Duration::from_millis(100)).await;
        left = probes::connections(&noise.address)?;
    }
    let peak_mib = Usage::of(pid)?.peak as f64 / MIB;
    let found = Found {
        good,
        hasty,
        huge,
        garbage,
        unexpected,
        slow,
        healthz,
        readyz,
        most_connections,
        left,
        resident_before,
        peak_mib,
    };
    found.report(scenario)
}

async fn most_connections(address: &str, length: Duration) -> anyhow::Result<usize> {
    let (started, mut most) = (Instant::now(), 0);
    while started.elapsed() < length {
        most = most.max(probes::connections(address)?);
        sleep(Duration::from_millis(250)).await;
    }
    Ok(most)
}

impl Found {
    fn bars(&self) -> anyhow::Result<Vec<Bar>> {
        let refused = self.hasty.with(429);
        let lost = |tally: &Tally| (tally.requests() - tally.with(200)) as f64;
        Ok(vec![
            Bar::at_most("/healthz, the longest, ms", HEALTH_MS, self.healthz.latencies.max()),
            Bar::at_most("/readyz, the longest, ms", HEALTH_MS, self.readyz.latencies.max()),
            Bar::at_most("probes without a good answer", 0.0, lost(&self.healthz) + lost(&self.readyz)),
            Bar::at_least(
                "refused of what came at ten times the pace, %",
                80.0,
                100.0 * refused as f64 / self.hasty.requests().max(1) as f64,
            ),
            Bar::at_most(
                "of these without a time to come again",
                0.0,
                (refused - self.hasty.say_when) as f64,
            ),
            Bar::at_most("failed requests of good clients", 0.0, self.good.all()?.failed() as f64),
            Bar::at_most("garbage that was answered wrongly", 0.0, self.unexpected.len() as f64),
            Bar::at_most("connections left after it", 0.0, self.left as f64),
            Bar::at_most("the reporter's peak, MiB resident", MEMORY_MIB, self.peak_mib),
        ])
    }

    fn report(&self, scenario: &Http) -> anyhow::Result<Report> {
        let (bars, good) = (self.bars()?, self.good.all()?);
        let mut table =
            Table::new(["who", "requests", "p50, ms", "p95", "p99", "max", "answers", "no answer"]);
        for (who, tally) in [
            ("/healthz", &self.healthz),
            ("/readyz", &self.readyz),
            ("good clients", &good),
            ("at ten times the pace", &self.hasty),
            ("huge pages", &self.huge),
            ("garbage", &self.garbage),
        ] {
            let percentile = |percent| number(tally.latencies.percentile(percent));
            let answers = tally.statuses.iter().map(|(status, count)| format!("{count} x {status}"));
            table.row([
                who.to_owned(),
                tally.requests().to_string(),
                percentile(50.0),
                percentile(95.0),
                percentile(99.0),
                number(tally.latencies.max()),
                answers.collect::<Vec<_>>().join(", "),
                tally.broken.to_string(),
            ]);
        }
        let mut rest = Table::new(["", ""]);
        for (what, figure) in [
            ("connections, the most at once", self.most_connections as f64),
            ("slow clients that were cut off", self.slow.cut as f64),
            ("bytes that slow clients took", self.slow.taken as f64),
            ("huge pages as they came, MiB", self.huge.bytes as f64 / MIB),
            ("the reporter before, MiB resident", self.resident_before),
        ] {
            rest.row([what.to_owned(), number(figure)]);
        }
        Ok(Report {
            about: format!(
                "A storm of {} s on one reporter with {} jobs and {} executions. A person's token that may make {} requests a minute, and has just used \
                 them up, comes ten times as often; {} slow clients send a byte of their headers each second, or take a byte of a huge page each 10 ms; {} \
                 others ask for pages of up to 500 rows with all fields, packed in each way and not at all, one after the other; {} send garbage: \
                 wrong cursors, fields, tokens, URLs of 9,000 bytes. Meanwhile good clients open {} pages of the mix a second, and each 100 ms two new \
                 connections ask for /healthz and /readyz. All of it is on one machine.",
                scenario.seconds,
                number(f64::from(scenario.jobs)),
                number(f64::from(scenario.executions)),
                scenario.pace,
                scenario.connections,
                noise::HUGE,
                noise::GARBAGE,
                scenario.rate.unwrap_or(STORM_RATE),
            ),
            tables: vec![bars::table(&bars), table, rest],
            json: json!({
                "scenario": "http-storm",
                "jobs": scenario.jobs,
                "executions": scenario.executions,
                "seconds": scenario.seconds,
                "pace": scenario.pace,
                "good": good.json(),
                "hasty": self.hasty.json(),
                "refused": self.hasty.with(429),
                "refused_with_retry_after": self.hasty.say_when,
                "huge": self.huge.json(),
                "garbage": self.garbage.json(),
                "unexpected": self.unexpected,
                "slow": self.slow,
                "healthz": self.healthz.json(),
                "readyz": self.readyz.json(),
                "most_connections": self.most_connections,
                "connections_left": self.left,
                "peak_mib": self.peak_mib,
                "bars": bars,
            }),
        })
    }
}

/// The port of an address.
fn port(address: &str) -> anyhow::Result<u16> {
    let (_, port) = address.rsplit_once(':').context("an address without a port")?;
    Ok(port.parse()?)
}
