//! A migrated database with pretended jobs, and the programs that work on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use devstack::{Service, ServiceCommand};
use lapin::{Connection, ConnectionProperties};
use serde_json::{Value, json};
use shared::db::Database;
use shared::topology;

use super::{Reporter, Servers};

/// How long a program may take to stop.
const STOP: Duration = Duration::from_secs(40);

/// What a fleet consists of.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// The database; the servers' own by default.
    pub(crate) database_url: Option<String>,
    /// The directory of the programs; this program's own by default.
    pub(crate) programs: Option<PathBuf>,
    /// Pretended jobs `load-0` and so on, all with the target `load`.
    pub(crate) jobs: usize,
    /// Beside its kind and its place, what the jobs' source says: `duration`, `bytes` ..
    pub(crate) source: Value,
    /// Definitions to apply instead of those of pretended jobs.
    pub(crate) definitions: Option<Value>,
    /// Worker processes.
    pub(crate) workers: usize,
    /// The workers' settings, such as `pools.probe.slots`.
    pub(crate) settings: BTreeMap<String, String>,
    /// The reporter's settings, such as `http.pace.machine`.
    pub(crate) reporter_settings: BTreeMap<String, String>,
    /// More in the environment of all programs.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Whether a producer runs: without one, what waits in the database stays there.
    pub(crate) producer: bool,
    /// Whether a reporter runs.
    pub(crate) reporter: bool,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            database_url: None,
            programs: None,
            jobs: 1000,
            source: json!({}),
            definitions: None,
            workers: 1,
            settings: BTreeMap::new(),
            reporter_settings: BTreeMap::new(),
            environment: Vec::new(),
            producer: false,
            reporter: false,
        }
    }
}

/// Programs at work.
pub(crate) struct Fleet {
    /// The database that they work on.
    pub(crate) database: Database,
    /// Its URL.
    pub(crate) database_url: String,
    /// The workers.
    pub(crate) workers: Vec<Service>,
    /// The producer, if one runs.
    pub(crate) producer: Option<Service>,
    /// The reporter, if one runs.
    pub(crate) reporter: Option<Reporter>,
    launch: Launch,
    /// Workers that were ever started.
    started: usize,
}

/// How its programs are started.
struct Launch {
    programs: PathBuf,
    logs: PathBuf,
    database_url: String,
    amqp_url: String,
    settings: BTreeMap<String, String>,
    environment: Vec<(&'static str, String)>,
}

impl Launch {
    fn command(&self, binary: &str, name: &str) -> ServiceCommand {
        let program = self.programs.join(binary);
        let command = ServiceCommand::new(program.to_string_lossy(), self.logs.join(format!("{name}.log")))
            .arg("run")
            .env("DATABASE_URL", &self.database_url)
            .env("AMQP_URL", &self.amqp_url)
            .env("HOLDFAST_LOG", "warn");
        self.environment.iter().fold(command, |command, (name, value)| command.env(*name, value))
    }

    fn worker(&self, number: usize) -> anyhow::Result<Service> {
        let name = format!("load-{number}");
        let command = self.command("worker", &name).env("HOLDFAST_NAME", name);
        Service::start(set(command, &self.settings))
    }
}

fn set(command: ServiceCommand, settings: &BTreeMap<String, String>) -> ServiceCommand {
    settings.iter().fold(command, |command, (key, value)| command.args(["--set", &format!("{key}={value}")]))
}

impl Fleet {
    /// Migrates the database, defines the jobs and starts the programs.
    pub(crate) async fn start(servers: &Servers, layout: Layout) -> anyhow::Result<Self> {
        let database_url = layout.database_url.unwrap_or_else(|| servers.database_url().to_owned());
        let definitions =
            layout.definitions.unwrap_or_else(|| pretended(servers, layout.jobs, &layout.source));
        let programs = layout.programs.unwrap_or_default();
        prepare(servers, &programs, &database_url, &definitions)?;
        declare(servers.amqp_url()).await?;
        let database = Database::new(&database_url.as_str().into(), "holdfast loadtest")?;
        let launch = Launch {
            programs,
            logs: servers.directory().to_owned(),
            database_url: database_url.clone(),
            amqp_url: servers.amqp_url().to_owned(),
            settings: layout.settings,
            environment: layout.environment,
        };
        let workers =
            (0..layout.workers).map(|number| launch.worker(number)).collect::<anyhow::Result<_>>()?;
        let producer =
            layout.producer.then(|| Service::start(launch.command("producer", "producer"))).transpose()?;
        let reporter = if layout.reporter {
            Some(
                Reporter::start(set(launch.command("reporter", "reporter"), &layout.reporter_settings))
                    .await?,
            )
        } else {
            None
        };
        let started = layout.workers;
        let fleet = Self { database, database_url, workers, producer, reporter, launch, started };
        fleet.until_workers_are_seen().await?;
        Ok(fleet)
    }

    /// Starts one worker more.
    pub(crate) fn add_worker(&mut self) -> anyhow::Result<()> {
        self.workers.push(self.launch.worker(self.started)?);
        self.started += 1;
        Ok(())
    }

    /// Stops all programs softly; one that did not end well is an error.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let reporter = self.reporter.map(|reporter| reporter.service);
        for mut service in self.workers.into_iter().chain(self.producer).chain(reporter) {
            let exit = service.stop(STOP).await?;
            ensure!(exit.success(), "a program ended with {exit}; its log ends:\n{}", service.log());
        }
        Ok(())
    }

    async fn until_workers_are_seen(&self) -> anyhow::Result<()> {
        let client = self.database.client().await?;
        let started = tokio::time::Instant::now();
        loop {
            let seen: i64 = client.query_one("select count(*) from worker", &[]).await?.try_get(0)?;
            if usize::try_from(seen)? >= self.workers.len() {
                return Ok(());
            }
            for worker in &self.workers {
                ensure!(worker.exit()?.is_none(), "a worker ended at once; its log:\n{}", worker.log());
            }
            ensure!(started.elapsed() < Duration::from_mins(1), "the workers do not report themselves");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn prepare(
    servers: &Servers,
    programs: &Path,
    database_url: &str,
    definitions: &Value,
) -> anyhow::Result<()> {
    let file: PathBuf = servers.directory().join("definitions.yaml");
    std::fs::write(&file, definitions.to_string())?;
    run_producer(servers, programs, database_url, &["migrate"])?;
    run_producer(
        servers,
        programs,
        database_url,
        &["apply", file.to_str().context("a path that is not UTF-8")?],
    )
}

/// Until a queue is bound, the broker takes its messages and puts them aside as unrouted; and workers are seen before
/// they have declared what they consume.
async fn declare(amqp_url: &str) -> anyhow::Result<()> {
    let connection = Connection::connect(amqp_url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    topology::declare(&channel).await?;
    channel.close(200, "done".into()).await?;
    connection.close(200, "done".into()).await?;
    Ok(())
}

/// Runs a producer's command to its end.
pub(crate) fn producer(servers: &Servers, database_url: &str, arguments: &[&str]) -> anyhow::Result<()> {
    run_producer(servers, Path::new(""), database_url, arguments)
}

fn run_producer(
    servers: &Servers,
    programs: &Path,
    database_url: &str,
    arguments: &[&str],
) -> anyhow::Result<()> {
    let program = programs.join("producer");
    let output = Command::new(devstack::process::binary(&program.to_string_lossy())?)
        .args(arguments)
        .env("DATABASE_URL", database_url)
        .env("AMQP_URL", servers.amqp_url())
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "producer {}: {said}", arguments.join(" "));
    Ok(())
}

/// The definitions of jobs that pretend.
fn pretended(servers: &Servers, jobs: usize, more: &Value) -> Value {
    let mut source =
        json!({ "kind": "simulated", "failure_domain": "host-1", "site": "hq", "media": "disk" });
    if let (Value::Object(source), Value::Object(more)) = (&mut source, more) {
        source.extend(more.clone());
    }
    let jobs: Vec<Value> = (0..jobs)
        .map(|n| json!({ "name": format!("load-{n}"), "owner": "load", "source": source, "targets": ["load"] }))
        .collect();
    json!({
        "targets": [{
            "name": "load", "repository": servers.directory().join("repository"), "site": "hq", "media": "nas",
            "failure_domain": "array-1", "password": { "env": "UNUSED" },
        }],
        "jobs": jobs,
    })
}
