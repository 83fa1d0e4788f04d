//! The three services.

use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use devstack::{Service, Stack};
use tokio::time::sleep;

use super::{place::Place, programs::Programs, screen::Act};

/// How long a service may take until it works.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// More than the grace that the services themselves have.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

/// One process each.
pub(super) struct Services {
    producer: Service,
    worker: Service,
    reporter: Service,
    /// `http://ADDRESS:PORT`
    pub(super) reporter_url: String,
}

impl Services {
    /// Brings the database's schema up and starts the services.
    pub(super) async fn start(programs: &Programs, place: &Place) -> anyhow::Result<Self> {
        let act = Act::begin("Starting");
        programs.run("producer", &["migrate"]).await?;
        let start = |name: &str| Service::start(programs.service(name, &place.path(&format!("{name}.log"))));
        let (producer, worker, reporter) = (start("producer")?, start("worker")?, start("reporter")?);
        let reporter_url = address(&reporter).await?;
        act.done("Ready", "producer, worker and reporter");
        Ok(Self { producer, worker, reporter, reporter_url })
    }

    /// Waits until a service or a server has ended by itself, and says which and why.
    pub(super) async fn unexpected_end(&self, stack: &Stack) -> anyhow::Error {
        loop {
            match self.ended(stack) {
                Ok(None) => sleep(Duration::from_millis(200)).await,
                Ok(Some(error)) | Err(error) => return error,
            }
        }
    }

    fn ended(&self, stack: &Stack) -> anyhow::Result<Option<anyhow::Error>> {
        for (name, service) in self.by_name() {
            if let Some(exit) = service.exit()? {
                return Ok(Some(anyhow!("the {name} ended by itself with {exit}; {}", tail(service))));
            }
        }
        for (name, exit) in [("PostgreSQL", stack.postgres.exit()?), ("RabbitMQ", stack.rabbitmq.exit()?)] {
            if let Some(exit) = exit {
                let logs = stack.directory().display();
                return Ok(Some(anyhow!("{name} ended by itself with {exit}; its log is in {logs}")));
            }
        }
        Ok(None)
    }

    fn by_name(&self) -> [(&'static str, &Service); 3] {
        [("producer", &self.producer), ("worker", &self.worker), ("reporter", &self.reporter)]
    }

    /// Stops all of them, together.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        let (worker, producer, reporter) = tokio::join!(
            self.worker.stop(STOPPED_WITHIN),
            self.producer.stop(STOPPED_WITHIN),
            self.reporter.stop(STOPPED_WITHIN)
        );
        worker.and(producer).and(reporter).map(drop)
    }
}

/// The address that the reporter took, from its log.
async fn address(reporter: &Service) -> anyhow::Result<String> {
    let began = Instant::now();
    loop {
        let log = reporter.log();
        let said = log.split_once("address=").and_then(|(_, rest)| rest.split_once(char::is_whitespace));
        if let Some((address, _)) = said {
            return Ok(format!("http://{address}"));
        }
        if let Some(exit) = reporter.exit()? {
            bail!("the reporter ended with {exit}; {}", tail(reporter));
        }
        if began.elapsed() > READY_WITHIN {
            bail!("the reporter does not listen; {}", tail(reporter));
        }
        sleep(Duration::from_millis(20)).await;
    }
}

fn tail(service: &Service) -> String {
    const LINES: usize = 20;
    let log = service.log();
    let lines: Vec<&str> = log.lines().collect();
    let tail = &lines[lines.len().saturating_sub(LINES)..];
    format!("its log {} ends with:\n    {}", service.log_path().display(), tail.join("\n    "))
}
