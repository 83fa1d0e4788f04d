//! `loadtest all`: every scenario as docs/benchmarks.md shows it.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::Options;

/// The parts of the document, each with the arguments that make it. One after the other, because each needs the whole
/// machine.
const PARTS: [(&str, &[&str]); 21] = [
    ("throughput", &["throughput"]),
    ("throughput-per-message", &["throughput", "--per-message", "100"]),
    ("throughput-outbox", &["throughput", "--through", "outbox"]),
    ("throughput-observed", &["throughput", "--observed", "0.01"]),
    ("throughput-all-traced", &["throughput", "--observed", "1"]),
    ("latency", &["latency"]),
    ("slots", &["slots"]),
    ("limits", &["limits"]),
    ("allowance", &["allowance"]),
    ("definitions", &["definitions"]),
    ("growth", &["growth"]),
    ("rollups", &["rollups"]),
    ("reports", &["reports"]),
    ("http", &["http"]),
    ("http-storm", &["http", "--storm"]),
    ("memory", &["memory"]),
    ("files", &["files"]),
    ("stress", &["stress"]),
    ("stress-few-slots", &["stress", "--slots", "4"]),
    ("peers", &["peers"]),
    ("peers-per-message", &["peers", "--per-message", "100"]),
];

/// The part of docs/scaling.md.
const OF_SCALING: [(&str, &[&str]); 1] = [("fleet", &["fleet"])];

/// The part of a document that some arguments make, if one does.
pub(crate) fn part(arguments: &[String]) -> Option<&'static str> {
    PARTS.iter().chain(&OF_SCALING).find(|(_, made_by)| *made_by == arguments).map(|(part, _)| *part)
}

/// Every scenario, one after the other
#[derive(Debug, clap::Args)]
pub(crate) struct All {
    /// Runs only these parts of the document
    #[arg(value_name = "PART", value_parser = PARTS.map(|(part, _)| part))]
    parts: Vec<String>,
}

impl All {
    /// Runs all, each in a process of its own with servers of its own. One that fails does not keep the others from
    /// running, but is an error in the end.
    pub(crate) fn run(&self, options: &Options) -> anyhow::Result<()> {
        let Options { json, document, part, database_url, amqp_url } = options;
        let others = json.is_some() || part.is_some() || database_url.is_some() || amqp_url.is_some();
        ensure!(
            !others,
            "`all` takes no option but --document: each scenario has its own figures and servers"
        );
        let program = std::env::current_exe().context("cannot tell where this program is")?;
        let wanted = |part: &str| self.parts.is_empty() || self.parts.iter().any(|wanted| wanted == part);
        let chosen: Vec<_> = PARTS.into_iter().filter(|(part, _)| wanted(part)).collect();
        let mut failed = Vec::new();
        for (number, (part, arguments)) in chosen.iter().enumerate() {
            eprintln!("{} of {}: {part} ({})", number + 1, chosen.len(), arguments.join(" "));
            let mut command = Command::new(&program);
            command.args(*arguments);
            if let Some(document) = document {
                command.arg("--document").arg(document).args(["--part", part]);
            }
            let started = Instant::now();
            let status = command.status()?;
            eprintln!("{part}: {status} after {:.0} s", started.elapsed().as_secs_f64());
            if !status.success() {
                failed.push(*part);
            }
        }
        ensure!(failed.is_empty(), "these failed: {}", failed.join(", "));
        Ok(())
    }
}
