//! The book of limits: what is limited, and which limits a task comes under, for one version of the definitions.

use std::collections::HashMap;
use std::sync::Arc;

use deadpool_postgres::GenericClient;
use serde::Deserialize;
use shared::db;
use shared::db::job::JobKeys;
use shared::db::pool_setting::{self, PoolSetting};
use shared::job::{JobId, JobName};
use shared::limit::{Key, Label, Limit};
use shared::message::Refusal;
use shared::params::Params;
use shared::target::TargetName;
use shared::task::TaskKind;

use super::gate::Gate;

/// A limited key.
#[derive(Debug)]
pub struct Limited {
    /// Which.
    pub key: Key,
    /// Its text, as tables have it.
    pub name: String,
    /// What it is limited to.
    pub limit: Limit,
    /// Lets starts through, where its rate is limited.
    pub gate: Option<Arc<Gate>>,
}

/// What is limited, and what jobs come under.
#[derive(Debug, Default)]
pub struct Book {
    version: i64,
    limits: HashMap<Key, Arc<Limited>>,
    /// Those that ask the database for each few starts.
    strict: Vec<Arc<Limited>>,
    /// Whether the target of a task is of interest.
    limits_targets: bool,
    jobs: HashMap<JobId, JobEntry>,
    ids: HashMap<JobName, JobId>,
    pools: Vec<PoolSetting>,
}

/// What is known of a job.
#[derive(Debug)]
struct JobEntry {
    owner: String,
    /// What its owner and its source are limited to.
    own: Vec<Arc<Limited>>,
    target: Option<TargetName>,
    name: JobName,
    active: bool,
}

/// The limits that one task comes under.
pub type Limits = Vec<Arc<Limited>>;

impl Book {
    /// Reads the book of a version of the definitions, which was read first. A gate whose rate is still the same stays the
    /// one that it was.
    pub async fn read<C: GenericClient>(client: &C, version: i64, before: &Self) -> Result<Self, db::Error> {
        let settings = db::limit::all(client).await?;
        let limits: HashMap<Key, Arc<Limited>> = db::limit::effective(&settings)
            .into_values()
            .map(|setting| {
                let (key, limit) = (setting.key.clone(), setting.limit);
                let gate = limit.rate().map(|rate| {
                    let gate = before.limit(&key).and_then(|limited| limited.gate.clone());
                    let same = |gate: &Arc<Gate>| gate.rate() == rate && gate.is_strict() == limit.strict;
                    gate.filter(same).unwrap_or_else(|| Arc::new(Gate::new(rate, limit.strict)))
                });
                (key.clone(), Arc::new(Limited { name: key.to_string(), key, limit, gate }))
            })
            .collect();
        let of = |key: Option<Key>| key.and_then(|key| limits.get(&key)).cloned();
        let (mut jobs, mut ids) = (HashMap::new(), HashMap::new());
        for job in db::job::keys(client).await? {
            let owner = job.owner.parse::<Label>().ok().map(Key::Owner);
            let source = job.source.parse::<Label>().ok().map(Key::Source);
            let own = of(owner).into_iter().chain(of(source)).collect();
            let id = job.id;
            ids.insert(job.name.clone(), id);
            let JobKeys { name, owner, target, active, .. } = job;
            let entry = JobEntry { owner, own, target, name, active };
            jobs.insert(id, entry);
        }
        let limits_targets = limits.keys().any(|key| matches!(key, Key::Target(_)));
        let pools = pool_setting::all(client).await?;
        let strict = limits.values().filter(|limited| limited.limit.strict).cloned().collect();
        Ok(Self { version, limits, strict, limits_targets, jobs, ids, pools })
    }

    /// The version of the definitions that it was read for.
    #[must_use]
    pub const fn version(&self) -> i64 {
        self.version
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }

    /// What a key is limited to, if it is.
    #[must_use]
    pub fn limit(&self, key: &Key) -> Option<&Arc<Limited>> {
        self.limits.get(key)
    }

    /// All gates with their keys.
    pub fn gates(&self) -> impl Iterator<Item = (&Key, &Gate)> {
        self.limits.values().filter_map(|limited| Some((&limited.key, limited.gate.as_deref()?)))
    }

    /// The gates of strict limits.
    pub fn strict_gates(&self) -> impl Iterator<Item = (&Key, &Gate)> {
        self.strict.iter().filter_map(|limited| Some((&limited.key, limited.gate.as_deref()?)))
    }

    /// What people told pools.
    #[must_use]
    pub fn pools(&self) -> &[PoolSetting] {
        &self.pools
    }

    /// The number of a job; `None` for one that was not there when the book was read.
    #[must_use]
    pub fn id(&self, job: &JobName) -> Option<JobId> {
        self.ids.get(job).copied()
    }

    /// Why a task of a job that waited may not start any more, if so.
    #[must_use]
    pub fn refuses(&self, job: Option<JobId>) -> Option<Refusal> {
        let job = self.jobs.get(&job?)?;
        (!job.active).then(|| Refusal::InactiveJob(job.name.to_string()))
    }

    /// Whose line the tasks of a job stand in; those without a job have one of their own.
    #[must_use]
    pub fn owner(&self, job: Option<JobId>) -> &str {
        job.and_then(|job| self.jobs.get(&job)).map_or("", |job| &job.owner)
    }

    /// How much an owner gets compared with others, from 1.
    #[must_use]
    pub fn weight(&self, owner: &str) -> u32 {
        let key = owner.parse().ok().map(Key::Owner);
        key.and_then(|key| self.limits.get(&key)?.limit.weight).unwrap_or(1)
    }

    /// The limits that a task comes under.
    #[must_use]
    pub fn limits(&self, kind: TaskKind, job: Option<JobId>, params: &Params) -> Limits {
        if self.is_empty() {
            return Limits::new();
        }
        let job = job.and_then(|job| self.jobs.get(&job));
        let mut limits: Limits = self.limits.get(&Key::Pool(kind)).cloned().into_iter().collect();
        limits.extend(job.iter().flat_map(|job| &job.own).cloned());
        // Who only notes what another system did uses no target.
        if self.limits_targets
            && kind != TaskKind::Record
            && let Some(target) = target(kind, params).or_else(|| job?.target.clone())
        {
            limits.extend(self.limits.get(&Key::Target(target)).cloned());
        }
        limits
    }
}

/// The target that a task names; without one it works on its job's first.
fn target(kind: TaskKind, params: &Params) -> Option<TargetName> {
    #[derive(Deserialize)]
    struct Named {
        target: Option<TargetName>,
    }
    if kind == TaskKind::Backup {
        return None;
    }
    Named::deserialize(params.json()).ok()?.target
}
