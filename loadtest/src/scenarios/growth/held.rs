//! Continuous load with a snapshot held open, as a long report or a dump holds one.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use deadpool_postgres::GenericClient;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties};
use serde::Serialize;
use shared::task::Priority;
use shared::topology::queue;
use tokio::sync::oneshot;
use tokio_postgres::IsolationLevel;

use crate::system::{Books, Fleet, Load, Servers, connect, publish};

/// More is published when fewer messages wait.
const WAITING: u32 = 20_000;
/// Tasks that are published at once.
const AT_ONCE: usize = 20_000;
/// How often the queue is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Before the first figure.
const WARM_UP: Duration = Duration::from_secs(10);

/// Tasks a second before a snapshot was opened, and at the end of its time.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Held {
    pub(super) before_per_second: f64,
    pub(super) last_per_second: f64,
    pub(super) ratio: f64,
}

/// Loads a database while a snapshot of it is held for so long; what is measured before takes a fifth of that time.
pub(super) async fn measure(
    servers: &Servers,
    fleet: &Fleet,
    load: &Load,
    held: Duration,
) -> anyhow::Result<Held> {
    let mut books = Books::open(&fleet.database, servers.amqp_url(), load.kind).await?;
    let (enough, stop) = oneshot::channel();
    let loading = async { feed(servers, load, stop).await };
    let watching = async {
        let found = watch(fleet, held).await;
        // Whoever loads has ended if it does not listen.
        _ = enough.send(());
        found
    };
    let (tasks, found) = tokio::try_join!(loading, watching)?;
    books.ask(tasks)?;
    books.until_recorded(&fleet.database).await?;
    books.check(&fleet.database).await?;
    Ok(found)
}

/// Keeps the queue from running dry until `stop`; returns how many tasks that took.
async fn feed(servers: &Servers, load: &Load, mut stop: oneshot::Receiver<()>) -> anyhow::Result<usize> {
    let connection = Connection::connect(servers.amqp_url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let mut tasks = 0;
    while let Err(oneshot::error::TryRecvError::Empty) = stop.try_recv() {
        if waiting(&channel, load).await? < WAITING {
            publish(servers.amqp_url(), load, AT_ONCE).await?;
            tasks += AT_ONCE;
        } else {
            tokio::time::sleep(LOOK).await;
        }
    }
    connection.close(200, "done".into()).await?;
    Ok(tasks)
}

async fn waiting(channel: &Channel, load: &Load) -> anyhow::Result<u32> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let name = queue(load.kind, Priority::Normal);
    Ok(channel.queue_declare(name.into(), passive, FieldTable::default()).await?.message_count())
}

async fn watch(fleet: &Fleet, held: Duration) -> anyhow::Result<Held> {
    let (window, started) = (held / 5, Instant::now());
    tokio::time::sleep(WARM_UP).await;
    let before_per_second = rate(fleet, window).await?;
    let mut client = connect(&fleet.database_url).await?;
    let reading = client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
    let snapshot = reading.start().await?;
    snapshot.query_one("select count(*) from compliance", &[]).await?;
    tokio::time::sleep(held.saturating_sub(window)).await;
    let last_per_second = rate(fleet, window).await?;
    // It is the same snapshot still: the server did not end it.
    snapshot.query_one("select count(*) from compliance", &[]).await.context("the snapshot was not held")?;
    snapshot.rollback().await?;
    eprintln!("held for {:.0} s in {:.0} s", held.as_secs_f64(), started.elapsed().as_secs_f64());
    Ok(Held { before_per_second, last_per_second, ratio: last_per_second / before_per_second })
}

/// Tasks a second over a time, as the workers count them: nothing is asked of the tables under load.
async fn rate(fleet: &Fleet, window: Duration) -> anyhow::Result<f64> {
    let first = recorded(fleet).await?;
    tokio::time::sleep(window).await;
    let last = recorded(fleet).await?;
    anyhow::ensure!(last.1 > first.1, "the worker does not say what it does");
    anyhow::ensure!(
        last.0 > first.0,
        "nothing was recorded for {} s: is the disk full? Ten minutes of this need 40 GB",
        window.as_secs()
    );
    Ok((last.0 - first.0) as f64 / (last.1 - first.1))
}

/// What was recorded, and when that was said, in seconds.
async fn recorded(fleet: &Fleet) -> anyhow::Result<(i64, f64)> {
    let statement = "select sum((batches -> 'record' ->> 'tasks')::bigint)::bigint, \
         avg(extract(epoch from seen_at))::float8 from worker";
    let row = fleet.database.client().await?.query_one(statement, &[]).await?;
    Ok((row.try_get::<_, Option<i64>>(0)?.unwrap_or(0), row.try_get(1)?))
}
