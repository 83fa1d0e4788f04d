//! A worker's configuration.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use shared::db::DatabaseConfig;
use shared::settings::{Invalid, Settings, Sources};
use shared::task::TaskKind;
use shared::telemetry::Telemetry;

/// Everything that a worker can be told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The database.
    pub database: DatabaseConfig,
    /// The broker.
    pub amqp_url: SecretString,
    /// What people call this worker.
    pub name: String,
    /// How long a task stays this worker's own without a heartbeat.
    pub lease: Duration,
    /// How often leases are extended: at most a third of the lease.
    pub heartbeat: Duration,
    /// How long running work may go on after a soft stop.
    pub grace: Duration,
    /// Where metrics are served; nowhere when absent.
    pub listen: Option<SocketAddr>,
    /// Where the `simulated` executor writes down what it does, for tests that compare it with the database.
    pub effect_log: Option<PathBuf>,
    /// Where restore tests and manifests are put while they are needed.
    pub scratch: PathBuf,
    /// The directory below which `restore` tasks make theirs; without it they are refused.
    pub restore_root: Option<PathBuf>,
    /// The pools, by kind; a kind without slots is left to other workers.
    pub pools: BTreeMap<TaskKind, PoolConfig>,
    /// What is logged.
    pub telemetry: Telemetry,
    /// Where all this came from: a task that runs alone in its process is told the same.
    pub sources: Sources,
}

/// What one pool is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolConfig {
    /// Tasks that run at once.
    pub slots: usize,
    /// How often and how long a task may be tried where its job does not say otherwise.
    pub tries: Tries,
}

/// How often and how long a task may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tries {
    /// Attempts before it is dead, from 1.
    pub attempts: u16,
    /// How long one attempt may take.
    pub timeout: Duration,
}

impl Tries {
    /// The defaults of a kind.
    #[must_use]
    pub const fn of(kind: TaskKind) -> Self {
        Self { attempts: kind.max_attempts(), timeout: kind.time_limit() }
    }
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub fn read(sources: &Sources) -> Result<Self, Invalid> {
        let mut settings = Settings::open(sources);
        let mut config = Self {
            database: DatabaseConfig::read(&mut settings),
            amqp_url: settings.url("amqp_url"),
            name: settings.get("name", host_name()),
            lease: settings.duration("lease", Duration::from_mins(5)),
            heartbeat: settings.duration("heartbeat", Duration::from_secs(30)),
            grace: settings.duration("grace", Duration::from_secs(30)),
            listen: settings.optional("listen"),
            effect_log: settings.optional("effect_log"),
            scratch: settings.get("scratch", std::env::temp_dir()),
            restore_root: settings.optional("restore_root"),
            pools: pools(&mut settings),
            telemetry: Telemetry::read(&mut settings),
            sources: sources.clone(),
        };
        config.check(&mut settings);
        settings.finish()?;
        if config.restore_root.is_none() {
            // Another worker may have one.
            config.pools.remove(&TaskKind::Restore);
        }
        Ok(config)
    }

    fn check(&self, settings: &mut Settings) {
        // Two heartbeats may fail before the lease is in danger.
        if self.heartbeat.is_zero() || self.heartbeat * 3 > self.lease {
            settings.reject("heartbeat: must be more than zero and at most a third of lease".to_owned());
        }
        for (key, path) in [("scratch", Some(&self.scratch)), ("restore_root", self.restore_root.as_ref())] {
            if let Some(path) = path
                && !path.is_dir()
            {
                settings.reject(format!("{key}: {} is not a directory", path.display()));
            }
        }
        if self.pools.is_empty() {
            settings.reject("pools: every pool has 0 slots".to_owned());
        }
    }
}

fn pools(settings: &mut Settings) -> BTreeMap<TaskKind, PoolConfig> {
    let mut pools = BTreeMap::new();
    for &kind in TaskKind::ALL {
        let slots: usize = settings.get(&format!("pools.{kind}.slots"), default_slots(kind));
        let tries = tries(settings, kind);
        if slots > MAX_SLOTS {
            settings.reject(format!("pools.{kind}.slots: at most {MAX_SLOTS}"));
        } else if slots > 0 {
            pools.insert(kind, PoolConfig { slots, tries });
        }
    }
    pools
}

fn tries(settings: &mut Settings, kind: TaskKind) -> Tries {
    let default = Tries::of(kind);
    let tries = Tries {
        attempts: settings.get(&format!("pools.{kind}.attempts"), default.attempts),
        timeout: settings.duration(&format!("pools.{kind}.timeout"), default.timeout),
    };
    if !(1..=100).contains(&tries.attempts) {
        settings.reject(format!("pools.{kind}.attempts: use 1 to 100"));
    }
    if tries.timeout.is_zero() {
        settings.reject(format!("pools.{kind}.timeout: is zero"));
    }
    tries
}

/// Up to twice the slots are prefetched, and the broker counts those in 16 bits.
const MAX_SLOTS: usize = 30_000;

/// Engine operations are bound by one disk or one network each, a prune by the memory for an index as well; probes mostly wait.
const fn default_slots(kind: TaskKind) -> usize {
    match kind {
        TaskKind::Probe => 4,
        TaskKind::Restore | TaskKind::Forget | TaskKind::Report | TaskKind::Maintain => 1,
        _ => 2,
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
