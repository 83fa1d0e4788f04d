//! The world of one test.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use shared::db::Database;
use tempfile::TempDir;

use crate::broker::VirtualHost;
use crate::{Servers, database};

/// How long anything may take that a test waits for: far more than it ever needs, far less than for ever.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// A private database, a private virtual host, and a directory.
pub struct World {
    /// Connections to the private database.
    pub database: Database,
    /// The private virtual host.
    pub broker: VirtualHost,
    pub(crate) database_url: String,
    directory: TempDir,
}

impl World {
    /// Makes the world on the servers of `cargo xtask test`; its name is new, so that tests run side by side.
    pub async fn new() -> Self {
        Self::on(&Servers::from_environment()).await
    }

    /// Makes the world on other servers.
    pub async fn on(servers: &Servers) -> Self {
        let name = format!("t{}", uuid::Uuid::now_v7().simple());
        let (database_url, broker) =
            tokio::join!(database::create(&servers.database, &name), VirtualHost::create(servers, &name));
        let database = Database::new(&database_url.as_str().into(), "holdfast test").unwrap();
        let directory = tempfile::Builder::new().prefix("holdfast-").tempdir().unwrap();
        let world = Self { database, broker, database_url, directory };
        for folder in ["scratch", "restored", "repositories", "source"] {
            std::fs::create_dir(world.path(folder)).unwrap();
        }
        std::fs::write(world.path("password"), "correct horse\n").unwrap();
        world
    }

    /// Where the private database is.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// A path in the test's directory.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Leaves the directory with the programs' logs where it is; returns where that is.
    pub fn keep(&mut self) -> &Path {
        self.directory.disable_cleanup(true);
        self.directory.path()
    }

    /// Writes a file in the test's directory and returns its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// One number from the database.
    pub async fn number(&self, statement: &str) -> i64 {
        let client = self.database.client().await.unwrap();
        client.query_one(statement, &[]).await.unwrap_or_else(|error| panic!("{statement}: {error:?}")).get(0)
    }

    /// One text from the database; `None` without a row.
    pub async fn text(&self, statement: &str) -> Option<String> {
        let client = self.database.client().await.unwrap();
        let row = client.query_opt(statement, &[]).await;
        row.unwrap_or_else(|error| panic!("{statement}: {error:?}")).and_then(|row| row.get(0))
    }

    /// Changes something in the database.
    pub async fn execute(&self, statement: &str) {
        let client = self.database.client().await.unwrap();
        client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }

    /// Waits until nothing waits or runs any more; what waits for a target's return may stay.
    pub async fn wait_until_idle(&self) {
        let open =
            "select (select count(*) from task where waiting_for is null or waiting_for like 'limit:%')
             + (select count(*) from lease)";
        eventually("no task waits or runs", async || (self.number(open).await == 0).then_some(())).await;
    }

    /// Checks what must hold after every test, whatever happened in it.
    pub async fn check_invariants(&self) {
        let twice =
            "select count(*) from (select task_id from execution where outcome in ('success', 'warning')
             group by task_id having count(*) > 1) t";
        assert_eq!(self.number(twice).await, 0, "a task has more than one committed result");
        let both = "select count(*) from task join lease on lease.task_id = task.id";
        assert_eq!(self.number(both).await, 0, "a task waits and runs at once");
        let settled = "select count(*) from (select id from task union all select task_id from lease) open
             where exists (select from execution e where e.task_id = open.id and e.outcome in ('success', 'warning'))
                or exists (select from dead_task d where d.id = open.id)";
        assert_eq!(self.number(settled).await, 0, "a task has left a terminal state");
        let unknown = "select count(*) from (select id from task union all select task_id from lease
             union all select task_id from execution) t where not exists (select from known_id k where k.id = t.id)";
        assert_eq!(self.number(unknown).await, 0, "a task was never known");
        let chain = "select count(*) from compliance c where chain_length <>
             (select count(*) from evidence e where e.job_id = c.job_id)";
        assert_eq!(
            self.number(chain).await,
            0,
            "a job's chain of evidence has another length than its evidence"
        );
        let rows = "select count(*) from (select from compliance group by job_id having count(*) > 1) t";
        assert_eq!(self.number(rows).await, 0, "a job has more than one row to record in");
    }
}

/// Bytes that do not compress and have no duplicates, always the same: each becomes a byte of a pack.
pub fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend(state.to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}

/// Polls until something is there.
///
/// # Panics
/// After [`DEADLINE`], naming what was awaited.
pub async fn eventually<T: Debug>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
