//! A worker's configuration.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::Access;
use secrecy::SecretString;
use shared::admin;
use shared::broker;
use shared::db::DatabaseConfig;
use shared::http::place::Place;
use shared::settings::{Invalid, Settings, Sources, key};
use shared::task::TaskKind;
use shared::telemetry::Telemetry;
use shared::tls::{Files, Trust};
use shared::trace::TraceConfig;

/// Everything that a worker can be told.
#[derive(Debug, Clone)]
pub struct Config {
    /// The database.
    pub database: DatabaseConfig,
    /// Who may vouch for servers.
    pub trust: Trust,
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
    pub listen: Option<Place>,
    /// Where it is looked into; nowhere when absent.
    pub admin: Option<PathBuf>,
    /// Where spans go, and which.
    pub traces: TraceConfig,
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
        let mut config = Self::from(&mut settings, sources);
        config.telemetry.tell_first(settings.finish()?);
        if config.restore_root.is_none() {
            // Another worker may have one.
            config.pools.remove(&TaskKind::Restore);
        }
        Ok(config)
    }

    /// Reads the settings; what is wrong stays with them.
    pub fn from(settings: &mut Settings, sources: &Sources) -> Self {
        let trust = Trust::read(settings);
        let name = key("name", "What people call this worker")
            .default_is("(the machine's name)")
            .such_as("backup-1");
        let lease = key("lease", "How long a task stays this worker's own without a heartbeat");
        let heartbeat = key("heartbeat", "How often leases are extended; at most a third of `lease`");
        let grace = key(
            "grace",
            "How long running work may go on after the first signal; what is not done by then is queued again",
        );
        let effect_log = key("effect_log", "Where pretended work writes down what it does, for tests");
        let scratch = key("scratch", "A directory for restore tests and manifests while they are needed")
            .default_is("(the system's directory for temporary files)")
            .such_as("/var/tmp");
        let restore_root = key(
            "restore_root",
            "The directory below which restore tasks make theirs; without it this worker takes none",
        );
        let config = Self {
            database: DatabaseConfig::read(settings, &trust),
            amqp_url: settings.secret(broker::url_key()),
            admin: admin::socket(settings),
            traces: TraceConfig::read(settings, &trust),
            trust,
            name: settings.get(name, host_name()),
            lease: settings.duration(lease, Duration::from_mins(5)),
            heartbeat: settings.duration(heartbeat, Duration::from_secs(30)),
            grace: settings.duration(grace, Duration::from_secs(30)),
            listen: listen(settings),
            effect_log: settings.optional(effect_log.such_as("/tmp/effects")),
            scratch: settings.get(scratch, std::env::temp_dir()),
            restore_root: settings.optional(restore_root.such_as("/srv/restored")),
            pools: pools(settings),
            telemetry: Telemetry::read(settings),
            sources: sources.clone(),
        };
        config.check(settings);
        config
    }

    fn check(&self, settings: &mut Settings) {
        // Two heartbeats may fail before the lease is in danger.
        if self.heartbeat.is_zero() || self.heartbeat.saturating_mul(3) > self.lease {
            settings.reject("heartbeat: must be more than zero and at most a third of lease".to_owned());
        }
        for (key, path) in [("scratch", Some(&self.scratch)), ("restore_root", self.restore_root.as_ref())] {
            if let Some(path) = path
                && !path.is_dir()
            {
                settings.reject(format!("{key}: {} is not a directory", path.display()));
            } else if let Some(path) = path
                && let Err(error) = rustix::fs::access(path, Access::WRITE_OK | Access::EXEC_OK)
            {
                settings.doubt(format!("{key}: {} cannot be written to: {error}", path.display()));
            }
        }
        broker::check_url(settings, &self.amqp_url);
        if self.pools.is_empty() {
            settings.reject("pools: every pool has 0 slots".to_owned());
        }
    }
}

fn pools(settings: &mut Settings) -> BTreeMap<TaskKind, PoolConfig> {
    let mut pools = BTreeMap::new();
    for &kind in TaskKind::ALL {
        let about =
            format!("How many {kind} tasks run at once; a kind without slots is left to other workers");
        let slots =
            settings.within(key(format!("pools.{kind}.slots"), about), default_slots(kind), 0..=MAX_SLOTS);
        let tries = tries(settings, kind);
        if slots > 0 {
            pools.insert(kind, PoolConfig { slots, tries });
        }
    }
    pools
}

fn tries(settings: &mut Settings, kind: TaskKind) -> Tries {
    let default = Tries::of(kind);
    let attempts = format!("How often a {kind} task is tried; a job's own `tries` come first");
    let timeout = format!("How long one attempt of a {kind} task may take; a job's own `tries` come first");
    let some = (Bound::Excluded(Duration::ZERO), Bound::Unbounded);
    Tries {
        attempts: settings.within(key(format!("pools.{kind}.attempts"), attempts), default.attempts, 1..=100),
        timeout: settings.within(key(format!("pools.{kind}.timeout"), timeout), default.timeout, some),
    }
}

fn listen(settings: &mut Settings) -> Option<Place> {
    let listen = key("listen", "Where health and metrics are served; nowhere when absent");
    let address = settings.optional(listen.such_as("127.0.0.1:8082"));
    let tls = Files::read(settings);
    address.map(|address| Place::new(address, tls, settings))
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
