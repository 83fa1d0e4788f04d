//! What all stages of a worker share.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backon::BackoffBuilder as _;
use shared::db::Database;

use crate::engine::parent::Engine;
use crate::lease::{Identity, Leases};
use crate::plan::Plans;

/// A running worker.
pub struct Worker {
    /// The database.
    pub database: Database,
    /// Who it is, and how busy.
    pub identity: Identity,
    /// What it owns.
    pub leases: Arc<Leases>,
    /// What it knows of jobs.
    pub plans: Plans,
    /// Runs engine operations.
    pub engine: Engine,
    /// How long a task stays its own without a heartbeat.
    pub lease: Duration,
    /// For what is needed only while an operation runs.
    pub scratch: PathBuf,
    /// Where `restore` tasks write.
    pub restore_root: Option<PathBuf>,
}

impl Worker {
    /// Delays between tries of a transaction while the database is away, without end.
    pub fn backoff(&self) -> impl Iterator<Item = Duration> + use<> {
        backon::ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(Duration::from_secs(5))
            .with_jitter()
            .without_max_times()
            .build()
    }
}
