//! What a fault happens in: servers, our programs with short leases, a load, and the log of effects.

use std::fmt::{Debug, Display};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use devstack::{Options, Proxy, Service, Stack};
use serde_json::{Value, json};
use shared::task::TaskId;
use shared::topology;
use tempfile::TempDir;

use super::effects::{EffectLog, most_at_once};
use super::form::{Form, setting};
use super::load::Load;
use super::report::{Bar, Report, bar};
use super::rollups::Rolling;
use super::screen::Screen;
use super::verdict::{Evidence, Verdict};
use crate::{Servers, World};

/// Between two looks at something that takes seconds.
const LOOK: Duration = Duration::from_millis(100);

/// The target of all simulated jobs; nothing is ever there.
pub(super) const TARGET: &str = "nowhere";
/// Tasks of all simulated jobs that may run at once: more than there are slots for. A cap that binds keeps the places of lost workers
/// until their leases are over, and would be what a scenario measures; `limits` has one. Here it has to count right, whatever
/// happens.
const CAP: usize = 1000;

/// What a fault happens in.
pub struct Arena {
    /// Short or full.
    pub form: Form,
    /// A database, a virtual host and a directory of its own.
    pub world: World,
    /// The publishers.
    pub load: Load,
    /// What simulated attempts write down.
    pub effects: EffectLog,
    /// Where to tell how far it is.
    pub screen: Screen,
    fault: &'static str,
    began: Instant,
    /// Where our programs find the broker: the broker itself, or a proxy before it.
    amqp: String,
    /// Whether its jobs come under a cap.
    is_capped: AtomicBool,
    /// Rolls up meanwhile, unless the scenario does so itself.
    rolling: Option<Rolling>,
}

/// Servers of a fault's own, for faults that harm them.
pub struct OwnServers {
    /// The servers.
    pub stack: Stack,
    _directory: TempDir,
}

/// What a scenario adds to what is checked after every fault.
pub struct Findings {
    /// What ran meanwhile.
    pub load: String,
    /// How long it took until all was as before.
    pub recovery: Option<Duration>,
    /// What else had to be met.
    pub bars: Vec<Bar>,
}

impl Arena {
    /// An arena on servers that others use as well. What is recorded in it is rolled up at once.
    pub async fn on(servers: &Servers, fault: &'static str, form: Form, screen: &Screen) -> Self {
        let mut arena = Self::bare(servers, fault, form, screen).await;
        arena.rolling = Some(Rolling::begin(arena.world.database_url()));
        arena
    }

    /// As [`Arena::on`], but nothing is rolled up.
    pub async fn bare(servers: &Servers, fault: &'static str, form: Form, screen: &Screen) -> Self {
        screen.tell("preparing");
        let world = World::on(servers).await;
        let load = Load::new(&world.broker.url, screen);
        Self {
            form,
            load,
            effects: EffectLog::at(world.path("effects.jsonl")),
            screen: screen.clone(),
            fault,
            began: Instant::now(),
            amqp: world.broker.url.clone(),
            world,
            is_capped: AtomicBool::new(false),
            rolling: None,
        }
    }

    /// Defines simulated jobs by their names and sources; they come under a cap and a rate.
    pub async fn define(&self, jobs: impl IntoIterator<Item = (String, Value)>) {
        self.define_beside([], jobs).await;
    }

    /// As [`Arena::define`], beside jobs that come under no limit.
    pub async fn define_beside(
        &self,
        free: impl IntoIterator<Item = (String, Value)>,
        limited: impl IntoIterator<Item = (String, Value)>,
    ) {
        let free = free.into_iter().map(|job| ("free", job));
        let limited = limited.into_iter().map(|job| ("ops", job));
        let jobs: Vec<Value> = free
            .chain(limited)
            .map(|(owner, (name, source))| {
                let mut job = self.world.simulated_job(&name, &[TARGET], &source);
                job["owner"] = json!(owner);
                job
            })
            .collect();
        let targets = [self.world.target(TARGET, &json!({}))];
        let limits =
            json!([{ "owner": "ops", "concurrency": CAP, "starts_per_minute": 300_000, "burst": CAP }]);
        self.world.apply(&json!({ "targets": targets, "jobs": jobs, "limits": limits })).await;
        self.is_capped.store(true, Ordering::Relaxed);
    }

    /// Ends all sessions with the database but the asker's; `None` while it cannot be asked.
    pub async fn cut_database(&self) -> Option<i64> {
        let kick = "select count(pg_terminate_backend(pid)) from pg_stat_activity
             where pid <> pg_backend_pid() and backend_type = 'client backend' and datname = current_database()";
        self.number(kick).await
    }

    /// Puts a proxy between the broker and the programs that are started from now on.
    pub async fn broker_behind_a_proxy(&mut self) -> Proxy {
        let (before, rest) = self.amqp.rsplit_once(':').expect("a URL with a port");
        let (port, host) = rest.split_once('/').expect("a URL with a virtual host");
        let proxy = Proxy::start(port.parse().expect("a port")).await.expect("starting a proxy");
        self.amqp = format!("{before}:{}/{host}", proxy.port());
        proxy
    }

    /// Starts a producer that looks for expired leases often.
    pub fn producer(&self, settings: &[(&str, &str)]) -> Service {
        self.named_producer("producer", settings)
    }

    /// As [`Arena::producer`], where there are several.
    pub fn named_producer(&self, name: &str, settings: &[(&str, &str)]) -> Service {
        let sweep = setting(self.form.sweep());
        let defaults = [
            ("AMQP_URL", self.amqp.as_str()),
            ("HOLDFAST_LOG", "info"),
            ("HOLDFAST_REAPER_INTERVAL", &sweep),
            ("HOLDFAST_GRACE", "5s"),
        ];
        self.world.start("producer", name, &[&defaults, settings].concat())
    }

    /// Starts a worker with short leases that writes effects down.
    pub fn worker(&self, name: &str, settings: &[(&str, &str)]) -> Service {
        let (lease, heartbeat) = (setting(self.form.lease()), setting(self.form.heartbeat()));
        let effects = self.effects.path().display().to_string();
        let defaults = [
            ("AMQP_URL", self.amqp.as_str()),
            // A line for each of a hundred thousand tasks tells nothing.
            ("HOLDFAST_LOG", "info,worker=warn"),
            ("HOLDFAST_NAME", name),
            ("HOLDFAST_LEASE", &lease),
            ("HOLDFAST_HEARTBEAT", &heartbeat),
            ("HOLDFAST_GRACE", "5s"),
            ("HOLDFAST_EFFECT_LOG", &effects),
            ("HOLDFAST_POOLS_BACKUP_SLOTS", "20"),
            ("HOLDFAST_POOLS_VERIFY_SLOTS", "20"),
            ("HOLDFAST_POOLS_RESTORE_SLOTS", "20"),
        ];
        self.world.start("worker", name, &[&defaults, settings].concat())
    }

    /// Says what is going on.
    pub fn tell(&self, what: impl Display) {
        self.screen.tell(what);
    }

    /// Counts one more injection.
    pub fn injected(&self) {
        self.screen.injected();
    }

    /// How often the fault was brought about.
    pub fn injections(&self) -> usize {
        self.screen.injections()
    }

    /// One number from the database; `None` while it cannot be asked.
    pub async fn number(&self, statement: &str) -> Option<i64> {
        let client = self.world.database.client().await.ok()?;
        client.query_one(statement, &[]).await.ok()?.try_get(0).ok()
    }

    /// Waits until the database answers a question with this number. Panics when it does not in time.
    pub async fn until_number(&self, what: &str, limit: Duration, statement: &str, number: i64) {
        until(what, limit, async || (self.number(statement).await == Some(number)).then_some(())).await;
    }

    /// Waits until a running worker holds some lease; panics when that takes longer than anything should.
    pub async fn until_busy(&self, worker: &str) {
        let statement = format!(
            "select least(count(*), 1) from lease l join worker w on w.id = l.worker_id where w.name = '{worker}'"
        );
        self.until_number(&format!("{worker} holds a lease"), Duration::from_mins(1), &statement, 1).await;
    }

    /// Publishes one more task and waits for its result; says how long that took.
    pub async fn mark(&self, job: &str, limit: Duration) -> Duration {
        let started = Instant::now();
        let id = self.load.publish(&super::load::restore(job)).await;
        let statement =
            format!("select count(*) from execution where task_id = '{id}' and outcome = 'success'");
        self.until_number("a task that was published after the fault is done", limit, &statement, 1).await;
        started.elapsed()
    }

    /// Waits until all that was confirmed has come to its end, or until that takes too long; says how long it took.
    pub async fn drain(&self) -> Duration {
        let started = Instant::now();
        while started.elapsed() < self.form.drained_within() {
            if self.is_idle().await {
                break;
            }
            let left = "select (select count(*) from task) + (select count(*) from lease)";
            let left = self.number(left).await.unwrap_or(-1);
            self.tell(format_args!("draining, {left} wait or run"));
            tokio::time::sleep(LOOK).await;
        }
        started.elapsed()
    }

    async fn is_idle(&self) -> bool {
        let open = "select (select count(*) from task) + (select count(*) from lease)";
        if self.number(open).await != Some(0) || !self.queued().await.iter().all(|(_, left)| *left == 0) {
            return false;
        }
        // What a worker has in hand and has not claimed yet is in no table and no queue.
        let confirmed = self.load.confirmed();
        self.known(&confirmed).await.is_some_and(|known| known == confirmed.len())
    }

    /// How many of some ids the database has taken over; `None` while it cannot be asked.
    pub async fn known(&self, ids: &[TaskId]) -> Option<usize> {
        let ids: Vec<uuid::Uuid> = ids.iter().map(|id| id.0).collect();
        let client = self.world.database.client().await.ok()?;
        let statement = "select count(*) from known_id where id = any($1)";
        let count: i64 = client.query_one(statement, &[&ids]).await.ok()?.try_get(0).ok()?;
        usize::try_from(count).ok()
    }

    /// The messages that wait in each queue but the dead letters'.
    async fn queued(&self) -> Vec<(String, u32)> {
        let mut queues = vec![topology::UNROUTED.to_owned(), topology::RETURNED.to_owned()];
        for &kind in shared::task::TaskKind::ALL {
            for &priority in shared::task::Priority::ALL {
                queues.push(topology::queue(kind, priority));
            }
        }
        self.world.broker.ready_all(queues).await
    }

    /// Checks from both sides what came of it all. Everything has been healed and drained, and our programs may
    /// have ended.
    ///
    /// # Errors
    /// A side cannot be asked: then nothing is known.
    pub async fn close(mut self, findings: Findings) -> anyhow::Result<Report> {
        self.tell("checking");
        let evidence = self.evidence().await?;
        let limits = self.limits(&evidence).await;
        let rollups = match self.rolling.take() {
            Some(rolling) => vec![rolling.close().await],
            None => Vec::new(),
        };
        let mut report = Report {
            fault: self.fault,
            form: self.form,
            load: findings.load,
            injections: self.injections(),
            tasks: evidence.published.len(),
            lost: 0,
            doubled: 0,
            stale_commits: 0,
            dead: evidence.dead.len(),
            recovery_s: findings.recovery.map(|recovery| recovery.as_secs_f64()),
            bar: [findings.bars, limits, rollups].concat(),
            passed: false,
            seconds: 0.0,
            violations: Vec::new(),
        };
        report.judge(&Verdict::of(&evidence));
        report.seconds = self.began.elapsed().as_secs_f64();
        if !report.passed {
            report.violations.push(format!("the logs are in {}", self.world.keep().display()));
        }
        Ok(report)
    }

    /// What must hold of the cap of all simulated jobs, where this arena has defined them: I6.
    async fn limits(&self, evidence: &Evidence) -> Vec<Bar> {
        if !self.is_capped.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let caps = format!("select count(*) from cap where key = 'owner:ops' and most = {CAP}");
        let most = most_at_once(&evidence.effects, |_| true);
        let left = "select (select sum(running) from cap) + (select count(*) from line)
             + (select count(*) from task where waiting_for like 'limit:%')";
        vec![
            bar(self.number(&caps).await == Some(1), "I6: the cap is there"),
            bar(most <= CAP, format!("I6: {most} <= {CAP} at once")),
            bar(self.number(left).await == Some(0), "I6: no cap counts what does not run, no line is left"),
        ]
    }

    /// Everything that is known from both sides.
    ///
    /// # Errors
    /// A side cannot be asked.
    pub async fn evidence(&self) -> anyhow::Result<Evidence> {
        Ok(Evidence {
            published: self.load.confirmed(),
            executions: self.world.executions().await?,
            dead: self.world.ids("select id from dead_task").await?,
            dead_letters: self.world.broker.dead_ids().await,
            waiting: self.world.ids("select id from task").await?,
            running: self.world.ids("select task_id from lease").await?,
            queued: self.queued().await,
            effects: self.effects.read()?,
        })
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the logs are in {}", self.world.keep().display());
        }
    }
}

impl OwnServers {
    /// Starts servers.
    ///
    /// # Errors
    /// They do not start.
    pub async fn start(options: Options, screen: &Screen) -> anyhow::Result<Self> {
        screen.tell("starting servers");
        let directory = tempfile::Builder::new().prefix("holdfast-faults-").tempdir()?;
        open_to_all(directory.path())?;
        let claim = devstack::Claim::try_new(&directory.path().join("stack"))?;
        let stack = Stack::start_in(claim.context("the directory is new")?, options).await?;
        Ok(Self { stack, _directory: directory })
    }

    /// Where they are.
    pub fn servers(&self) -> Servers {
        Servers::of(&self.stack)
    }

    /// Ends them.
    ///
    /// # Errors
    /// They do not end.
    pub async fn discard(self) -> anyhow::Result<()> {
        self.stack.discard().await
    }
}

/// Lets the servers' user in, which is not the caller when that is root.
fn open_to_all(directory: &Path) -> std::io::Result<()> {
    std::fs::set_permissions(directory, std::os::unix::fs::PermissionsExt::from_mode(0o755))
}

/// Looks until there is something. Panics after `limit`, naming what was awaited.
pub(super) async fn until<T: Debug>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited for {} s in vain until {what}", limit.as_secs());
        tokio::time::sleep(LOOK).await;
    }
}
