//! A private RabbitMQ node with a port mapper (`epmd`) of its own.

mod epmd;
mod node;

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use rustix::process::Signal;

use crate::{
    certificate::Certificate,
    exit::Exit,
    group::Group,
    home::Home,
    ports,
    probe::{amqp_answers, management_answers},
    progress::Progress,
    servers::{Found, Server, find},
    stack::Options,
};
use epmd::Epmd;
use node::{Node, Ports, USER};

/// Five seconds on two idle cores; Erlang starts slowly where many tests compete for them.
const READY_WITHIN: Duration = Duration::from_mins(2);
/// Closing queues with many messages takes long.
const STOPPED_WITHIN: Duration = Duration::from_secs(30);
/// At its end a stack gives the node this long. RabbitMQ 3.10 closes its listeners and writes its queues at
/// once, then waits five seconds for itself (the statistics' event handler and the application controller
/// call each other); nobody needs to watch that, and what it stored survives SIGKILL.
const FINISHED_WITHIN: Duration = Duration::from_secs(2);
/// How many picks of ports may be taken by somebody else before use.
const PORT_PICKS: u32 = 5;

/// A private RabbitMQ node with the management and Prometheus plugins and one administrator, `holdfast`.
#[derive(Debug)]
pub struct RabbitMq {
    node: Node,
    // Before `epmd`, hence dropped before it.
    server: Option<Group>,
    epmd: Option<Epmd>,
    password: String,
    progress: Progress,
}

impl RabbitMq {
    /// Starts a node below `home`, with the data of an earlier one if there is any.
    pub(crate) async fn begin(home: &Home, options: &Options) -> anyhow::Result<Self> {
        let Found::Ready(installed) = find(Server::RabbitMq) else {
            bail!(
                "RabbitMQ {} or newer is not installed: run `cargo xtask setup`",
                Server::RabbitMq.oldest()
            );
        };
        // A node reads the files of its own release series only.
        let series = format!("rabbitmq-{}.{}", installed.version.major, installed.version.minor);
        let directory = home.directory(series.as_ref())?;
        let password = password(home, &directory.join("password"))?;
        let node = Node {
            installed,
            home: home.clone(),
            directory,
            ports: Ports::pick()?,
            settings: options.rabbitmq_settings.clone(),
            advanced: options.rabbitmq_advanced.clone(),
            certificate: options.certificate.clone(),
        };
        let mut rabbitmq = Self { node, server: None, epmd: None, password, progress: options.progress };
        for _ in 0..PORT_PICKS {
            match rabbitmq.attempt().await {
                Ok(()) => return Ok(rabbitmq),
                Err(Failure::Other(error)) => return Err(error),
                Err(Failure::PortTaken) => {
                    rabbitmq.epmd = None;
                    rabbitmq.node.ports = Ports::pick()?;
                }
            }
        }
        bail!("{PORT_PICKS} picks of ports for RabbitMQ were taken by others before it could use them");
    }

    /// `amqp://holdfast:PASSWORD@127.0.0.1:PORT/%2f`, the same for the life of this value.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://{USER}:{}@127.0.0.1:{}/%2f", self.password, self.node.ports.amqp)
    }

    /// `http://holdfast:PASSWORD@127.0.0.1:PORT`, the root of the management API.
    #[must_use]
    pub fn management_url(&self) -> String {
        format!("http://{USER}:{}@127.0.0.1:{}", self.password, self.node.ports.management)
    }

    /// `http://127.0.0.1:PORT/metrics`, for Prometheus.
    #[must_use]
    pub fn metrics_url(&self) -> String {
        format!("http://127.0.0.1:{}/metrics", self.node.ports.prometheus)
    }

    /// The TCP port of AMQP.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.node.ports.amqp
    }

    /// The TCP port of AMQP by TLS, for a node that was started with a certificate.
    #[must_use]
    pub fn tls_port(&self) -> u16 {
        self.node.ports.amqps
    }

    /// Shows another certificate to whoever connects from now on.
    pub async fn show(&mut self, certificate: Certificate) -> anyhow::Result<()> {
        self.node.certificate = Some(certificate);
        self.node.write_certificate()?;
        // What was read from files is kept for two minutes.
        self.control(&["eval", "ssl:clear_pem_cache()."]).await.map(drop)
    }

    /// The TCP port of the management API.
    #[must_use]
    pub fn management_port(&self) -> u16 {
        self.node.ports.management
    }

    /// Starts the stopped node again, on the same ports, and waits until AMQP and the management API
    /// answer.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        if self.server.is_some() {
            bail!("RabbitMQ is already started");
        }
        self.attempt().await.map_err(|failure| match failure {
            Failure::PortTaken => anyhow!("a port of RabbitMQ was taken by another process"),
            Failure::Other(error) => error,
        })
    }

    /// Stops the node in order: connections are closed, queues are written. Up to RabbitMQ 3.10 this takes
    /// six seconds.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.running()?.end(Signal::TERM, STOPPED_WITHIN).await?;
        Ok(())
    }

    /// Kills the node with SIGKILL.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.running()?.kill().await?;
        Ok(())
    }

    /// Kills the node and starts it again: clients see their connections break.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.kill().await?;
        self.start().await
    }

    /// Deletes everything the node stored, queues and exchanges too; kills it first if it runs, and leaves
    /// it stopped.
    pub async fn wipe(&mut self) -> anyhow::Result<()> {
        if self.server.is_some() {
            self.kill().await?;
        }
        let data = self.node.data();
        fs::remove_dir_all(&data).with_context(|| format!("cannot remove {}", data.display()))
    }

    /// Runs `rabbitmqctl` against the node and answers with its standard output.
    ///
    /// Errors: it did not succeed; the error holds what it said.
    pub async fn control(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.node.control(arguments).await
    }

    /// How the node ended, if it did without being asked to.
    pub fn exit(&self) -> anyhow::Result<Option<Exit>> {
        self.server.as_ref().map_or(Ok(None), Group::exit)
    }

    /// Stops the node if it runs, and the port mapper; the end of a stack that goes on another time.
    pub(crate) async fn finish(&mut self) -> anyhow::Result<()> {
        if let Some(server) = self.server.take() {
            server.end(Signal::TERM, FINISHED_WITHIN).await?;
        }
        self.abandon().await
    }

    /// Ends node and port mapper if they run; nobody will look at the data again.
    pub(crate) async fn abandon(&mut self) -> anyhow::Result<()> {
        if let Some(server) = self.server.take() {
            server.kill().await?;
        }
        if let Some(epmd) = self.epmd.take() {
            epmd.end().await?;
        }
        Ok(())
    }

    fn running(&mut self) -> anyhow::Result<Group> {
        self.server.take().context("RabbitMQ is not started")
    }

    async fn attempt(&mut self) -> Result<(), Failure> {
        let started = Instant::now();
        let Ports { amqp, management, .. } = self.node.ports;
        self.progress
            .tell("Starting", &format!("RabbitMQ {} on 127.0.0.1:{amqp}", self.node.installed.version));
        if !self.epmd.as_ref().is_some_and(Epmd::is_running) {
            self.epmd = Some(Epmd::start(&self.node.home, self.node.ports.epmd).await?);
        }
        let server = self.node.launch(&self.password)?;
        let answers = async || amqp_answers(amqp).await && management_answers(management).await;
        server
            .wait_until(READY_WITHIN, answers)
            .await
            .map_err(|error| Failure::of(error, &server.output()))?;
        self.server = Some(server);
        self.progress.tell("Ready", &format!("RabbitMQ in {:.1} s", started.elapsed().as_secs_f64()));
        Ok(())
    }
}

/// Why a node did not come up.
enum Failure {
    /// Worth another try with other ports.
    PortTaken,
    Other(anyhow::Error),
}

impl Failure {
    fn of(error: anyhow::Error, output: &str) -> Self {
        if ports::is_about_a_taken_port(output) { Self::PortTaken } else { Self::Other(error) }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

/// The administrator's password, made up when the node is new.
fn password(home: &Home, file: &PathBuf) -> anyhow::Result<String> {
    if let Ok(password) = fs::read_to_string(file) {
        return Ok(password);
    }
    let password = ports::random_password()?;
    home.write(file, &password)?;
    Ok(password)
}
