//! Celery from the Python package index, in a virtual environment of its own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use devstack::{Service, ServiceCommand};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio_postgres::Client;

use crate::system::{Servers, connect};

/// What is installed, each in one version.
const REQUIREMENTS: &str = include_str!("../../peers/celery/requirements.txt");
/// The programs, which are written beside the logs.
const PROGRAMS: [(&str, &str); 2] = [
    ("peer.py", include_str!("../../peers/celery/peer.py")),
    ("publish.py", include_str!("../../peers/celery/publish.py")),
];

/// Without a key on the id, so that Celery's inserts cost no more than they must; what came twice is counted.
const TABLE: &str = "create table done (id uuid not null, job text not null,
     at timestamptz not null default clock_timestamp())";

/// Nothing may stand still for longer.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a worker may take to end.
const STOP: Duration = Duration::from_secs(40);

/// How Celery is tuned.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Tuning {
    /// Processes that work.
    pub(crate) processes: u16,
    /// Messages that each of them may have in advance.
    pub(crate) prefetch: u16,
    /// Processes that publish.
    pub(crate) publishers: u16,
    /// Messages that each of those may have unconfirmed.
    pub(crate) window: u16,
}

/// A worker of Celery's, with a queue and a database of its own.
pub(crate) struct Celery {
    python: PathBuf,
    directory: PathBuf,
    amqp_url: String,
    database_url: String,
    client: Client,
    worker: Service,
    tuning: Tuning,
    asked: i64,
    /// The versions, as people may see them.
    pub(crate) version: String,
}

impl Celery {
    /// Installs what is missing and starts the worker.
    pub(crate) async fn start(servers: &Servers, tuning: Tuning) -> anyhow::Result<Self> {
        // By the interpreter: the scripts beside it hold the path that the environment had when it was made.
        let python = environment().await?.join("bin/python");
        let directory = servers.directory().join("celery");
        std::fs::create_dir(&directory)?;
        for (name, program) in PROGRAMS {
            std::fs::write(directory.join(name), program)?;
        }
        let database_url = servers.create_database("celery").await?;
        let client = connect(&database_url).await?;
        client.batch_execute(TABLE).await?;
        let processes = format!("--concurrency={}", tuning.processes);
        let prefetch = format!("--prefetch-multiplier={}", tuning.prefetch);
        let command = ServiceCommand::new("celery", directory.join("worker.log"))
            .args(["-m", "celery", "--app=peer", "worker", "--pool=prefork", "--loglevel=WARNING", "-Ofair"])
            .args([&processes, &prefetch])
            .args(["--without-gossip", "--without-mingle", "--without-heartbeat"])
            .env("PYTHONPATH", &directory)
            .env("AMQP_URL", servers.amqp_url())
            .env("DATABASE_URL", &database_url);
        let worker = Service::start_program(&python, command)?;
        let wanted = |name: &str| {
            let line = REQUIREMENTS.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.strip_prefix("==")).unwrap_or_default()
        };
        Ok(Self {
            python,
            directory,
            amqp_url: servers.amqp_url().to_owned(),
            database_url,
            client,
            worker,
            tuning,
            asked: 0,
            version: format!("Celery {} with psycopg {}", wanted("celery"), wanted("psycopg")),
        })
    }

    /// Runs `tasks` tasks; returns the seconds from the first publish to the last insert.
    pub(crate) async fn run(&mut self, tasks: usize, jobs: usize) -> anyhow::Result<f64> {
        let publishers = usize::from(self.tuning.publishers);
        let mut started = Vec::new();
        for number in 0..publishers {
            let share = tasks / publishers + usize::from(number < tasks % publishers);
            started.push(self.publisher(share, jobs).await?);
        }
        self.asked += i64::try_from(tasks)?;
        let begin =
            self.client.query_one("select extract(epoch from clock_timestamp())::float8", &[]).await?;
        let begin: f64 = begin.try_get(0)?;
        for publisher in &mut started {
            publisher.begin().await?;
        }
        for publisher in started {
            publisher.end().await?;
        }
        self.until_done().await?;
        let end = self.client.query_one("select extract(epoch from max(at))::float8 from done", &[]).await?;
        Ok(end.try_get::<_, f64>(0)? - begin)
    }

    /// Checks that each task that was asked for was done once.
    pub(crate) async fn check(&self) -> anyhow::Result<()> {
        let row = self.client.query_one("select count(*), count(distinct id) from done", &[]).await?;
        let (rows, tasks): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let (lost, doubled) = (self.asked - tasks, rows - tasks);
        ensure!((lost, doubled) == (0, 0), "Celery lost {lost} tasks and did {doubled} twice");
        Ok(())
    }

    /// Stops the worker.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        let exit = self.worker.stop(STOP).await?;
        ensure!(exit.success(), "Celery ended with {exit}; its log ends:\n{}", self.worker.log());
        Ok(())
    }

    async fn publisher(&self, tasks: usize, jobs: usize) -> anyhow::Result<Publisher> {
        let mut process = Command::new(&self.python)
            .arg(self.directory.join("publish.py"))
            .args([tasks.to_string(), jobs.to_string(), self.tuning.window.to_string()])
            .env("AMQP_URL", &self.amqp_url)
            .env("DATABASE_URL", &self.database_url)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let begin = process.stdin.take().context("a publisher without input")?;
        let said = process.stdout.take().context("a publisher without output")?;
        let mut publisher = Publisher { process, begin, said: BufReader::new(said) };
        publisher.hear("ready").await?;
        Ok(publisher)
    }

    async fn until_done(&self) -> anyhow::Result<()> {
        let (mut last, mut moved) = (0, Instant::now());
        loop {
            let done: i64 = self.client.query_one("select count(*) from done", &[]).await?.try_get(0)?;
            if done >= self.asked {
                return Ok(());
            }
            if done != last {
                (last, moved) = (done, Instant::now());
            }
            if let Some(exit) = self.worker.exit()? {
                anyhow::bail!("Celery ended by itself with {exit}; its log ends:\n{}", self.worker.log());
            }
            ensure!(
                moved.elapsed() < PATIENCE,
                "Celery did {done} of {} tasks, and there is no change for a minute; its log ends:\n{}",
                self.asked,
                self.worker.log()
            );
            // The end is taken from the rows; looking seldom leaves the time to the load.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// A process that publishes.
struct Publisher {
    process: Child,
    begin: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Publisher {
    async fn begin(&mut self) -> anyhow::Result<()> {
        Ok(self.begin.write_all(b"\n").await?)
    }

    async fn end(mut self) -> anyhow::Result<()> {
        self.hear("confirmed").await?;
        let status = self.process.wait().await?;
        ensure!(status.success(), "Celery's publisher ended with {status}");
        Ok(())
    }

    async fn hear(&mut self, wanted: &str) -> anyhow::Result<()> {
        let mut line = String::new();
        self.said.read_line(&mut line).await?;
        ensure!(line.trim_end() == wanted, "Celery's publisher said {line:?} instead of {wanted}");
        Ok(())
    }
}

/// The virtual environment, which is made at the first use and again when other versions are wanted.
async fn environment() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(2).context("this program is in no build directory")?;
    let directory = target.join("peers/celery");
    let installed = directory.join("requirements.txt");
    if std::fs::read_to_string(&installed).is_ok_and(|text| text == REQUIREMENTS) {
        return Ok(directory);
    }
    eprintln!("installing Celery into {}", directory.display());
    std::fs::create_dir_all(&directory)?;
    let advice = "Celery is installed from PyPI with Python's venv and pip: install python3 and python3-venv, and let \
                  pip reach a package index";
    run(Path::new("python3"), &["-m", "venv", "--clear", "."], &directory).await.context(advice)?;
    let wanted = directory.join("wanted.txt");
    std::fs::write(&wanted, REQUIREMENTS)?;
    let install =
        ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", "wanted.txt"];
    run(&directory.join("bin/python"), &install, &directory).await.context(advice)?;
    std::fs::rename(&wanted, &installed)?;
    Ok(directory)
}

async fn run(program: &Path, arguments: &[&str], directory: &Path) -> anyhow::Result<()> {
    let output =
        Command::new(program).args(arguments).current_dir(directory).stdin(Stdio::null()).output().await;
    let output = output.with_context(|| format!("running {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{} {} ended with {}: {}",
        program.display(),
        arguments.join(" "),
        output.status,
        said.trim()
    );
    Ok(())
}
