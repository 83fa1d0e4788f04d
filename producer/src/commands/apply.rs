//! `producer apply FILE..`

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use serde_json::json;
use shared::db::job::StoredJob;
use shared::db::target::StoredTarget;
use shared::db::{self, Database, limit};
use shared::job::{Job, JobId};
use shared::limit::{Key, Limit};
use shared::target::{Target, TargetId, TargetName};

use super::{Exit, Failure, operator, scheduled};
use crate::definitions::change::Change;
use crate::definitions::{Definitions, Problem, Problems};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// YAML files with `targets:`, `jobs:` and `limits:`
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Prints one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(database: &Database, args: &Args) -> Result<Exit, Failure> {
    let mut problems = Problems::default();
    let definitions = Definitions::read(&args.files, &mut problems);

    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    db::job::lock_definitions(&transaction).await?;
    let stored = Stored::load(&transaction).await?;
    let targets: Vec<Target> = stored.targets.iter().map(|stored| stored.target.clone()).collect();
    let jobs: Vec<&Job> = stored.jobs.iter().map(|stored| &stored.job).collect();
    definitions.check(&targets, &jobs, &mut problems);
    if !problems.is_empty() {
        print_problems(&problems.into_sorted(), args.json);
        return Ok(Exit::BadInput);
    }
    let plan = Plan::of(&definitions, &stored)?;
    plan.apply(&transaction, &definitions, &stored).await?;
    transaction.commit().await?;
    plan.print(&definitions, args.json);
    Ok(Exit::Done)
}

struct Stored {
    targets: Vec<StoredTarget>,
    jobs: Vec<StoredJob>,
    /// As earlier definitions had them.
    limits: BTreeMap<Key, Limit>,
}

impl Stored {
    async fn load(transaction: &Transaction<'_>) -> Result<Self, db::Error> {
        let limits = limit::all(transaction).await?.into_iter();
        Ok(Self {
            targets: db::target::all(transaction).await?,
            jobs: db::job::all(transaction).await?,
            limits: limits
                .filter(|setting| setting.origin == limit::Origin::Definitions)
                .map(|setting| (setting.key, setting.limit))
                .collect(),
        })
    }
}

/// What applying changes: one change a definition, in the definitions' order.
struct Plan {
    targets: Vec<Change>,
    jobs: Vec<Change>,
    /// Those that are defined, and then those that targets had and have no more.
    limits: Vec<(Key, Change)>,
}

impl Plan {
    fn of(definitions: &Definitions, stored: &Stored) -> anyhow::Result<Self> {
        let targets: BTreeMap<_, _> = stored.targets.iter().map(|s| (&s.target.name, &s.target)).collect();
        let jobs: BTreeMap<_, _> = stored.jobs.iter().map(|s| (&s.job.name, &s.job)).collect();
        let compare = || -> serde_json::Result<Self> {
            let targets = definitions
                .targets
                .iter()
                .map(|target| Change::between(targets.get(&target.name).copied(), target));
            let jobs = definitions.jobs.iter().map(|job| Change::between(jobs.get(&job.name).copied(), job));
            let limits = definitions
                .limits
                .iter()
                .map(|(key, limit)| Ok((key.clone(), Change::between(stored.limits.get(key), limit)?)));
            let gone = gone(definitions, stored).into_iter().map(|key| Ok((key, Change::Removed)));
            Ok(Self {
                targets: targets.collect::<Result<_, _>>()?,
                jobs: jobs.collect::<Result<_, _>>()?,
                limits: limits.chain(gone).collect::<Result<_, _>>()?,
            })
        };
        compare().context("comparing the definitions")
    }

    async fn apply(
        &self,
        transaction: &Transaction<'_>,
        definitions: &Definitions,
        stored: &Stored,
    ) -> Result<(), db::Error> {
        let mut ids: BTreeMap<TargetName, TargetId> =
            stored.targets.iter().map(|stored| (stored.target.name.clone(), stored.id)).collect();
        let mut changed_targets = BTreeSet::new();
        for (target, _) in definitions.targets.iter().zip(&self.targets).filter(|(_, c)| c.is_needed()) {
            let id = db::target::upsert(transaction, target).await?;
            ids.insert(target.name.clone(), id);
            changed_targets.insert(&target.name);
        }
        let uses_changed =
            |stored: &&StoredJob| stored.job.targets.iter().any(|name| changed_targets.contains(name));
        let mut judged: BTreeSet<JobId> =
            stored.jobs.iter().filter(uses_changed).map(|stored| stored.id).collect();
        let mut changed = Vec::new();
        for (job, _) in definitions.jobs.iter().zip(&self.jobs).filter(|(_, c)| c.is_needed()) {
            let targets: Vec<TargetId> =
                job.targets.iter().filter_map(|name| ids.get(name).copied()).collect();
            let id = db::job::upsert(transaction, job, &targets).await?;
            changed.push((id, job));
            judged.insert(id);
        }
        scheduled::set(transaction, &changed).await?;
        let limits = self.change_limits(transaction, definitions).await?;
        let judged: Vec<JobId> = judged.into_iter().collect();
        // What is not committed yet must not be kept in memory.
        let current = db::definition::Definitions::default();
        db::compliance::judge_again(transaction, &current, &judged).await?;
        match limits {
            Some(changed) => changed.finish(transaction).await,
            None => Ok(()),
        }
    }

    async fn change_limits(
        &self,
        transaction: &Transaction<'_>,
        definitions: &Definitions,
    ) -> Result<Option<limit::Changed>, db::Error> {
        let needed: BTreeSet<&Key> =
            self.limits.iter().filter(|(_, change)| change.is_needed()).map(|(key, _)| key).collect();
        if needed.is_empty() {
            return Ok(None);
        }
        let set: Vec<(Key, Limit)> =
            definitions.limits.iter().filter(|(key, _)| needed.contains(key)).cloned().collect();
        let removed = self.limits.iter().filter(|(_, change)| *change == Change::Removed);
        let removed: Vec<Key> = removed.map(|(key, _)| key.clone()).collect();
        let by = operator();
        limit::change(transaction, limit::Origin::Definitions, &set, &removed, &by).await.map(Some)
    }

    fn print(&self, definitions: &Definitions, json: bool) {
        let targets = definitions.targets.iter().map(|target| target.name.as_str());
        let jobs = definitions.jobs.iter().map(|job| job.name.as_str());
        let (targets, jobs) = (targets.zip(&self.targets), jobs.zip(&self.jobs));
        let names: Vec<String> = self.limits.iter().map(|(key, _)| key.to_string()).collect();
        let limits = names.iter().map(String::as_str).zip(self.limits.iter().map(|(_, change)| change));
        if json {
            let changes =
                json!({ "targets": listed(targets), "jobs": listed(jobs), "limits": listed(limits) });
            println!("{changes}");
        } else {
            targets.for_each(|(name, change)| println!("{}", change.line("target", name)));
            jobs.for_each(|(name, change)| println!("{}", change.line("job", name)));
            limits.for_each(|(name, change)| println!("{}", change.line("limit", name)));
        }
    }
}

/// The limits of targets that are defined without them now. Others stay until they are defined anew.
fn gone(definitions: &Definitions, stored: &Stored) -> Vec<Key> {
    let limited: BTreeSet<&Key> = definitions.limits.iter().map(|(key, _)| key).collect();
    let targets = definitions.targets.iter().map(|target| Key::Target(target.name.clone()));
    targets.filter(|key| stored.limits.contains_key(key) && !limited.contains(key)).collect()
}

fn listed<'a>(changes: impl Iterator<Item = (&'a str, &'a Change)>) -> Vec<serde_json::Value> {
    changes
        .map(|(name, change)| match change {
            Change::Changed { fields } => json!({ "name": name, "change": "changed", "fields": fields }),
            Change::Added => json!({ "name": name, "change": "added" }),
            Change::Unchanged => json!({ "name": name, "change": "unchanged" }),
            Change::Removed => json!({ "name": name, "change": "removed" }),
        })
        .collect()
}

fn print_problems(problems: &[Problem], json: bool) {
    if json {
        println!("{}", json!({ "problems": problems }));
    }
    for problem in problems {
        eprintln!("{problem}");
    }
    eprintln!("nothing was applied: {} found", count(problems.len()));
}

fn count(problems: usize) -> String {
    if problems == 1 { "1 problem".to_owned() } else { format!("{problems} problems") }
}
