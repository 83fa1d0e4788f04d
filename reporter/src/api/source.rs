//! Where is read: on the primary, or on a replica that follows closely.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::Client;
use metrics::gauge;
use scopeguard::ScopeGuard;
use shared::db::cache_version::Version;
use shared::db::replica::{self, Place};
use shared::db::{self, Database, Error};
use tokio_util::sync::CancellationToken;

use super::answer::{Answer, Failure};
use super::wanted::Wanted;
use crate::events;
use crate::metrics::{REPLICA_LAG, REPLICA_USED};

/// How often it is looked how far the replica is.
const LOOK: Duration = Duration::from_secs(1);
/// How long one look may take.
const LOOK_WITHIN: Duration = Duration::from_secs(2);
/// Places of the primary that are remembered until the replica has come there: an hour of them.
const MOST_PLACES: usize = 3_600;

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// The one that is written to.
    Primary,
    /// The one that follows it.
    Replica,
}

/// Where is read.
pub struct Source {
    primary: Database,
    replica: Option<Replica>,
}

struct Replica {
    database: Database,
    /// Further behind than this, nothing is read there.
    most: Duration,
    state: Mutex<State>,
}

/// How far the replica is.
#[derive(Debug, Default)]
struct State {
    /// Where the primary was when, as far as the replica has not come there.
    ahead: VecDeque<(Instant, Place)>,
    /// Of which moment the replica has everything; unknown before the first look.
    whole_at: Option<Instant>,
    is_used: bool,
}

impl Source {
    /// Reads on the primary, and rather on a replica while that is no further behind than a time.
    #[must_use]
    pub fn new(primary: Database, replica: Option<(Database, Duration)>) -> Self {
        let replica = replica.map(|(database, most)| Replica { database, most, state: Mutex::default() });
        Self { primary, replica }
    }

    /// The primary.
    #[must_use]
    pub fn primary(&self) -> &Database {
        &self.primary
    }

    /// Both, the primary first.
    #[must_use]
    pub fn servers(&self) -> Vec<Database> {
        let replica = self.replica.iter().map(|replica| replica.database.clone());
        std::iter::once(self.primary.clone()).chain(replica).collect()
    }

    /// Where is read now.
    #[must_use]
    pub fn server(&self) -> Server {
        match &self.replica {
            Some(replica) if replica.state().is_used => Server::Replica,
            _ => Server::Primary,
        }
    }

    /// How many seconds the replica is behind, if there is one and that is known.
    #[must_use]
    pub fn lag(&self) -> Option<f64> {
        let whole_at = self.replica.as_ref()?.state().whole_at?;
        Some(whole_at.elapsed().as_secs_f64())
    }

    /// Whether there is a replica.
    #[must_use]
    pub fn has_replica(&self) -> bool {
        self.replica.is_some()
    }

    /// Reads on a server; on the primary where the replica fails.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn read(&self, server: Server, wanted: &Wanted<'_>) -> Result<Option<Answer>, Failure> {
        if let (Server::Replica, Some(replica)) = (server, &self.replica) {
            match read(&replica.database, wanted).await {
                Err(error) if !error.took_too_long() => events::replica_failed(&error),
                done => return Ok(done?),
            }
        }
        Ok(read(&self.primary, wanted).await?)
    }

    /// What a version is now, and where it was read: what is read there, or on the primary, is at least that new.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn version(
        &self,
        server: Server,
        version: Version<'_>,
    ) -> Result<(Server, String), Failure> {
        if let (Server::Replica, Some(replica)) = (server, &self.replica) {
            match read_version(&replica.database, version).await {
                Ok(version) => return Ok((Server::Replica, version)),
                Err(error) => events::replica_failed(&error),
            }
        }
        Ok((Server::Primary, read_version(&self.primary, version).await?))
    }

    /// Which database it is, the same on all servers that follow each other and on no other.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn identity(&self) -> Result<String, Failure> {
        let identity = async { replica::identity(&self.primary.client().await?).await };
        Ok(identity.await?)
    }

    /// Looks again and again how far the replica is, until `stop`.
    pub async fn follow(&self, stop: &CancellationToken) {
        let Some(replica) = &self.replica else { return };
        let mut every = tokio::time::interval(LOOK);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = every.tick() => {}
                () = stop.cancelled() => return,
            }
            replica.look(&self.primary).await;
        }
    }
}

async fn read(database: &Database, wanted: &Wanted<'_>) -> Result<Option<Answer>, Error> {
    let client = lent(database).await?;
    let read = wanted.read(&client).await;
    given_back(client);
    read
}

async fn read_version(database: &Database, version: Version<'_>) -> Result<String, Error> {
    let client = lent(database).await?;
    let read = version.read(&client).await;
    given_back(client);
    read
}

/// A connection that is closed unless it is given back.
type Lent = ScopeGuard<Client, fn(Client)>;

/// A connection while something is asked. Who goes away meanwhile would leave a statement on it that holds up the next one: then it is closed,
/// and the server, which looks for its client, ends the statement.
async fn lent(database: &Database) -> Result<Lent, Error> {
    Ok(scopeguard::guard(database.client().await?, |client| drop(Client::take(client))))
}

/// Nothing runs on it any more.
fn given_back(lent: Lent) {
    drop(ScopeGuard::into_inner(lent));
}

impl Replica {
    async fn look(&self, primary: &Database) {
        let now = Instant::now();
        let written =
            db::within(LOOK_WITHIN, async { replica::written(&primary.client().await?).await }).await;
        let followed =
            db::within(LOOK_WITHIN, async { replica::followed(&self.database.client().await?).await }).await;
        let place = match &followed {
            Ok(Some(place)) => Some(*place),
            Ok(None) | Err(_) => None,
        };
        let (before, after, lag) = {
            let mut state = self.state();
            let before = state.is_used;
            state.note(now, written.as_ref().ok().copied(), place);
            let lag = state.whole_at.map(|whole_at| whole_at.elapsed());
            // Old answers are better than none while the primary is away.
            let is_near = lag.is_some_and(|lag| lag <= self.most || written.is_err());
            state.is_used = place.is_some() && is_near;
            (before, state.is_used, lag)
        };
        gauge!(REPLICA_USED).set(f64::from(u8::from(after)));
        if let Some(lag) = lag {
            gauge!(REPLICA_LAG).set(lag.as_secs_f64());
        }
        if before != after {
            let why = match followed {
                Ok(Some(_)) => "it is too far behind".to_owned(),
                Ok(None) => "it follows no other server".to_owned(),
                Err(error) => error.to_string(),
            };
            events::replica_used(after, &why);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes where the primary is, and how far the replica has come. A primary that writes nothing is caught up with; one that is not
    /// heard of by the replica any more is not, whatever the replica itself thinks.
    fn note(&mut self, now: Instant, written: Option<Place>, followed: Option<Place>) {
        if let Some(written) = written {
            if self.ahead.len() >= MOST_PLACES {
                // The oldest says how far it is at least.
                self.ahead.remove(1);
            }
            self.ahead.push_back((now, written));
        }
        let Some(followed) = followed else { return };
        while let Some(&(at, place)) = self.ahead.front()
            && place <= followed
        {
            self.whole_at = Some(at);
            self.ahead.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(number: u64) -> Place {
        Place::from(number)
    }

    #[test]
    fn a_replica_has_everything_of_the_last_moment_whose_place_it_has_come_to() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut state = State::default();
        state.note(at(0), Some(place(100)), Some(place(90)));
        assert_eq!(state.whole_at, None);
        // The primary writes nothing, and the replica comes after it.
        state.note(at(1), Some(place(100)), Some(place(100)));
        assert_eq!(state.whole_at, Some(at(1)));
        // The replica hears nothing any more.
        state.note(at(2), Some(place(200)), Some(place(100)));
        state.note(at(3), Some(place(300)), Some(place(100)));
        assert_eq!(state.whole_at, Some(at(1)));
        state.note(at(4), Some(place(400)), Some(place(250)));
        assert_eq!(state.whole_at, Some(at(2)));
        // Nothing is known of the primary.
        state.note(at(5), None, Some(place(400)));
        assert_eq!(state.whole_at, Some(at(4)));
    }
}
