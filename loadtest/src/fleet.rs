//! Private servers with a migrated database, simulated jobs, and workers beside them.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use devstack::{Service, ServiceCommand, Stack};
use serde_json::json;
use shared::db::Database;
use tempfile::TempDir;

/// What a scenario runs on; all of it ends with it.
pub(crate) struct Fleet {
    pub(crate) stack: Stack,
    pub(crate) database: Database,
    // Workers end before the servers, and the directory last.
    _workers: Vec<Service>,
    _directory: TempDir,
}

impl Fleet {
    /// Starts servers, defines `jobs` simulated jobs named `load-0` and so on, and starts `workers` workers.
    pub(crate) async fn start(jobs: usize, workers: usize, slots: usize) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("holdfast-load-").tempdir()?;
        let stack = Stack::start(&directory.path().join("stack")).await?;
        let run = |arguments: &[&str]| producer(&stack, arguments);
        run(&["migrate"])?;
        let definitions = directory.path().join("definitions.yaml");
        std::fs::write(&definitions, define(directory.path(), jobs).to_string())?;
        run(&["apply", definitions.to_str().context("the temporary directory is not UTF-8")?])?;
        let database = Database::new(&stack.postgres.url().into(), "holdfast loadtest")?;
        let workers = (0..workers)
            .map(|number| {
                let log = directory.path().join(format!("worker-{number}.log"));
                let command = ServiceCommand::new("worker", log)
                    .arg("run")
                    .env("DATABASE_URL", stack.postgres.url())
                    .env("AMQP_URL", stack.rabbitmq.url())
                    .env("HOLDFAST_NAME", format!("load-{number}"))
                    .env("HOLDFAST_POOLS_BACKUP_SLOTS", slots.to_string())
                    .env("HOLDFAST_LOG", "warn");
                Service::start(command)
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { stack, database, _workers: workers, _directory: directory })
    }
}

fn producer(stack: &Stack, arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(devstack::process::binary("producer")?)
        .args(arguments)
        .env("DATABASE_URL", stack.postgres.url())
        .env("AMQP_URL", stack.rabbitmq.url())
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "producer {}: {said}", arguments.join(" "));
    Ok(())
}

fn define(directory: &Path, jobs: usize) -> serde_json::Value {
    let place = json!({ "site": "hq", "media": "disk" });
    let source = json!({ "kind": "simulated", "failure_domain": "host-1", "site": "hq", "media": "disk" });
    let jobs: Vec<_> = (0..jobs)
        .map(|n| json!({ "name": format!("load-{n}"), "owner": "load", "source": source, "targets": ["load"] }))
        .collect();
    json!({
        "targets": [{
            "name": "load", "repository": directory.join("repository"), "failure_domain": "array-1",
            "password": { "env": "UNUSED" }, "site": place["site"], "media": place["media"],
        }],
        "jobs": jobs,
    })
}
