//! Many connections that open pages of the mix.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use tokio::sync::{Mutex, mpsc};
use tokio::task::{JoinHandle, JoinSet};

use super::client::Client;
use super::mix::{PAGES, Places};
use super::tally::Tally;
use crate::measure::Moment;
use crate::system::{pace, schedule};

/// The most tags that a connection remembers.
const TAGS: usize = 1_000;

/// How pages are opened.
#[derive(Clone)]
pub(super) struct Drive {
    /// Where.
    pub(super) address: Arc<str>,
    /// What there is to be opened.
    pub(super) places: Arc<Places>,
    /// How many a second, whatever became of those before; as many as go for 0.
    pub(super) rate: u32,
    /// For how long.
    pub(super) length: Duration,
    /// On how many connections, each with one request at a time.
    pub(super) connections: usize,
}

/// What came of it, page by page in the order of [`PAGES`].
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) pages: Vec<Tally>,
    /// From the first request to the last answer, in seconds.
    pub(super) seconds: f64,
}

impl Opened {
    /// All pages together.
    pub(super) fn all(&self) -> anyhow::Result<Tally> {
        let mut all = Tally::new()?;
        for page in &self.pages {
            all.add(page)?;
        }
        Ok(all)
    }
}

/// When requests are due, for however many connections share them.
pub(super) enum Turns {
    /// By the clock: those that wait for a connection are late, and that counts.
    Due(Mutex<mpsc::UnboundedReceiver<(usize, Moment)>>),
    /// As soon as the answer before is there, until then.
    Next(Moment),
}

impl Turns {
    /// So many at times that are drawn now, and the thread that keeps the time.
    pub(super) fn due(requests: usize, length: Duration) -> (Self, JoinHandle<()>) {
        let times = schedule(requests, length);
        let (arrive, arriving) = mpsc::unbounded_channel();
        // Tokio's timer keeps to milliseconds, a thread's sleep to a twentieth of that.
        let clock = tokio::task::spawn_blocking(move || pace(&times, &arrive));
        (Self::Due(Mutex::new(arriving)), clock)
    }

    /// When the next one was due; `None` after the last.
    pub(super) async fn next(&self) -> Option<Moment> {
        match self {
            Self::Due(due) => due.lock().await.recv().await.map(|(_, due)| due),
            Self::Next(end) => Some(Moment::now()).filter(|now| now < end),
        }
    }
}

impl Drive {
    /// Opens pages, and waits for all answers.
    pub(super) async fn run(&self) -> anyhow::Result<Opened> {
        let began = Moment::now();
        let (turns, timer) = if self.rate == 0 {
            (Turns::Next(began.plus(self.length)), None)
        } else {
            let requests = u64::from(self.rate) * u64::try_from(self.length.as_millis())? / 1000;
            let (turns, timer) = Turns::due(usize::try_from(requests)?, self.length);
            (turns, Some(timer))
        };
        let turns = Arc::new(turns);
        let mut connections = JoinSet::new();
        for number in 0..self.connections {
            let (drive, turns) = (self.clone(), Arc::clone(&turns));
            connections.spawn(async move { drive.connection(number, &turns).await });
        }
        let mut pages = PAGES.iter().map(|_| Tally::new()).collect::<anyhow::Result<Vec<_>>>()?;
        while let Some(opened) = connections.join_next().await {
            for (page, more) in pages.iter_mut().zip(opened??) {
                page.add(&more)?;
            }
        }
        if let Some(timer) = timer {
            timer.await.context("the thread that keeps the time ended")?;
        }
        let seconds = Moment::now().since(began).unwrap_or_default().as_secs_f64();
        Ok(Opened { pages, seconds })
    }

    /// Each page once, so that whatever was never opened is known not to work before minutes of measuring.
    pub(super) async fn each_once(&self) -> anyhow::Result<()> {
        let (mut client, mut random) = (Client::new(&self.address), SmallRng::seed_from_u64(0));
        for (place, page) in PAGES.iter().enumerate() {
            let ask = self.places.ask(place, &mut random);
            let answer = client.get(&ask).await.with_context(|| format!("{}: {}", page.name, ask.path))?;
            let said = || String::from_utf8_lossy(&answer.body).into_owned();
            anyhow::ensure!(
                answer.status == 200,
                "{}: {} is answered with {}",
                ask.path,
                answer.status,
                said()
            );
        }
        Ok(())
    }

    /// One connection: every second one remembers tags of what it has, as browsers do.
    async fn connection(&self, number: usize, turns: &Turns) -> anyhow::Result<Vec<Tally>> {
        let mut client = Client::new(&self.address);
        let mut random = SmallRng::seed_from_u64(number as u64);
        let (remembers, mut tags) = (number % 2 == 1, BTreeMap::<String, String>::new());
        let mut pages = PAGES.iter().map(|_| Tally::new()).collect::<anyhow::Result<Vec<_>>>()?;
        while let Some(due) = turns.next().await {
            let (place, mut ask) = self.places.draw(&mut random);
            ask.known = tags.get(&ask.path).cloned();
            let answer = client.get(&ask).await;
            pages[place].count(due, &answer)?;
            if let Some(tag) = answer.ok().and_then(|answer| answer.tag).filter(|_| remembers) {
                if tags.len() >= TAGS {
                    tags.pop_first();
                }
                tags.insert(ask.path, tag);
            }
        }
        Ok(pages)
    }
}
