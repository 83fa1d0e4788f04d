//! Looking through the dead letters: each is taken, looked at, and goes back unless something was decided about it.

use std::time::Duration;

use anyhow::Context as _;
use shared::broker::{Broker, Delivered, Reader};
use shared::db::Committed;
use shared::topology::DEAD_QUEUE;
use tokio::time::timeout;

use super::letter::Letter;
use crate::commands::Failure;
use crate::config::Base;

/// The most letters that are held at once: at the usual 1 KiB each 20 MiB, in the broker and here.
const WINDOW: u16 = 20_000;
/// How long the broker may take to hand over the next one.
const PATIENCE: Duration = Duration::from_secs(10);

/// The dead letters, in whatever order the broker hands them over.
pub(super) struct Letters {
    reader: Reader,
    left: u32,
}

impl Letters {
    /// Begins to look; nobody else can meanwhile. Where there are more letters than can be held, that is said.
    pub(super) async fn open(base: &Base) -> Result<Self, Failure> {
        let url = base.amqp_url.clone().ok_or_else(|| {
            Failure::BadInput("AMQP_URL: is missing; --tasks leaves the dead letters out".to_owned())
        })?;
        let broker = Broker::new(url, base.trust.clone(), "producer")
            .map_err(|error| Failure::BadInput(error.to_string()))?;
        let opened = async {
            let connection = broker.with_large_frames().connect("dead letters").await?;
            Reader::open_alone(connection, DEAD_QUEUE, WINDOW).await
        };
        let (reader, total) =
            opened.await.context("the dead letters cannot be read; --tasks leaves them out")?;
        let left = total.min(u32::from(WINDOW));
        if left < total {
            eprintln!("there are {total} dead letters: {left} of them are looked at");
        }
        Ok(Self { reader, left })
    }

    /// The next letter; `None` after the last.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<(Letter, Delivered)>> {
        if self.left == 0 {
            return Ok(None);
        }
        let next = timeout(PATIENCE, self.reader.next()).await;
        let next =
            next.with_context(|| format!("{} dead letters were not handed over: try again", self.left));
        let delivered = next?.context("reading the dead letters")?;
        self.left -= 1;
        Ok(Some((Letter::read(&delivered), delivered)))
    }

    /// Removes a letter whose tasks are in the database.
    pub(super) async fn settle(&self, delivered: Delivered, proof: Committed) -> anyhow::Result<()> {
        self.reader.settle(delivered, proof).await.context("removing a dead letter")
    }

    /// Removes a letter that nobody wants.
    pub(super) async fn discard(&self, delivered: Delivered) -> anyhow::Result<()> {
        self.reader.discard(delivered).await.context("removing a dead letter")
    }

    /// Gives back what nothing was decided about.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        self.reader.close().await.context("the connection to the broker broke: look at the list again")
    }
}
