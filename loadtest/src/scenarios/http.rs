//! How a reporter answers those who read: the pages that people open, in an open loop; and all the same in a storm.

mod bars;
mod client;
mod drive;
mod metrics;
mod mix;
mod seed;
mod storm;
mod tally;

use anyhow::Context as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shared::access::{Holder, Role};

use self::bars::Bar;
use self::client::Client;
use self::drive::{Drive, Opened};
use self::metrics::Metrics;
use self::mix::{PAGES, Places, Tokens};
use self::seed::Size;
use crate::measure::{Usage, number};
use crate::report::{Report, Table};
use crate::system::{Fleet, Servers};

/// The `http` scenario
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Http {
    /// Jobs, each with three copies
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    jobs: u32,
    /// Attempts of the last year, each with its evidence
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u32).range(200..))]
    executions: u32,
    /// Requests a second, whatever became of those before; 0 makes the next when the answer before is there. In a storm, those of good clients
    /// [default: 500; in a storm 50]
    #[arg(long)]
    rate: Option<u32>,
    /// How long, in seconds
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Connections, each with one request at a time; in a storm, those of slow clients
    #[arg(long, default_value_t = 50, value_parser = super::from_one_to(1000))]
    connections: usize,
    /// Slow clients, huge pages, garbage, and a token that is used at ten times its pace, while health is asked for
    #[arg(long)]
    storm: bool,
    /// The pace of the token that is used too often in a storm, in requests a minute
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(6..=60_000))]
    pace: u32,
}

/// So high that it is not what is measured.
const NO_PACE: u32 = 60_000_000;
/// A rate that two processors can carry beside the load generator and the database.
const RATE: u32 = 500;
const STORM_RATE: u32 = 50;
/// A part of the time is not counted, so that connections and caches are as in use.
const WARM_UP: u32 = 5;
const MIB: f64 = 1024.0 * 1024.0;

/// What was found in one run of the mix.
struct Found {
    opened: Opened,
    hit_rate: f64,
    statements_p95_ms: f64,
    peak_mib: f64,
}

impl Http {
    /// Runs the scenario.
    pub(crate) async fn run(&self, servers: &Servers) -> anyhow::Result<Report> {
        let settings = BTreeMap::from([
            ("http.pace.machine".to_owned(), NO_PACE.to_string()),
            ("http.pace.person".to_owned(), self.pace.to_string()),
        ]);
        let size = Size { jobs: self.jobs, executions: self.executions };
        let fleet = size.fleet(servers, settings).await?;
        let report = if self.storm {
            storm::run(self, &fleet).await
        } else {
            self.measure(&fleet).await.and_then(|found| self.report(&found))
        };
        fleet.stop().await?;
        report
    }

    /// How pages are opened for so long.
    async fn drive(&self, fleet: &Fleet, rate: u32, length: Duration) -> anyhow::Result<Drive> {
        let address: Arc<str> = seed::reporter(fleet)?.address().into();
        let token = async |name, role| seed::token(&fleet.database, name, role, Holder::Machine).await;
        let tokens = Tokens {
            viewer: token("portal", Role::Viewer).await?,
            auditor: token("auditor", Role::Auditor).await?,
        };
        let places = Places::look(&mut Client::new(&address), &tokens, self.jobs as usize).await?;
        let drive = Drive { address, places: Arc::new(places), rate, length, connections: self.connections };
        drive.each_once().await?;
        Ok(drive)
    }

    fn length(&self) -> Duration {
        Duration::from_secs(u64::from(self.seconds))
    }

    async fn measure(&self, fleet: &Fleet) -> anyhow::Result<Found> {
        let drive = self.drive(fleet, self.rate.unwrap_or(RATE), self.length()).await?;
        let reporter = seed::reporter(fleet)?;
        eprintln!("warming up");
        Drive { length: self.length() / WARM_UP, ..drive.clone() }.run().await?;
        let before = Metrics::read(&reporter.scrape().await?);
        eprintln!("measuring");
        let opened = drive.run().await?;
        let after = Metrics::read(&reporter.scrape().await?);
        Ok(Found {
            opened,
            hit_rate: after.hit_rate(&before).context("the reporter counts no answers that are kept")?,
            statements_p95_ms: after
                .statements_p95(&before)
                .context("the reporter measures no statements of pages")?,
            peak_mib: Usage::of(reporter.service.pid())?.peak as f64 / MIB,
        })
    }

    fn report(&self, found: &Found) -> anyhow::Result<Report> {
        let Found { opened, hit_rate, statements_p95_ms, peak_mib } = found;
        let all = opened.all()?;
        let bars = [
            Bar::at_most("p50, ms", 5.0, all.latencies.percentile(50.0)),
            Bar::at_most("p95, ms", 20.0, all.latencies.percentile(95.0)),
            Bar::at_most("statements that read lists and things, p95, ms", 10.0, *statements_p95_ms),
            Bar::at_most("failed requests", 0.0, all.failed() as f64),
            Bar::at_least("answers that were kept in memory, %", 80.0, hit_rate * 100.0),
        ];
        let mut rest = Table::new(["", ""]);
        for (what, figure) in [
            ("answers a second", all.requests() as f64 / opened.seconds),
            (
                "of them that nothing has changed, %",
                100.0 * all.with(304) as f64 / all.requests().max(1) as f64,
            ),
            ("bodies as they came, MiB", all.bytes as f64 / MIB),
            ("the reporter's peak, MiB resident", *peak_mib),
        ] {
            rest.row([what.to_owned(), number(figure)]);
        }
        let when = match self.rate.unwrap_or(RATE) {
            0 => "each asked for as soon as the answer before was there (a closed loop)".to_owned(),
            rate => format!(
                "{rate} requests a second at times that were drawn before (Poisson) and do not wait for anything; latencies are from when a \
                 request was due to the end of its answer"
            ),
        };
        Ok(Report {
            about: format!(
                "One reporter with {} jobs and {} executions over 12 months, as many rows of evidence, and two workers that have nothing to do; \
                 {} s over {} connections, {when}. All take gzip, which the load generator does not unpack, and every second connection sends the \
                 tags of what it has. Jobs are asked for by Zipf's law (exponent 1). No pace is in the way. A fifth of the time to warm up is not counted.",
                number(f64::from(self.jobs)),
                number(f64::from(self.executions)),
                self.seconds,
                self.connections,
            ),
            tables: vec![bars::table(&bars), pages_table(opened)?, rest],
            json: json!({
                "scenario": "http",
                "jobs": self.jobs,
                "executions": self.executions,
                "rate": self.rate.unwrap_or(RATE),
                "connections": self.connections,
                "seconds": opened.seconds,
                "all": all.json(),
                "pages": pages_json(opened),
                "hit_rate": hit_rate,
                "statements_p95_ms": statements_p95_ms,
                "peak_mib": peak_mib,
                "bars": bars,
            }),
        })
    }
}

/// What came of each page, for scripts.
fn pages_json(opened: &Opened) -> Value {
    PAGES.iter().zip(&opened.pages).map(|(page, tally)| (page.name.to_owned(), tally.json())).collect()
}

/// What came of each page, and of all together, for people.
fn pages_table(opened: &Opened) -> anyhow::Result<Table> {
    let mut table =
        Table::new(["page", "%", "requests", "p50, ms", "p95", "p99", "max", "304", "failed", "KiB each"]);
    let all = opened.all()?;
    let shares = PAGES.iter().map(|page| (page.name, page.share)).chain([("all", 100)]);
    for ((name, share), tally) in shares.zip(opened.pages.iter().chain([&all])) {
        let percentile = |percent| number(tally.latencies.percentile(percent));
        let kib = tally.bytes as f64 / 1024.0 / tally.with(200).max(1) as f64;
        table.row([
            name.to_owned(),
            share.to_string(),
            tally.requests().to_string(),
            percentile(50.0),
            percentile(95.0),
            percentile(99.0),
            number(tally.latencies.max()),
            tally.with(304).to_string(),
            tally.failed().to_string(),
            number(kib),
        ]);
    }
    Ok(table)
}
