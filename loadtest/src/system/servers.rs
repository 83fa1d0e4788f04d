//! A PostgreSQL server and a RabbitMQ node: private ones, or those that somebody names.

use std::path::Path;

use anyhow::Context as _;
use devstack::{Claim, Options, Progress, Stack};
use lapin::{Connection, ConnectionProperties};
use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

/// What a busy server of this size would be given; durability stays as it is.
const POSTGRES_SETTINGS: &str = "\
shared_buffers = '2GB'
max_wal_size = '8GB'
checkpoint_timeout = '15min'
";

/// The servers that a scenario loads.
pub(crate) struct Servers {
    /// Absent when they are somebody else's.
    stack: Option<Stack>,
    database_url: String,
    amqp_url: String,
    // The last field: the directory goes after the servers.
    directory: TempDir,
}

impl Servers {
    /// Starts private servers, whose data goes with this value.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("holdfast-load-").tempdir()?;
        let claim = Claim::try_new(&directory.path().join("stack"))?.context("a new directory is in use")?;
        let options = Options {
            progress: Progress::Shown,
            postgres_settings: POSTGRES_SETTINGS.to_owned(),
            ..Options::default()
        };
        let stack = Stack::start_in(claim, options).await?;
        let (database_url, amqp_url) = (stack.postgres.url(), stack.rabbitmq.url());
        Ok(Self { stack: Some(stack), database_url, amqp_url, directory })
    }

    /// Takes servers that run already: their database is migrated and gets the load's jobs. One that cannot be reached
    /// is an error at once.
    pub(crate) async fn given(database_url: String, amqp_url: String) -> anyhow::Result<Self> {
        connect(&database_url).await.context("--database-url leads to no database")?;
        let broker = Connection::connect(&amqp_url, ConnectionProperties::default()).await;
        broker.context("--amqp-url leads to no broker")?.close(200, "done".into()).await?;
        let directory = tempfile::Builder::new().prefix("holdfast-load-").tempdir()?;
        Ok(Self { stack: None, database_url, amqp_url, directory })
    }

    /// The database that Holdfast is loaded in.
    pub(crate) fn database_url(&self) -> &str {
        &self.database_url
    }

    /// The broker.
    pub(crate) fn amqp_url(&self) -> &str {
        &self.amqp_url
    }

    /// Where logs and other files of this run may be put.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Creates an empty database beside the other one, under its name and `suffix`, and returns its URL. One that an
    /// earlier run left is dropped first.
    pub(crate) async fn create_database(&self, suffix: &str) -> anyhow::Result<String> {
        let config: tokio_postgres::Config = self.database_url.parse()?;
        let name = format!("{}_{suffix}", config.get_dbname().context("the database's URL names none")?);
        let client = connect(&self.database_url).await?;
        client.batch_execute(&format!("drop database if exists \"{name}\" with (force)")).await?;
        client.batch_execute(&format!("create database \"{name}\"")).await.with_context(|| {
            format!("creating the database {name}, which needs the right to create databases")
        })?;
        let (base, _) = self.database_url.rsplit_once('/').context("the database's URL has no path")?;
        Ok(format!("{base}/{name}"))
    }

    /// Ends private servers; others are left as they are.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        match self.stack {
            Some(stack) => stack.discard().await,
            None => Ok(()),
        }
    }
}

/// Opens one connection, whose driver runs until the client is dropped.
pub(crate) async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    #[expect(clippy::disallowed_methods, reason = "whoever uses the client hears of the connection's end")]
    drop(tokio::spawn(connection));
    Ok(client)
}
