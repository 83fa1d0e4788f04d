//! Both servers together, in one directory.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::{
    account::Account,
    certificate::Certificate,
    claim::Claim,
    home::{self, Home},
    leftovers,
    postgres::Postgres,
    progress::Progress,
    rabbitmq::RabbitMq,
};

/// A private PostgreSQL server and a private RabbitMQ node.
///
/// Dropping it, or the end of the process that owns it, ends both servers as well, only less politely than
/// [`Stack::stop`]: they are killed, and their data is recovered at the next start in the same directory.
#[derive(Debug)]
pub struct Stack {
    /// The database server.
    pub postgres: Postgres,
    /// The message broker.
    pub rabbitmq: RabbitMq,
    account: Account,
    // The last field, hence dropped last: the directory is free again only when the servers are gone.
    claim: Claim,
}

/// How to start a stack.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Throw away what earlier servers in the directory stored, instead of going on with it.
    pub fresh: bool,
    /// Where to tell how far the servers are.
    pub progress: Progress,
    /// Lines for `postgresql.conf`, behind our own, which they overrule.
    pub postgres_settings: String,
    /// An existing directory for PostgreSQL's data instead of one below the stack's own, such as a small file
    /// system that can be filled. It is given to the servers' user, and [`Stack::discard`] leaves it alone.
    pub postgres_directory: Option<PathBuf>,
    /// Lines for `rabbitmq.conf`, behind our own.
    pub rabbitmq_settings: String,
    /// The text of `advanced.config`, an Erlang term, for what `rabbitmq.conf` has no key for.
    pub rabbitmq_advanced: String,
    /// What both servers show by TLS. PostgreSQL takes no other connections then; RabbitMQ listens for them at a port of its own.
    pub certificate: Option<Certificate>,
}

impl Stack {
    /// Starts both servers and waits until they answer, keeping what earlier ones in `directory` stored.
    ///
    /// Whatever a killed owner left running there is ended first. Errors: another stack runs in
    /// `directory`, a server is not installed, or one does not come up; then the error shows the end of its
    /// log.
    pub async fn start(directory: &Path) -> anyhow::Result<Self> {
        let claim = Claim::try_new(directory)?
            .with_context(|| format!("another stack runs in {}", directory.display()))?;
        Self::start_in(claim, Options::default()).await
    }

    /// As [`Stack::start`], in a directory claimed before.
    pub async fn start_in(claim: Claim, options: Options) -> anyhow::Result<Self> {
        let ended = leftovers::end(&claim).await?;
        if ended > 0 {
            options.progress.tell("Ended", &format!("{ended} processes of an earlier run that was killed"));
        }
        let account = Account::choose()?;
        if options.fresh {
            home::remove(&claim, account)?;
        }
        let home = Home::open(&claim, account)?;
        home.remove_logs();
        // Together, since each leaves the processors idle for part of its start.
        let (postgres, rabbitmq) =
            tokio::try_join!(Postgres::begin(&home, &options), RabbitMq::begin(&home, &options))?;
        Ok(Self { postgres, rabbitmq, account, claim })
    }

    /// The directory of the stack, with the logs of this run: `postgres.log`, `rabbitmq.log` and `epmd.log`.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.claim.directory()
    }

    /// Stops both servers, those that still run; their data stays. Takes about two seconds.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let (postgres, rabbitmq) = tokio::join!(self.postgres.finish(), self.rabbitmq.finish());
        postgres.and(rabbitmq)
    }

    /// Ends both servers, without ceremony, and deletes what they stored; the logs stay.
    pub async fn discard(mut self) -> anyhow::Result<()> {
        let (postgres, rabbitmq) = tokio::join!(self.postgres.abandon(), self.rabbitmq.abandon());
        postgres.and(rabbitmq)?;
        home::remove(&self.claim, self.account)
    }
}
