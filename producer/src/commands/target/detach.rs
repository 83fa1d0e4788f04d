//! `producer target detach`
//!
//! A medium counts as isolated only after evidence: first a worker lists what leaves, then a worker fails to reach
//! it. Each step stands in the target's state, so that an interrupted detach continues where it was.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use chrono::{DateTime, Utc};
use shared::db::target::StoredTarget;
use shared::db::{self, Database};
use shared::evidence::Whereabouts;
use shared::target::{TargetId, TargetName, TargetState};
use tokio::time::{Instant, sleep_until};

use super::{attach, known};
use crate::commands::probes::{self, Probe, Round};
use crate::commands::progress::Progress;
use crate::commands::{Exit, Failure, actor};
use crate::operations::targets;

/// How often the users of the repository are counted.
const POLL: Duration = Duration::from_millis(500);
/// The first pause between two looks whether the medium is away.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest one.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

pub(super) async fn run(database: &Database, name: &TargetName, timeout: Duration) -> Result<Exit, Failure> {
    let mut detach = Detach { database, name, timeout, progress: Progress::new() };
    let target = detach.begin().await?;
    if target.state != TargetState::Detached {
        let hint = || format!("{name} stays in state detaching: run detach again, or attach it");
        if let Some(exit) = detach.empty_out(&target).await.map_err(|error| hinted(error, hint))? {
            return Ok(exit);
        }
    }
    detach.confirm(target.id).await
}

fn hinted(failure: Failure, hint: impl FnOnce() -> String) -> Failure {
    match failure {
        Failure::Failed(error) => Failure::Failed(error.context(hint())),
        bad_input @ Failure::BadInput(_) => bad_input,
    }
}

struct Detach<'a> {
    database: &'a Database,
    name: &'a TargetName,
    timeout: Duration,
    progress: Progress,
}

impl Detach<'_> {
    /// From here on no new work starts; a target that is detached already stays so.
    async fn begin(&self) -> Result<StoredTarget, Failure> {
        let mut client = self.database.client().await?;
        let transaction = client.transaction().await?;
        // Before the target, as whoever applies definitions locks them.
        db::job::lock_definitions(&transaction).await?;
        let target = known(db::target::lock_by_name(&transaction, self.name).await?, self.name)?;
        if target.state == TargetState::Attached {
            targets::set_state(&transaction, &target, TargetState::Detaching, &actor()).await?;
        }
        transaction.commit().await?;
        Ok(target)
    }

    /// Waits for the work to end and lists what leaves; an exit says that the target is attached again.
    async fn empty_out(&mut self, target: &StoredTarget) -> Result<Option<Exit>, Failure> {
        if !self.users_are_gone(target.id).await? {
            self.give_up("its repository is still in use").await?;
            return Ok(Some(Exit::TimedOut));
        }
        match self.probe_all(Instant::now() + self.timeout).await?.1 {
            Round::Succeeded => {}
            Round::TimedOut => {
                self.give_up("its contents were not listed in time; is a worker running?").await?;
                return Ok(Some(Exit::TimedOut));
            }
            Round::Died(error) => {
                self.give_up(&error.to_string()).await?;
                return Ok(Some(Exit::Failed));
            }
        }
        self.leave().await?;
        Ok(None)
    }

    async fn users_are_gone(&mut self, target: TargetId) -> Result<bool, Failure> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let users = db::repository_lock::holders(&self.database.client().await?, target).await?;
            if users == 0 || Instant::now() >= deadline {
                self.progress.clear();
                return Ok(users == 0);
            }
            self.progress.show(&format!("{}: waiting for {users} tasks that use its repository", self.name));
            sleep_until(deadline.min(Instant::now() + POLL)).await;
        }
    }

    /// Sends a round of probes and waits for its end.
    async fn probe_all(&mut self, deadline: Instant) -> Result<(Vec<Probe>, Round), Failure> {
        let mut client = self.database.client().await?;
        let transaction = client.transaction().await?;
        let probes = probes::enqueue(&transaction, self.name).await?;
        transaction.commit().await?;
        drop(client);
        let round = probes::until_finished(self.database, &probes, deadline, &mut self.progress).await;
        self.progress.clear();
        Ok((probes, round?))
    }

    /// Back to attached, unless somebody else has moved it meanwhile.
    async fn give_up(&self, why: &str) -> Result<(), Failure> {
        let mut client = self.database.client().await?;
        let transaction = client.transaction().await?;
        // Before the target, as whoever applies definitions locks them.
        db::job::lock_definitions(&transaction).await?;
        let target = known(db::target::lock_by_name(&transaction, self.name).await?, self.name)?;
        if target.state == TargetState::Detaching {
            attach::attach(&transaction, &target).await?;
        }
        transaction.commit().await?;
        eprintln!("{} was not detached: {why}", self.name);
        Ok(())
    }

    /// What leaves is listed: the medium may go.
    async fn leave(&self) -> Result<(), Failure> {
        let mut client = self.database.client().await?;
        let transaction = client.transaction().await?;
        // Before the target, as whoever applies definitions locks them.
        db::job::lock_definitions(&transaction).await?;
        let target = known(db::target::lock_by_name(&transaction, self.name).await?, self.name)?;
        if target.state == TargetState::Attached {
            return Err(anyhow!("{} was attached by somebody else meanwhile", self.name).into());
        }
        targets::set_state(&transaction, &target, TargetState::Detached, &actor()).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Waits until a worker has failed to reach the medium for every job that has data on it.
    async fn confirm(&mut self, target: TargetId) -> Result<Exit, Failure> {
        let name = self.name;
        let since = db::now(&self.database.client().await?).await?;
        let deadline = Instant::now() + self.timeout;
        shared::say!(
            "{name} is detached: take the medium away now. Waiting until a worker's probe cannot reach it.."
        );
        let mut pause = FIRST_PAUSE;
        loop {
            let (probes, round) = self.probe_all(deadline).await?;
            if probes.is_empty() {
                shared::say!("It holds no restore points: there is nothing to confirm.");
                return Ok(Exit::Done);
            }
            // A medium that is being pulled may break a probe; the next one finds it away.
            if let Round::Died(error) = round {
                eprintln!("{error:#}");
            }
            if self.is_away(target, &probes, since).await? {
                shared::say!("confirmed: out of reach");
                return Ok(Exit::Done);
            }
            if Instant::now() >= deadline {
                eprintln!("{name} stays detached, but does not count as isolated until a probe confirms it");
                eprintln!("run detach again when the medium is away");
                return Ok(Exit::TimedOut);
            }
            self.progress.show(&format!("{name}: waiting until a worker's probe cannot reach it"));
            sleep_until(deadline.min(Instant::now() + pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn is_away(
        &self,
        target: TargetId,
        probes: &[Probe],
        since: DateTime<Utc>,
    ) -> Result<bool, Failure> {
        let client = self.database.client().await?;
        let stored = known(db::target::by_name(&client, self.name).await?, self.name)?;
        if stored.state != TargetState::Detached {
            return Err(anyhow!("{} was attached by somebody else meanwhile", self.name).into());
        }
        let jobs: Vec<_> = probes.iter().map(|probe| probe.job_id).collect();
        let facts = db::compliance::facts(&client, &jobs).await.context("reading what was observed")?;
        Ok(jobs.iter().all(|job| {
            let whereabouts = facts.get(job).and_then(|facts| facts.get(&target)?.whereabouts.as_ref());
            whereabouts.is_some_and(|fact| fact.says == Whereabouts::Away && fact.at >= since)
        }))
    }
}
