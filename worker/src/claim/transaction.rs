//! The claim's transaction: what is known, what starts, what waits.

mod earlier;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use deadpool_postgres::Transaction;
use shared::db::definition::JobWithTargets;
use shared::db::lease::{Caps, Leased};
use shared::db::line::{self, Waiter};
use shared::db::{self, Committed};
use shared::job::JobId;
use shared::limit::Key;
use shared::message::{Refusal, TaskMessage};
use shared::params::Params;
use shared::task::{TaskId, TaskKind};
use shared::trace::Moment;

pub(super) use earlier::Earlier;

use super::Batch;
use super::start::{Rooms, capped};
use super::waiting::{Waiting, park};
use crate::admit::{self, Admitted, Permits, Refused, Wish};
use crate::call::Call;
use crate::engine::clock::BootInstant;
use crate::lease;
use crate::limits::{Book, Limits, Permit};
use crate::worker::Worker;

/// What the transaction decided.
pub(super) struct Persisted {
    pub(super) committed: Committed,
    /// Taken before the transaction, so that it cannot be later than the database's.
    pub(super) deadline: BootInstant,
    /// When it began.
    pub(super) began: Moment,
    /// What is this worker's own now.
    pub(super) started: HashMap<TaskId, Started>,
    /// By place in the batch: two tasks of one id may differ in everything else.
    pub(super) refused: HashMap<usize, Refusal>,
    pub(super) jobs: HashMap<JobId, Arc<JobWithTargets>>,
    /// One for each call.
    pub(super) answers: Vec<Answer>,
    /// The keys for which tasks have begun to wait, and whether their caps are full.
    pub(super) entered: BTreeMap<Key, bool>,
}

/// A task that starts.
pub(super) struct Started {
    pub(super) leased: Leased,
    /// What it has beside the permits that it came with, or instead of those.
    pub(super) permits: Permits,
    /// Since when it stands in the line that it was called from.
    pub(super) since: Option<Moment>,
}

/// What came of a call.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// The tasks that start.
    pub(crate) tasks: Vec<TaskId>,
    /// The line is empty.
    pub(crate) ended: bool,
    /// The cap of its key is full.
    pub(crate) full: bool,
    /// Another key does not let its tasks start, for which they do not change their line.
    pub(crate) blocked: Option<Refused>,
}

/// A task that was delivered and is accepted.
#[derive(Clone, Copy)]
pub(super) struct Accepted<'b> {
    pub(super) task: &'b TaskMessage,
    pub(super) wish: &'b Wish,
    /// Its job and its parameters: those of its row where it is known, whatever the message says.
    pub(super) job: Option<JobId>,
    params: &'b Params,
    pub(super) is_new: bool,
}

/// A task that could start.
struct Candidate<'b> {
    limits: Limits,
    /// Beside those that it came with.
    permits: Permits,
    /// The caps that it is counted under.
    caps: Vec<String>,
    from: Origin<'b>,
}

/// Where a task comes from.
enum Origin<'b> {
    Queue(Accepted<'b>),
    /// The line of the call of this number.
    Line {
        call: usize,
        waiter: Waiter,
    },
}

impl Candidate<'_> {
    const fn is_called(&self) -> bool {
        matches!(self.from, Origin::Line { .. })
    }

    const fn id(&self) -> TaskId {
        match &self.from {
            Origin::Queue(accepted) => accepted.task.id,
            Origin::Line { waiter, .. } => waiter.task.id,
        }
    }
}

/// Claims a batch of one kind.
pub(super) async fn transact(
    kind: TaskKind,
    batch: &Batch,
    earlier: &mut Earlier,
    worker: &Worker,
) -> Result<Persisted, db::Error> {
    let (deadline, began) = (lease::deadline(worker.lease), Moment::now());
    let mut client = worker.database.client().await?;
    let transaction = client.transaction().await?;
    let definitions = worker.definitions.held(&transaction).await?;
    let book = worker.limits.at(&transaction, definitions.version()).await?;
    let names = batch.delivered.iter().filter_map(|admitted| admitted.task.job.as_ref());
    let jobs = definitions.resolve(&transaction, names).await?;
    let tasks = batch.delivered.iter().map(|admitted| &admitted.task);
    let above = db::job::presumptuous(&transaction, tasks, &jobs).await?;

    let (mut refused, mut accepted, mut seen) = (HashMap::new(), Vec::new(), HashSet::new());
    for (place, Admitted { task, wish, .. }) in batch.delivered.iter().enumerate() {
        match above.get(&task.id).map_or_else(|| db::job::accept(task, &jobs), |above| Err(above.clone())) {
            // Of one id in a batch the first counts; the second is acknowledged as known.
            Ok(job) if seen.insert(task.id) => {
                accepted.push(Accepted { task, wish, job, params: &task.params, is_new: false });
            }
            Ok(_) => {}
            Err(refusal) => _ = refused.insert(place, refusal),
        }
    }
    bury(&transaction, &batch.delivered, &mut refused).await?;
    let ids: Vec<TaskId> = accepted.iter().map(|accepted| accepted.task.id).collect();
    let fresh = db::known_id::insert(&transaction, &ids).await?;

    let known = ids.iter().filter(|id| !fresh.contains(id)).copied().collect::<Vec<_>>();
    let rows = if book.is_empty() { HashMap::new() } else { db::task::work(&transaction, &known).await? };

    let now = db::now(&transaction).await?;
    let mut claim =
        Claim { kind, worker, book: &book, transaction: &transaction, waiting: Waiting::default() };
    let (mut candidates, mut parking) = (Vec::new(), Vec::new());
    for accepted in accepted {
        let is_new = fresh.contains(&accepted.task.id);
        let (job, params) = rows
            .get(&accepted.task.id)
            .map_or((accepted.job, accepted.params), |(job, params)| (*job, params));
        let accepted = Accepted { job, params, is_new, ..accepted };
        let its_time_has_come = accepted.task.not_before.is_none_or(|not_before| not_before <= now);
        match accepted.wish {
            Wish::Start(_, permits) if its_time_has_come => {
                candidates.extend(claim.candidate(accepted, permits));
            }
            Wish::Line(key) if its_time_has_come => claim.waiting.add(&accepted, key, false, &book),
            _ => parking.push(accepted),
        }
    }
    let (starting, mut answers) = claim.decide(candidates, batch, earlier).await?;
    let started = claim.lease(starting, &mut answers, batch, earlier).await?;
    claim.waiting.write(&transaction).await?;
    park(&transaction, &parking, now).await?;
    let with_jobs = started.values().filter_map(|started| started.leased.task.job);
    let jobs = definitions.load(&transaction, with_jobs).await?;
    let entered = claim.waiting.entered;
    let committed = db::commit(transaction).await?;
    worker.identity.batches.count("claim", batch.len());
    Ok(Persisted { committed, deadline, began, started, refused, jobs, answers, entered })
}

/// A claim that is being decided.
struct Claim<'c, 't> {
    kind: TaskKind,
    worker: &'c Worker,
    book: &'c Book,
    transaction: &'c Transaction<'t>,
    waiting: Waiting,
}

impl Claim<'_, '_> {
    /// A delivered task that has all its permits; the book may be newer than the one by which it was admitted. Otherwise it is
    /// to wait.
    fn candidate<'b>(&mut self, accepted: Accepted<'b>, permits: &Permits) -> Option<Candidate<'b>> {
        let limits = self.book.limits(self.kind, accepted.job, accepted.params);
        let has = |key: &Key| permits.iter().any(|(of, permit)| of == key && permit.is_valid());
        match admit::permits(&limits, has) {
            Ok(permits) => {
                Some(Candidate { limits, permits, caps: Vec::new(), from: Origin::Queue(accepted) })
            }
            Err(refused) => {
                self.waiting.add(&accepted, &refused.key, false, self.book);
                None
            }
        }
    }

    /// A task that may not start now waits, for what does not let it; but a called one changes its line only for a narrower
    /// key. Otherwise whole lines would move from one key to another and back as one frees and the other fills.
    fn refuse(&mut self, from: &Origin<'_>, refused: Refused, calls: &[Call], answers: &mut [Answer]) {
        match from {
            Origin::Queue(accepted) => self.waiting.add(accepted, &refused.key, refused.full, self.book),
            Origin::Line { call, waiter } => {
                let (own, answer) = (&calls[*call].key, &mut answers[*call]);
                if refused.key.is_narrower_than(own) {
                    self.waiting.move_to(waiter, &refused.key);
                    self.waiting.entered.insert(refused.key, refused.full);
                    return;
                }
                self.waiting.move_to(waiter, own);
                answer.ended = false;
                if refused.key != *own {
                    answer.blocked = Some(refused);
                }
            }
        }
    }

    /// Calls those that wait, and decides which of all may start under their caps.
    async fn decide<'b>(
        &mut self,
        delivered: Vec<Candidate<'b>>,
        batch: &Batch,
        earlier: &mut Earlier,
    ) -> Result<(Vec<Candidate<'b>>, Vec<Answer>), db::Error> {
        let keys: BTreeSet<&Key> =
            delivered.iter().flat_map(|candidate| capped(&candidate.limits)).map(|(key, _)| key).collect();
        if batch.calls.is_empty() && keys.is_empty() && self.waiting.is_empty() {
            return Ok((delivered, Vec::new()));
        }
        line::lock(self.transaction, self.kind).await?;
        let (mut called, mut answers) = (Vec::new(), Vec::new());
        answers.resize_with(batch.calls.len(), Answer::default);
        for number in 0..batch.calls.len() {
            self.call(number, &batch.calls, &mut answers, earlier, &mut called).await?;
        }
        // Who comes later does not overtake those that wait.
        let standing = line::standing(self.transaction, self.kind, &keys).await?;
        let limits = called.iter().chain(&delivered).map(|candidate| &candidate.limits);
        let mut rooms = Rooms::lock(self.transaction, limits).await?;
        let mut starting = Vec::new();
        for mut candidate in called.into_iter().chain(delivered) {
            let behind = match &candidate.from {
                Origin::Queue(_) => {
                    capped(&candidate.limits).map(|(key, _)| key).find(|key| standing.contains(key))
                }
                Origin::Line { .. } => None,
            };
            match behind.map_or_else(|| rooms.enter(&candidate.limits), |key| Err(key.clone())) {
                Ok(caps) => {
                    candidate.caps = caps;
                    starting.push(candidate);
                }
                Err(key) => {
                    let refused = Refused { full: rooms.is_full(&key), key, wait: None };
                    self.refuse(&candidate.from, refused, &batch.calls, &mut answers);
                }
            }
        }
        for (answer, call) in answers.iter_mut().zip(&batch.calls) {
            answer.full |= rooms.is_full(&call.key);
        }
        Ok((starting, answers))
    }

    /// Calls as many tasks of a line as there are slots for them and room under its cap.
    async fn call(
        &mut self,
        number: usize,
        calls: &[Call],
        answers: &mut [Answer],
        earlier: &Earlier,
        called: &mut Vec<Candidate<'_>>,
    ) -> Result<(), db::Error> {
        let Call { key, slots, permits } = &calls[number];
        let rooms = db::cap::rooms(self.transaction, &[key.to_string()]).await?;
        let before = earlier.called.get(number).map_or(0, Vec::len);
        let most = slots.len().saturating_sub(before).min(rooms.get(key).copied().unwrap_or(usize::MAX));
        if most == 0 {
            answers[number].full = rooms.get(key) == Some(&0);
            return Ok(());
        }
        let book = self.book;
        let weight = |owner: &str| book.weight(owner);
        let (waiters, ended) = line::call(self.transaction, self.kind, key, most, weight).await?;
        answers[number].ended = ended;
        let (mut permits, mut dead) = (permits.iter().skip(before), Vec::new());
        for waiter in waiters {
            let task = &waiter.task;
            if let Some(refusal) = book.refuses(task.job) {
                dead.push((task.id, refusal.to_string()));
                continue;
            }
            let limits = book.limits(self.kind, task.job, &task.params);
            let own = permits.next().is_some_and(Permit::is_valid);
            let from = Origin::Line { call: number, waiter };
            match admit::permits(&limits, |of| own && of == key) {
                Ok(permits) => called.push(Candidate { limits, permits, caps: Vec::new(), from }),
                Err(refused) => self.refuse(&from, refused, calls, answers),
            }
        }
        if !dead.is_empty() {
            db::dead_task::bury_waiting(self.transaction, &dead).await?;
        }
        Ok(())
    }

    /// Makes tasks this worker's own.
    async fn lease(
        &self,
        mut starting: Vec<Candidate<'_>>,
        answers: &mut [Answer],
        batch: &Batch,
        earlier: &mut Earlier,
    ) -> Result<HashMap<TaskId, Started>, db::Error> {
        let (own, lease) = (self.worker.identity.id, self.worker.lease);
        let (mut new, mut known, mut called) = (Vec::new(), Vec::new(), Vec::new());
        // One id may be called and delivered at once: what it is counted under goes by what is taken.
        let (mut of_delivered, mut of_called) = (Caps::new(), Caps::new());
        for candidate in &mut starting {
            let of = if candidate.is_called() { &mut of_called } else { &mut of_delivered };
            if !candidate.caps.is_empty() {
                of.insert(candidate.id(), std::mem::take(&mut candidate.caps));
            }
            match &candidate.from {
                Origin::Queue(accepted) if accepted.is_new => new.push(accepted.task.to_task(accepted.job)),
                Origin::Queue(accepted) => known.push(accepted.task.id),
                Origin::Line { waiter, .. } => called.push(waiter.task.id),
            }
        }
        let mut leased = Vec::new();
        if !new.is_empty() {
            leased = db::lease::insert_fresh(self.transaction, own, lease, new, &of_delivered).await?;
        }
        if !known.is_empty() {
            leased
                .extend(db::lease::take_waiting(self.transaction, own, lease, &known, &of_delivered).await?);
        }
        if !called.is_empty() {
            leased.extend(db::lease::take_called(self.transaction, own, lease, &called, &of_called).await?);
        }
        db::lease::count(self.transaction, &leased).await?;
        let mut leased: HashMap<TaskId, Leased> =
            leased.into_iter().map(|leased| (leased.task.id, leased)).collect();

        let mut started = HashMap::new();
        earlier.called.resize(answers.len(), Vec::new());
        for candidate in starting {
            let id = candidate.id();
            // It was finished or cancelled meanwhile, or waits for later: its delivery was a stale copy.
            let Some(leased) = leased.remove(&id) else { continue };
            let mut since = None;
            if let Origin::Line { call, waiter } = candidate.from {
                answers[call].tasks.push(id);
                since = Some(waiter.since.into());
            }
            started.insert(id, Started { leased, permits: candidate.permits, since });
        }
        self.adopt(&mut started, answers, earlier, batch).await?;
        for (called, answer) in earlier.called.iter_mut().zip(&*answers) {
            called.clone_from(&answer.tasks);
        }
        Ok(started)
    }
}

/// A refused task that waits in the database, because its job was active once, becomes a dead task and no dead letter. One
/// that does not wait any more has run, or was cancelled with its job: its delivery was a stale copy.
async fn bury(
    transaction: &Transaction<'_>,
    delivered: &[Admitted],
    refused: &mut HashMap<usize, Refusal>,
) -> Result<(), db::Error> {
    let named: Vec<(TaskId, String)> =
        refused.iter().map(|(place, refusal)| (delivered[*place].task.id, refusal.to_string())).collect();
    if !named.is_empty() {
        let buried = db::dead_task::bury_waiting(transaction, &named).await?;
        refused.retain(|place, _| !buried.contains(&delivered[*place].task.id));
        let ids: Vec<TaskId> = refused.keys().map(|place| delivered[*place].task.id).collect();
        let known = db::known_id::known(transaction, &ids).await?;
        refused.retain(|place, _| !known.contains(&delivered[*place].task.id));
    }
    Ok(())
}
