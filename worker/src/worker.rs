//! What all stages of a worker share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use backon::BackoffBuilder as _;
use shared::admin::dump::{Pool, Work};
use shared::db::Database;
use shared::db::definition::Definitions;
use shared::task::{TaskKind, WorkerId};

use crate::config::{Config, Tries};
use crate::effects::EffectLog;
use crate::engine::parent::Engine;
use crate::identity::Identity;
use crate::lease::Leases;
use crate::limits;
use crate::plan::Plan;
use crate::quarantine::Quarantine;
use crate::slots::Slots;
use crate::stages::Stages;

/// A running worker.
pub struct Worker {
    /// The database.
    pub database: Database,
    /// Who it is, and how busy.
    pub identity: Identity,
    /// What it owns.
    pub leases: Arc<Leases>,
    /// What is limited, and who waits for that.
    pub limits: limits::Control,
    /// What lies before the stages of its pools.
    pub stages: Stages,
    /// What it knows of jobs.
    pub definitions: Definitions,
    /// Runs engine operations.
    pub engine: Engine,
    /// How often and how long tasks may be tried, by kind.
    pub tries: BTreeMap<TaskKind, Tries>,
    /// What pretended work writes down.
    pub effects: EffectLog,
    /// Gives a task a process of its own; absent in such a process.
    pub quarantine: Option<Quarantine>,
    /// How long a task stays its own without a heartbeat.
    pub lease: Duration,
    /// For what is needed only while an operation runs.
    pub scratch: PathBuf,
    /// Where `restore` tasks write.
    pub restore_root: Option<PathBuf>,
}

impl Worker {
    /// A worker that owns nothing yet, with the slots of its pools.
    ///
    /// # Errors
    /// This program's own file, or the effect log, cannot be had.
    pub fn new(
        config: Config,
        database: Database,
        id: WorkerId,
        pools: BTreeMap<TaskKind, Slots>,
        quarantine: Option<Quarantine>,
    ) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("finding this program, which is its own engine")?;
        let effects = match &config.effect_log {
            Some(path) => {
                EffectLog::open(path).with_context(|| format!("opening the effect log {}", path.display()))?
            }
            None => EffectLog::default(),
        };
        let limits = limits::Control::new(&config.name, pools.clone());
        Ok(Self {
            database,
            identity: Identity::new(id, config.name, pools),
            leases: Arc::default(),
            limits,
            stages: Stages::default(),
            definitions: Definitions::default(),
            engine: Engine::new(program),
            tries: config.pools.iter().map(|(kind, pool)| (*kind, pool.tries)).collect(),
            effects,
            quarantine,
            lease: config.lease,
            scratch: config.scratch,
            restore_root: config.restore_root,
        })
    }

    /// How often and how long a task may be tried: its job's word, or else its pool's.
    pub fn tries(&self, kind: TaskKind, plan: &Plan) -> Tries {
        let pool = self.tries.get(&kind).copied().unwrap_or(Tries::of(kind));
        let job = plan.job().and_then(|plan| plan.job.job.tries.get(&kind)).copied().unwrap_or_default();
        Tries {
            attempts: job.attempts.unwrap_or(pool.attempts),
            timeout: job.timeout.unwrap_or(pool.timeout),
        }
    }

    /// What it works on at this moment.
    #[must_use]
    pub fn work(&self) -> Work {
        let pool = |(kind, slots): (&TaskKind, &Slots)| {
            let waiting_for = self.limits.lines().waited_for(*kind);
            Pool {
                kind: kind.to_string(),
                state: slots.setting().borrow().state.to_string(),
                slots: slots.total(),
                busy: slots.busy(),
                waiting_for: waiting_for.iter().map(ToString::to_string).collect(),
            }
        };
        Work {
            stages: self.stages.look(),
            running: self.leases.running(),
            pools: self.identity.pools.iter().map(pool).collect(),
        }
    }

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
