//! Who of several reporters does what only one is to do.
//!
//! One row says who leads and until when; this process asks for it again and again, and its duties follow what it has heard. That the others
//! rest saves work and no more: a process that was stopped may go on as leader after another one has taken over. So each duty makes
//! its writes safe by itself: by keys and locks of its own, or by looking at that row before the transaction that writes commits
//! ([`Term::lasts`]).

use std::time::{Duration, Instant};

use deadpool_postgres::Transaction;
use shared::db::{self, Database, leader};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::events;

/// How often the lead is asked for or extended.
const LOOK: Duration = Duration::from_secs(1);
/// How long an answer is waited for: there is time for another try, on another connection.
const PATIENCE: Duration = Duration::from_millis(1500);
/// How long a leader may go without a word.
pub const TTL: Duration = Duration::from_secs(5);
/// The role in the table of leaders.
const ROLE: &str = "reporter";

/// A reporter among others.
#[derive(Debug)]
pub struct Leadership {
    id: Uuid,
    term: watch::Sender<Option<i64>>,
}

/// What a duty knows of the lead.
#[derive(Debug, Clone)]
pub struct Lead {
    id: Uuid,
    term: watch::Receiver<Option<i64>>,
}

impl Default for Leadership {
    fn default() -> Self {
        Self { id: Uuid::now_v7(), term: watch::Sender::new(None) }
    }
}

impl Leadership {
    /// For a duty.
    #[must_use]
    pub fn lead(&self) -> Lead {
        Lead { id: self.id, term: self.term.subscribe() }
    }

    /// Leads whenever nobody else does, until `stop`; gives the lead up at the end.
    ///
    /// The connections of `database` are to be its own, two at least: what its duties do with others must not keep it from being heard.
    pub async fn run(self, database: &Database, stop: &CancellationToken) {
        let mut until = Instant::now();
        while !stop.is_cancelled() {
            // What the database counts from is not earlier.
            let asked = Instant::now();
            match db::within(PATIENCE, self.hold(database)).await {
                Ok(term) => {
                    until = asked + TTL;
                    self.tell(term);
                }
                Err(error) => {
                    events::leading_failed(&error);
                    if Instant::now() >= until {
                        self.tell(None);
                    }
                }
            }
            _ = tokio::time::timeout(LOOK, stop.cancelled()).await;
        }
        let led = self.term.send_replace(None).is_some();
        let resigned = async { leader::resign(&database.client().await?, ROLE, self.id).await };
        // Otherwise it expires.
        if led && let Err(error) = db::within(Duration::from_secs(2), resigned).await {
            events::leading_failed(&error);
        }
    }

    async fn hold(&self, database: &Database) -> Result<Option<i64>, db::Error> {
        let client = database.client().await?;
        let now = db::now(&client).await?;
        leader::hold(&client, ROLE, self.id, now, TTL).await
    }

    fn tell(&self, term: Option<i64>) {
        let before = self.term.send_replace(term);
        if before != term {
            events::leads(term);
        }
    }
}

impl Lead {
    /// Whether this process leads at this moment, as far as it has heard.
    #[must_use]
    pub fn is_had_now(&self) -> bool {
        self.term.borrow().is_some()
    }

    /// Waits until this process leads; `false` when it is to stop instead.
    pub async fn is_had(&mut self, stop: &CancellationToken) -> bool {
        tokio::select! {
            // Who could tell it any more may have ended.
            had = self.term.wait_for(Option::is_some) => had.is_ok(),
            () = stop.cancelled() => false,
        }
    }

    /// Does some work for as long as this process leads without a break, at most until `stop`. Then the work is dropped where it waits;
    /// its transaction is rolled back.
    pub async fn during<W>(&mut self, stop: &CancellationToken, work: impl FnOnce(Term) -> W)
    where
        W: Future<Output = ()>,
    {
        let had = *self.term.borrow_and_update();
        let Some(number) = had else { return };
        tokio::select! {
            () = work(Term { holder: self.id, number }) => {}
            _ = self.term.wait_for(|term| *term != had) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// A term of this process as leader.
#[derive(Debug, Clone, Copy)]
pub struct Term {
    holder: Uuid,
    number: i64,
}

impl Term {
    /// Whether it lasts, by the table. If it does, nobody else leads before the transaction ends: what it has written is written by the
    /// leader. To be asked last: until the end the lead cannot be extended either.
    ///
    /// # Errors
    /// The database's.
    pub async fn lasts(self, transaction: &Transaction<'_>) -> Result<bool, db::Error> {
        leader::holds(transaction, ROLE, self.holder, self.number).await
    }
}
