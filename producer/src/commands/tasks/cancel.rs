//! `producer tasks cancel ID..`

use std::time::Duration;

use shared::db::task::{self, State};
use shared::db::{self, Database, lease};
use shared::task::TaskId;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::show::unknown;
use crate::commands::progress::Progress;
use crate::commands::{Exit, Failure, operator, wait};
use crate::events;

/// How often a task is looked for that moves from waiting to running and back.
const LOOKS: u32 = 20;
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Args {
    /// The tasks' ids
    #[arg(required = true)]
    ids: Vec<Uuid>,
    /// Waits until each has ended
    #[arg(long)]
    wait: bool,
    /// How long to wait for all of them together
    #[arg(long, default_value = "5m", requires = "wait")]
    timeout: humantime::Duration,
}

/// What came of the wish to end a task.
enum Answer {
    /// It was waiting and is ended.
    Ended,
    /// It runs: its worker will end it.
    Asked,
    /// It cannot be ended any more, for this reason.
    Late(String),
}

pub(super) async fn run(database: &Database, args: &Args) -> Result<Exit, Failure> {
    let ids: Vec<TaskId> = args.ids.iter().copied().map(TaskId).collect();
    // Before anything is changed: bad input changes nothing.
    for id in &ids {
        if task::state(&database.client().await?, *id).await? == State::Unknown {
            return Err(unknown(*id));
        }
    }
    let by = operator();
    let (mut exit, mut asked) = (Exit::Done, Vec::new());
    for id in ids {
        match cancel(database, id, &by).await? {
            Answer::Ended => println!("{id} cancelled"),
            Answer::Asked => {
                println!("{id} is being ended by its worker");
                asked.push(id);
            }
            Answer::Late(why) => {
                eprintln!("{id} was not cancelled: {why}");
                exit = Exit::Failed;
            }
        }
    }
    if args.wait {
        let deadline = Instant::now() + args.timeout.into();
        for id in asked {
            match until_ended(database, id, deadline).await? {
                Exit::Done => {}
                other => exit = other,
            }
        }
    }
    Ok(exit)
}

/// Ends a task wherever it is; it may move between the tables meanwhile.
async fn cancel(database: &Database, id: TaskId, by: &str) -> Result<Answer, db::Error> {
    let client = database.client().await?;
    for _ in 0..LOOKS {
        if task::cancel(&client, id, by).await? {
            events::cancelled_waiting(id, by);
            return Ok(Answer::Ended);
        }
        if lease::cancel(&client, id, by).await? {
            events::cancel_asked(id, by);
            return Ok(Answer::Asked);
        }
        match task::state(&client, id).await? {
            State::Queued { .. } | State::Running { .. } => sleep(PAUSE).await,
            State::Succeeded => return Ok(Answer::Late("it is finished".to_owned())),
            State::Cancelled => return Ok(Answer::Late("it was cancelled already".to_owned())),
            State::Dead { .. } => {
                let why = format!("it is dead; `producer dead show {id}` says why");
                return Ok(Answer::Late(why));
            }
            State::Unknown => return Ok(Answer::Late("it is not known any more".to_owned())),
        }
    }
    Ok(Answer::Late("it moved on each time it was found: try again".to_owned()))
}

async fn until_ended(database: &Database, id: TaskId, deadline: Instant) -> Result<Exit, db::Error> {
    let mut progress = Progress::new();
    let state = wait::until_finished(database, id, deadline, &mut progress).await;
    progress.clear();
    match state? {
        State::Cancelled => {
            println!("{id} cancelled");
            Ok(Exit::Done)
        }
        State::Queued { .. } | State::Running { .. } => {
            eprintln!("{id} has not ended in time: its end stays asked for");
            Ok(Exit::TimedOut)
        }
        State::Succeeded | State::Dead { .. } | State::Unknown => {
            eprintln!("{id} was not cancelled: it ended by itself first");
            Ok(Exit::Failed)
        }
    }
}
