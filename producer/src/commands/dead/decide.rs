//! What `producer dead replay` and `producer dead drop` have in common: which are meant, and how it is told.

use shared::broker::Delivered;
use shared::clock;
use shared::db::dead_task::{self, DeadState, Filter, Stored};
use shared::db::{self, Database};
use shared::task::TaskId;
use uuid::Uuid;

use super::filters::Filters;
use super::letter::Letter;
use super::letters::Letters;
use super::show::unknown;
use super::{discard, replay};
use crate::commands::life::Dead;
use crate::commands::{Exit, Failure, actor};
use crate::config::Base;
use crate::operations::Actor;

/// Dead tasks that are decided about in one transaction.
const BATCH: usize = 500;

/// Either ids, or filters with `--yes`: without it nothing is done, and what would be is counted.
#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Selection {
    /// Ids of dead tasks and letters
    ids: Vec<String>,
    #[command(flatten)]
    filters: Filters,
    /// All that nothing was decided about yet
    #[arg(long)]
    all: bool,
    /// Does it to everything that the filters match; without it, only counts
    #[arg(long)]
    yes: bool,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    /// Again.
    Replay,
    /// Away.
    Drop,
}

impl Deed {
    const fn infinitive(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Drop => "drop",
        }
    }

    const fn participle(self) -> &'static str {
        match self {
            Self::Replay => "replayed",
            Self::Drop => "dropped",
        }
    }
}

/// What came of one deed: the sentence that tells it, or why it was not done.
pub(super) type Outcome = Result<String, String>;

pub(super) async fn run(
    database: &Database,
    base: &Base,
    selection: &Selection,
    deed: Deed,
) -> Result<Exit, Failure> {
    selection.check(deed)?;
    let tasks = selection.tasks(database).await?;
    let mut letters = None;
    let mut held = Vec::new();
    if selection.means_letters(&tasks) {
        let letters = letters.insert(Letters::open(base).await?);
        held = selection.letters(letters).await?;
    }
    let ended = decide(database, selection, deed, &tasks, letters.as_ref(), held).await;
    // Also what was refused: nothing is to be held longer than needed.
    if let Some(letters) = letters {
        letters.close().await?;
    }
    ended
}

async fn decide(
    database: &Database,
    selection: &Selection,
    deed: Deed,
    tasks: &[Stored],
    letters: Option<&Letters>,
    held: Vec<(Letter, Delivered)>,
) -> Result<Exit, Failure> {
    let missing = selection.missing(tasks, &held);
    if !missing.is_empty() {
        return Err(unknown(&missing));
    }
    if selection.ids.is_empty() {
        let counts = format!("{} dead tasks and {} dead letters", tasks.len(), held.len());
        if tasks.is_empty() && held.is_empty() {
            shared::say!("nothing matches");
            return Ok(Exit::Done);
        }
        if !selection.yes {
            let verb = deed.infinitive();
            return Err(Failure::BadInput(format!(
                "{counts} match; nothing was done. Add --yes to {verb} them"
            )));
        }
        shared::say!("{counts} match");
    }
    let actor = actor();
    let mut report = Report { deed, exit: Exit::Done };
    for batch in tasks.chunks(BATCH) {
        for (id, outcome) in on_tasks(database, batch, deed, &actor).await? {
            report.tell(&id.to_string(), outcome);
        }
    }
    if let Some(letters) = letters {
        for (letter, delivered) in held {
            let id = letter.id.clone();
            let outcome = match deed {
                Deed::Replay => replay::letter(database, letters, &letter, delivered, &actor.name).await?,
                Deed::Drop => discard::letter(letters, &letter, delivered, &actor.name).await?,
            };
            report.tell(&id, outcome);
        }
    }
    Ok(report.exit)
}

struct Report {
    deed: Deed,
    exit: Exit,
}

impl Report {
    fn tell(&mut self, id: &str, outcome: Outcome) {
        match outcome {
            Ok(done) => shared::say!("{id} {done}"),
            Err(why) => {
                eprintln!("{id} was not {}: {why}", self.deed.participle());
                self.exit = Exit::Failed;
            }
        }
    }
}

/// Decides about tasks in one transaction; the oldest first.
async fn on_tasks(
    database: &Database,
    batch: &[Stored],
    deed: Deed,
    actor: &Actor,
) -> Result<Vec<(TaskId, Outcome)>, db::Error> {
    let (open, settled): (Vec<_>, Vec<_>) = batch.iter().partition(|stored| stored.state == DeadState::Open);
    let ids: Vec<TaskId> = open.iter().map(|stored| stored.task.id).collect();
    let mut outcomes: Vec<(TaskId, Outcome)> = settled
        .into_iter()
        .map(|stored| {
            (stored.task.id, Err(format!("it was {} already", Dead::from(stored.clone()).decided())))
        })
        .collect();
    if !ids.is_empty() {
        let done = match deed {
            Deed::Replay => replay::tasks(database, &ids, actor).await?,
            Deed::Drop => discard::tasks(database, &ids, actor).await?,
        };
        // Somebody else was faster between the list and the lock.
        let late = ids.iter().filter(|id| !done.iter().any(|(other, _)| other == *id));
        outcomes.extend(late.map(|id| (*id, Err("somebody else decided about it meanwhile".to_owned()))));
        outcomes.extend(done);
    }
    Ok(outcomes)
}

impl Selection {
    /// Refuses what could mean more than was meant.
    fn check(&self, deed: Deed) -> Result<(), Failure> {
        let verb = deed.infinitive();
        let by_filter = self.all || self.filters.narrow();
        if !self.ids.is_empty() && (by_filter || self.yes) {
            return Err(Failure::BadInput(
                "name ids, or use filters or --all with --yes; not both".to_owned(),
            ));
        }
        if self.ids.is_empty() && !by_filter {
            return Err(Failure::BadInput(format!(
                "say what to {verb}: ids, or filters such as --job NAME, or --all; `producer dead list` shows what there is"
            )));
        }
        Ok(())
    }

    /// The ids that can be a task's; a letter's may be any text.
    fn task_ids(&self) -> Vec<TaskId> {
        self.ids.iter().filter_map(|id| id.parse::<Uuid>().ok()).map(TaskId).collect()
    }

    /// The tasks that are meant, the oldest first; those that are named also when they are settled.
    async fn tasks(&self, database: &Database) -> Result<Vec<Stored>, db::Error> {
        let by_id = !self.ids.is_empty();
        let filter = match self.filters.of_tasks() {
            Some(_) if by_id => Filter { ids: self.task_ids(), ..Filter::default() },
            Some(filter) => filter,
            None => return Ok(Vec::new()),
        };
        if by_id && filter.ids.is_empty() {
            // To the database, no ids mean all.
            return Ok(Vec::new());
        }
        let mut tasks = dead_task::list(&database.client().await?, &filter, by_id, i64::MAX).await?;
        tasks.reverse();
        Ok(tasks)
    }

    /// Whether letters have to be looked through: an id that is a dead task's means the task.
    fn means_letters(&self, tasks: &[Stored]) -> bool {
        self.filters.mean_letters() && (self.ids.is_empty() || !self.missing(tasks, &[]).is_empty())
    }

    /// The letters that are meant, the oldest first.
    async fn letters(&self, letters: &mut Letters) -> anyhow::Result<Vec<(Letter, Delivered)>> {
        let (now, mut held) = (clock::now(), Vec::new());
        while let Some((letter, delivered)) = letters.next().await? {
            let named = self.ids.is_empty() || self.ids.contains(&letter.id);
            if named && self.filters.match_letter(&letter, now) {
                held.push((letter, delivered));
            }
        }
        held.sort_by(|(one, _), (other, _)| one.position().cmp(&other.position()));
        Ok(held)
    }

    /// The ids that nothing was found for.
    fn missing(&self, tasks: &[Stored], held: &[(Letter, Delivered)]) -> Vec<String> {
        let is_task = |id: &String| {
            id.parse::<Uuid>().is_ok_and(|id| tasks.iter().any(|stored| stored.task.id == TaskId(id)))
        };
        let is_letter = |id: &String| held.iter().any(|(letter, _)| letter.id == *id);
        self.ids.iter().filter(|id| !is_task(id) && !is_letter(id)).cloned().collect()
    }
}
