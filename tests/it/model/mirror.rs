//! The transactions of the model, done by the statements themselves.
//!
//! The database's time stands still between two transactions but for what the model lets pass: each begins with
//! moving every stored time along. So comparisons come out alike even where times are exactly the same.

mod tables;
mod transactions;

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Transaction;
use harness::World;
use harness::model::{
    Answer, LEASE, Leased, Millis, Operation, Owner, Publication, REPUBLISH_AFTER, State, TASKS, TaskNo,
};
use shared::db::{known_id, lease, target, task};
use shared::params::Params;
use shared::target::{TargetId, TargetName, TargetState};
use shared::task::{Epoch, Priority, Task, TaskId, TaskKind, WorkerId};

pub(crate) use tables::{Table, tables_of};

/// A private database that follows the model.
pub(crate) struct Mirror {
    world: World,
    target: TargetId,
    tasks: [Task; TASKS],
    workers: HashMap<Owner, WorkerId>,
    /// Attempts as their workers remember them.
    claimed: HashMap<(TaskNo, Epoch), lease::Leased>,
    /// The database's time and the model's at the last transaction.
    last: Option<(DateTime<Utc>, Millis)>,
}

/// What a transaction did.
pub(crate) struct Found {
    pub(crate) answer: Answer,
    pub(crate) tables: Vec<Table>,
}

impl Mirror {
    pub(crate) async fn new() -> Self {
        let world = World::new().await;
        world.execute("insert into target (name, definition) values ('disk-a', '{}')").await;
        let target = world.number("select id::bigint from target").await;
        let target = TargetId(target.try_into().unwrap());
        let (tasks, workers) = (tasks(), HashMap::new());
        Self { world, target, tasks, workers, claimed: HashMap::new(), last: None }
    }

    /// As if nothing had happened yet.
    pub(crate) async fn start_anew(&mut self) {
        self.world.execute("truncate known_id, task, lease, dead_task, execution").await;
        self.world.execute("update target set state = 'attached'").await;
        self.tasks = tasks();
        self.workers.clear();
        self.claimed.clear();
        self.last = None;
    }

    /// Does a transaction that has led the model to `state`.
    pub(crate) async fn apply(&mut self, operation: &Operation, state: &State) -> Found {
        let database = self.world.database.clone();
        let mut client = database.client().await.unwrap();
        let transaction = client.transaction().await.unwrap();
        let now = self.move_times_along(&transaction, state.clocks.database).await;
        let answer = self.perform(&transaction, operation, now).await;
        let tables = self.read(&transaction, now, state.clocks.database).await;
        transaction.commit().await.unwrap();
        Found { answer, tables }
    }

    /// Has stored times stand to this transaction's as the model's stand to the model's.
    async fn move_times_along(&mut self, transaction: &Transaction<'_>, clock: Millis) -> DateTime<Utc> {
        let now: DateTime<Utc> = transaction.query_one("select now()", &[]).await.unwrap().get(0);
        let (before, clock_before) = self.last.replace((now, clock)).unwrap_or((now, clock));
        let by = (now - before) - TimeDelta::milliseconds(clock - clock_before);
        let by = by.num_microseconds().unwrap();
        for statement in [
            "update task set run_at = run_at + $1::bigint * interval '1 us',
                 publish_at = publish_at + $1::bigint * interval '1 us'",
            "update lease set lease_until = lease_until + $1::bigint * interval '1 us'",
        ] {
            let statement = transaction.prepare_cached(statement).await.unwrap();
            transaction.execute(&statement, &[&by]).await.unwrap();
        }
        now
    }

    async fn perform(
        &mut self,
        transaction: &Transaction<'_>,
        operation: &Operation,
        now: DateTime<Utc>,
    ) -> Answer {
        match operation {
            Operation::Enqueue { task, wait } => {
                let fresh = known_id::insert(transaction, &[self.id(*task)]).await.unwrap();
                let row = task::Waiting::new(self.task(*task), now + TimeDelta::milliseconds(*wait));
                if !fresh.is_empty() {
                    task::insert(transaction, &[row]).await.unwrap();
                }
                Answer::Moved(fresh.len().try_into().unwrap())
            }
            Operation::Claim { owner, batch } => self.claim(transaction, *owner, batch, now).await,
            Operation::Heartbeat { owner, held } => {
                let held = self.owned(held);
                let worker = self.worker(*owner);
                let kept = lease::heartbeat(transaction, worker, millis(LEASE), &held).await.unwrap();
                self.owners(kept)
            }
            Operation::Control { owner } => {
                let asked = lease::control(transaction, self.worker(*owner), &[]).await.unwrap();
                self.owners(asked.into_iter().map(|request| (request.task, request.epoch)).collect())
            }
            Operation::Record { owner, finished, jitter } => {
                self.record(transaction, *owner, finished, jitter.fraction(), now).await
            }
            Operation::Reap => self.reap(transaction, now).await,
            Operation::TakeDue => {
                let due =
                    task::take_due(transaction, &[(TaskKind::Report, Priority::Normal, 500)]).await.unwrap();
                let mut due: Vec<_> = due
                    .into_iter()
                    .map(|due| {
                        let (epoch, number) = due.publication;
                        Publication { task: self.number(due.message.id), epoch, number }
                    })
                    .collect();
                due.sort_unstable();
                Answer::Due(due)
            }
            Operation::MarkPublished(publications) => {
                let (publications, again) = (self.publications(publications), millis(REPUBLISH_AFTER));
                Answer::Moved(task::mark_published(transaction, &publications, again).await.unwrap())
            }
            Operation::PublishAgain(publications) => {
                let publications = self.publications(publications);
                Answer::Moved(task::publish_again(transaction, &publications).await.unwrap())
            }
            Operation::CancelWaiting(task) => {
                Answer::Moved(task::cancel(transaction, self.id(*task), "ops").await.unwrap().into())
            }
            Operation::CancelRunning(task) => {
                Answer::Moved(lease::cancel(transaction, self.id(*task), "ops").await.unwrap().into())
            }
            Operation::Attach => {
                target::set_state(transaction, self.target, TargetState::Attached).await.unwrap();
                Answer::Moved(task::wake(transaction, &task::waiting_for(&disk())).await.unwrap())
            }
            Operation::Detach => {
                target::set_state(transaction, self.target, TargetState::Detached).await.unwrap();
                Answer::Moved(0)
            }
        }
    }

    fn worker(&mut self, owner: Owner) -> WorkerId {
        *self.workers.entry(owner).or_insert_with(WorkerId::generate)
    }

    fn task(&self, task: TaskNo) -> Task {
        self.tasks[task.0].clone()
    }

    fn id(&self, task: TaskNo) -> TaskId {
        self.tasks[task.0].id
    }

    fn number(&self, id: TaskId) -> TaskNo {
        TaskNo(self.tasks.iter().position(|task| task.id == id).unwrap())
    }

    fn owned(&self, owned: &[(TaskNo, i64)]) -> Vec<(TaskId, Epoch)> {
        owned.iter().map(|(task, epoch)| (self.id(*task), Epoch(*epoch))).collect()
    }

    fn owners(&self, owners: Vec<(TaskId, Epoch)>) -> Answer {
        let mut owners: Vec<_> =
            owners.into_iter().map(|(task, epoch)| (self.number(task), epoch.0)).collect();
        owners.sort_unstable();
        Answer::Owned(owners)
    }

    fn publications(&self, publications: &[Publication]) -> Vec<(TaskId, (i64, i32))> {
        publications.iter().map(|one| (self.id(one.task), (one.epoch, one.number))).collect()
    }

    fn leased(&self, leased: &[lease::Leased]) -> Answer {
        let of = |leased: &lease::Leased| Leased {
            task: self.number(leased.task.id),
            epoch: leased.epoch.0,
            attempt: leased.attempt,
            rescues: leased.rescues,
        };
        let mut leased: Vec<_> = leased.iter().map(of).collect();
        leased.sort_unstable();
        Answer::Leased(leased)
    }
}

/// Tasks that need no job, in the order of their ids.
fn tasks() -> [Task; TASKS] {
    std::array::from_fn(|_| Task {
        id: TaskId::generate(),
        kind: TaskKind::Report,
        priority: Priority::Normal,
        job: None,
        params: Params::from(&serde_json::json!({})),
        requested_by: "test".to_owned(),
        enqueued_at: shared::clock::now(),
        trace: None,
    })
}

fn disk() -> TargetName {
    "disk-a".parse().unwrap()
}

fn millis(span: Millis) -> Duration {
    Duration::from_millis(span.try_into().unwrap())
}
