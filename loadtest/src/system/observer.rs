//! Whoever looks at the programs while they work: metrics are scraped, and a collector takes traces.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{Fleet, scrape};

/// A scrape takes place so often: Prometheus does it every 15 s.
const EVERY: Duration = Duration::from_secs(1);

/// A collector on this machine.
pub(crate) struct Observer {
    share: f64,
    endpoint: String,
    taken: Arc<AtomicU64>,
    running: JoinSet<anyhow::Result<()>>,
}

/// An observer at work.
pub(crate) struct Observed {
    share: f64,
    taken: Arc<AtomicU64>,
    last: Arc<Mutex<Vec<String>>>,
    _running: JoinSet<anyhow::Result<()>>,
}

/// What was seen.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Seen {
    /// The share of the tasks that were traced.
    share: f64,
    /// Spans that were sent until the last scrape.
    spans: f64,
    /// Spans for which there was no room.
    dropped: f64,
    /// Bytes that the collector took.
    bytes: u64,
}

impl Observer {
    /// Starts a collector for traces of a share of the tasks.
    pub(crate) async fn start(share: f64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (endpoint, taken) = (format!("http://{}", listener.local_addr()?), Arc::new(AtomicU64::new(0)));
        let counted = taken.clone();
        let take = async move |body: Bytes| {
            counted.fetch_add(body.len() as u64, Ordering::Relaxed);
        };
        let router = Router::new().route("/v1/traces", post(take)).layer(DefaultBodyLimit::disable());
        let mut running = JoinSet::new();
        running.spawn(async move { Ok(axum::serve(listener, router).await?) });
        Ok(Self { share, endpoint, taken, running })
    }

    /// What tells the programs of it.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("HOLDFAST_TRACES_ENDPOINT", self.endpoint.clone()),
            ("HOLDFAST_TRACES_SAMPLE", self.share.to_string()),
            ("HOLDFAST_LISTEN", "127.0.0.1:0".to_owned()),
            // Where they listen is said at this level.
            ("HOLDFAST_LOG", "warn,shared::http=info".to_owned()),
        ]
    }

    /// Scrapes what a fleet measures, again and again.
    pub(crate) fn watch(self, fleet: &Fleet) -> anyhow::Result<Observed> {
        let Self { share, taken, mut running, .. } = self;
        let programs = fleet.workers.iter().chain(&fleet.producer);
        let addresses = programs
            .map(|service| scrape::address(&service.log()).context("a program does not say where it listens"))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let last = Arc::new(Mutex::new(Vec::new()));
        let kept = last.clone();
        running.spawn(async move {
            loop {
                let mut all = Vec::new();
                for address in &addresses {
                    // One that has stopped has been scraped before.
                    let Ok(text) = scrape::scrape(address).await else { return Ok(()) };
                    all.push(text);
                }
                if let Ok(mut last) = kept.lock() {
                    *last = all;
                }
                tokio::time::sleep(EVERY).await;
            }
        });
        Ok(Observed { share, taken, last, _running: running })
    }
}

impl Observed {
    /// What was seen until the programs ended; nothing of what was to be seen is an error.
    pub(crate) fn end(self) -> anyhow::Result<Seen> {
        let last = self.last.lock().ok().context("the scrapes have failed")?;
        let sum = |name: &str| -> f64 {
            let lines = last.iter().flat_map(|text| text.lines());
            let values = lines.filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit_once(' '));
            values.filter_map(|(_, value)| value.parse::<f64>().ok()).sum()
        };
        let seen = Seen {
            share: self.share,
            spans: sum("holdfast_traces_sent_total"),
            dropped: sum("holdfast_traces_dropped_total"),
            bytes: self.taken.load(Ordering::Relaxed),
        };
        ensure!(sum("holdfast_worker_attempts_total") > 0.0, "no attempt was seen in the metrics");
        ensure!(self.share <= 0.0 || seen.bytes > 0, "the collector has taken nothing");
        Ok(seen)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { share, spans, dropped, bytes } = self;
        write!(
            f,
            " Worker and producer were scraped each second, and traced {:.0} % of the tasks: a collector took {spans:.0} spans, {:.0} MiB, and \
             {dropped:.0} found no room in the queue.",
            share * 100.0,
            *bytes as f64 / f64::from(1 << 20),
        )
    }
}
