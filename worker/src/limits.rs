//! Limits as this worker keeps them: the book of what is limited, the gates of rates, the lines of those who wait.
//!
//! A rate is enforced by its [`Gate`], before the claim; a cap in the claim's transaction. What cannot start for either waits
//! in a line until [`crate::call`] has a slot for it.

mod book;
mod fleet;
mod gate;
mod lines;
mod speeds;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use deadpool_postgres::{Client, GenericClient};
use shared::db::worker::Shares;
use shared::db::{self, Database, pool_setting};
use shared::limit::{Key, TOKEN_LIFE};
use shared::task::TaskKind;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

pub use book::{Book, Limited, Limits};
pub use gate::{Gate, Permit};
pub use lines::{Callable, Lines};
pub use speeds::Speeds;

use crate::engine::clock::BootInstant;
use crate::events;
use crate::identity::Identity;
use crate::slots::{Setting, Slots};
use fleet::Seen;
use gate::Token;

/// How often a worker looks what has changed: what people ask for applies within two seconds.
const LOOK: Duration = Duration::from_secs(1);
/// How much longer that is for each worker of the fleet, since all of them look at all of them.
const LOOK_FOR_EACH: Duration = Duration::from_millis(5);
/// While so many tasks of a kind wait for its pool, no more are taken from its queues. Until then they are: only among
/// those that wait in lines owners get what is fair.
const LONG: i64 = 10_000;
/// How often strict gates are looked at that want tokens.
const SUPPLY: Duration = Duration::from_millis(20);

/// What this worker keeps of limits.
#[derive(Debug)]
pub struct Control {
    book: RwLock<Arc<Book>>,
    /// What this worker has of rates, and until when the others count on that.
    shares: Mutex<(Shares, BootInstant)>,
    lines: Lines,
    speeds: Speeds,
    /// The worker's name.
    name: String,
    /// Its pools, with the slots that its configuration gives them.
    pools: BTreeMap<TaskKind, (Slots, usize)>,
}

impl Control {
    /// Nothing is known yet, and the pools of the worker are as they are configured.
    #[must_use]
    pub fn new(name: &str, pools: BTreeMap<TaskKind, Slots>) -> Self {
        let pools = pools.into_iter().map(|(kind, slots)| (kind, (slots.clone(), slots.total()))).collect();
        Self {
            book: RwLock::default(),
            shares: Mutex::new((Shares::default(), BootInstant::from_nanos(0))),
            lines: Lines::default(),
            speeds: Speeds::default(),
            name: name.to_owned(),
            pools,
        }
    }

    /// The newest book that was read.
    #[must_use]
    pub fn book(&self) -> Arc<Book> {
        self.book.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lines that are known.
    #[must_use]
    pub const fn lines(&self) -> &Lines {
        &self.lines
    }

    /// The speeds of engine operations.
    #[must_use]
    pub const fn speeds(&self) -> &Speeds {
        &self.speeds
    }

    /// The book for a version of the definitions, read if need be.
    pub async fn at<C: GenericClient>(&self, client: &C, version: i64) -> Result<Arc<Book>, db::Error> {
        let known = self.book();
        if known.version() == version {
            return Ok(known);
        }
        let book = Arc::new(Book::read(client, version, &known).await?);
        self.share(&book);
        let mut newest = self.book.write().unwrap_or_else(PoisonError::into_inner);
        if newest.version() < version {
            self.set_pools(&book);
            *newest = book.clone();
        }
        drop(newest);
        self.lines.wake();
        Ok(book)
    }

    /// Has pools do what people asked for.
    fn set_pools(&self, book: &Book) {
        for (kind, (slots, configured)) in &self.pools {
            let asked = pool_setting::asked(book.pools(), *kind, &self.name);
            let total = asked.slots.and_then(|slots| usize::try_from(slots).ok()).unwrap_or(*configured);
            let setting = Setting { total, state: asked.state };
            if *slots.setting().borrow() != setting {
                events::pool_set(*kind, setting);
                slots.set(setting);
            }
        }
    }

    /// Gives gates their part of their rates, for as long as the others count on this worker.
    fn share(&self, book: &Book) {
        let (shares, until) = &*self.shares();
        for (key, gate) in book.gates() {
            gate.set_share(fleet::share_of(shares, key), *until);
        }
    }

    /// Uses other shares from now on.
    fn use_shares(&self, shares: Shares, until: BootInstant) {
        *self.shares() = (shares, until);
        // A claim may have read a newer book meanwhile.
        self.share(&self.book());
    }

    /// Keeps up with what people change, who comes and goes, and who waits, until `stop`.
    pub async fn run(
        &self,
        database: &Database,
        identity: &Identity,
        lease: Duration,
        stop: &CancellationToken,
    ) {
        tokio::join!(self.look(database, identity, lease, stop), self.supply(database, stop));
    }

    async fn look(
        &self,
        database: &Database,
        identity: &Identity,
        lease: Duration,
        stop: &CancellationToken,
    ) {
        let mut rest = LOOK;
        while !stop.is_cancelled() {
            let looked = async {
                let mut client = database.client().await?;
                let version = db::job::definitions_version(&client).await?;
                let book = self.at(&client, version).await?;
                let members = self.see_fleet(&mut client, identity, lease, &book).await?;
                self.learn_lines(&client).await?;
                self.speeds.look(&client, &book).await?;
                Ok(members)
            };
            match db::within(LOOK * 5, looked).await {
                Ok(members) => rest = LOOK.max(LOOK_FOR_EACH * u32::try_from(members).unwrap_or(u32::MAX)),
                // The heartbeat says what is wrong with the database.
                Err(error) => events::limits_failed(&error.to_string()),
            }
            _ = tokio::time::timeout(rest, stop.cancelled()).await;
        }
    }

    /// Looks who is there, where a rate is to be shared; says how many.
    async fn see_fleet(
        &self,
        client: &mut Client,
        identity: &Identity,
        lease: Duration,
        book: &Book,
    ) -> Result<usize, db::Error> {
        if book.gates().next().is_none() {
            return Ok(0);
        }
        // Before the database is asked: it counts from a later moment.
        let until = identity.heard_at().after(fleet::good_for(lease));
        let members = db::worker::members(client, lease).await?;
        // Asked afterwards: if it is not late now, it was not when the rows were read.
        let late = self.shares().1.is_past();
        let Some(Seen { kept, is_less, wanted }) = fleet::see(identity.id, &members, late) else {
            self.use_shares(Shares::default(), until);
            return Ok(members.len());
        };
        // What this worker gives up it does not use any more when the others hear of it.
        self.use_shares(kept.clone(), until);
        if is_less {
            db::worker::set_shares(client, identity.id, &kept).await?;
        }
        if let Some(wanted) = wanted {
            let taken = fleet::take(client, identity.id, lease, &wanted).await?;
            self.use_shares(taken, until);
        }
        self.lines.wake();
        Ok(members.len())
    }

    async fn learn_lines<C: GenericClient>(&self, client: &C) -> Result<(), db::Error> {
        let lines = db::line::keys(client, &self.kinds()).await?;
        let keys: Vec<String> = lines.iter().map(|(_, key)| key.to_string()).collect();
        let rooms = if lines.is_empty() { HashMap::new() } else { db::cap::rooms(client, &keys).await? };
        let mut long = BTreeSet::new();
        for (kind, _) in lines.iter().filter(|(kind, key)| *key == Key::Pool(*kind)) {
            if db::line::is_long(client, *kind, LONG).await? {
                long.insert(*kind);
            }
        }
        self.lines.learn(lines, &rooms, long);
        Ok(())
    }

    /// Asks for the tokens that strict gates want.
    async fn supply(&self, database: &Database, stop: &CancellationToken) {
        let mut looks = tokio::time::interval(SUPPLY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = stop.cancelled() => return,
            }
            let book = self.book();
            for (key, gate) in book.strict_gates().filter(|(_, gate)| gate.wanted() > 0) {
                match db::within(LOOK, take_tokens(database, key, gate)).await {
                    Ok(()) => self.lines.wake(),
                    Err(error) => events::limits_failed(&error.to_string()),
                }
            }
        }
    }

    fn kinds(&self) -> Vec<TaskKind> {
        self.pools.keys().copied().collect()
    }

    fn shares(&self) -> MutexGuard<'_, (Shares, BootInstant)> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks for the tokens that a gate wants.
async fn take_tokens(database: &Database, key: &Key, gate: &Gate) -> Result<(), db::Error> {
    let client = database.client().await?;
    // The database's moment lies between these two: a token is used neither before its time nor after its end.
    let asked = BootInstant::now();
    let waits = db::token::take(&client, key, gate.rate(), gate.wanted()).await?;
    let answered = BootInstant::now();
    let token =
        |wait: &Duration| Token { from: answered.after(*wait), until: asked.after(*wait + TOKEN_LIFE) };
    gate.supply(waits.iter().map(token).collect());
    Ok(())
}
