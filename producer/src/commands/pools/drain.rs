//! `producer pools drain`

use std::time::Duration;

use shared::db::pool_setting::PoolState;
use shared::db::{Database, running};
use tokio::time::{Instant, sleep_until};

use super::{Which, tell};
use crate::commands::progress::Progress;
use crate::commands::{Exit, Failure};

/// How often the running tasks are counted.
const POLL: Duration = Duration::from_millis(200);

/// Until then a worker that has not heard yet may begin with something.
const HEARD: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Args {
    #[command(flatten)]
    which: Which,
    /// How long to wait until nothing runs any more
    #[arg(long, default_value = "1m")]
    timeout: humantime::Duration,
}

pub(super) async fn run(database: &Database, args: &Args) -> Result<Exit, Failure> {
    let Args { which, timeout } = args;
    tell(database, which, PoolState::Draining).await?;
    let (told, deadline) = (Instant::now(), Instant::now() + (*timeout).into());
    let mut progress = Progress::new();
    loop {
        let running =
            running::count_of(&database.client().await?, which.kind, which.worker.as_deref()).await?;
        let ended = running == 0 && told.elapsed() >= HEARD;
        if ended || Instant::now() >= deadline {
            progress.clear();
            if ended {
                shared::say!("{} runs nothing any more", which.name());
                return Ok(Exit::Done);
            }
            eprintln!("{} still runs {running} tasks: it goes on draining", which.name());
            return Ok(Exit::TimedOut);
        }
        progress.show(&format!("{running} tasks still run"));
        sleep_until(deadline.min(Instant::now() + POLL)).await;
    }
}
