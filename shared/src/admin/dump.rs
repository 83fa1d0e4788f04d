//! What a process tells of itself.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::runtime::Handle;

use super::Insight;
use crate::db::Database;
use crate::lifecycle::{Loop, Loops};

/// What it does at this moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tasks {
    /// The program.
    pub program: String,
    /// Its runtime.
    pub runtime: Runtime,
    /// Its own tasks, in the order in which they began.
    pub loops: Vec<Loop>,
    /// What lies before the stages of its pools.
    pub stages: Vec<Stage>,
    /// The tasks that it owns.
    pub running: Vec<Running>,
}

/// The runtime that a process's tasks run on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// Its threads.
    pub threads: usize,
    /// The tasks that have not ended.
    pub tasks: usize,
    /// Those that are ready to run and wait for a thread.
    pub queued: usize,
}

/// What lies before a stage of a pool: what it has not taken yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Which pool.
    pub pool: String,
    /// Which stage.
    pub stage: String,
    /// What waits for it.
    pub waiting: usize,
    /// How much may wait before the stage in front of it is held up.
    pub most: usize,
}

/// A task that a worker owns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Running {
    /// Its id.
    pub id: String,
    /// What it does.
    pub kind: String,
    /// For which job.
    pub job: Option<String>,
    /// How often it was tried, with this time.
    pub attempt: i32,
    /// Its owner's epoch.
    pub epoch: i64,
    /// The stage that it is in.
    pub stage: String,
    /// Since it is owned, in seconds.
    pub seconds: f64,
    /// How far it is, as it was told last and is not stored yet.
    pub progress: Option<Value>,
}

/// What it has to work with, and how much of that is in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pools {
    /// The program.
    pub program: String,
    /// The pools of tasks.
    pub pools: Vec<Pool>,
    /// The pools of connections.
    pub connections: Vec<Connections>,
}

/// A pool of tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// The kind of its tasks.
    pub kind: String,
    /// Whether it gives out its slots.
    pub state: String,
    /// Its slots.
    pub slots: usize,
    /// Those that are taken.
    pub busy: usize,
    /// What tasks of the kind wait for in the database, as far as this process knows.
    pub waiting_for: Vec<String>,
}

/// A pool of connections to a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// What they are for.
    pub pool: String,
    /// The most that are opened.
    pub most: usize,
    /// Open.
    pub open: usize,
    /// Open and free.
    pub free: usize,
    /// Callers that wait for one.
    pub waiting: usize,
    /// Callers that waited in vain, since the process began.
    pub exhausted: u64,
}

/// What a process with pools works on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Work {
    /// What lies before the stages.
    pub stages: Vec<Stage>,
    /// The tasks that it owns.
    pub running: Vec<Running>,
    /// The pools.
    pub pools: Vec<Pool>,
}

impl Insight {
    pub(super) fn tasks(&self, loops: &Loops) -> Tasks {
        let Work { stages, mut running, .. } = self.work();
        // What runs for longest is most likely what is looked for.
        running.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        Tasks {
            program: self.program.to_owned(),
            runtime: Runtime::look(),
            loops: loops.look(),
            stages,
            running,
        }
    }

    pub(super) fn pools(&self) -> Pools {
        let connections = self.databases.iter().map(|(pool, database)| Connections::of(pool, database));
        Pools {
            program: self.program.to_owned(),
            pools: self.work().pools,
            connections: connections.collect(),
        }
    }

    fn work(&self) -> Work {
        self.work.as_ref().map(|look| look()).unwrap_or_default()
    }
}

impl Runtime {
    fn look() -> Self {
        let metrics = Handle::current().metrics();
        Self {
            threads: metrics.num_workers(),
            tasks: metrics.num_alive_tasks(),
            queued: metrics.global_queue_depth(),
        }
    }
}

impl Connections {
    fn of(pool: &str, database: &Database) -> Self {
        let status = database.status();
        Self {
            pool: pool.to_owned(),
            most: status.limit,
            open: status.size,
            free: status.available,
            waiting: status.waiting,
            exhausted: status.exhausted,
        }
    }
}
