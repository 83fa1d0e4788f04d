//! A server that follows the primary: how far it has come.

use deadpool_postgres::GenericClient;
use tokio_postgres::types::PgLsn;

use super::Error;
use super::statement::statement;

/// A place in the primary's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(PgLsn);

/// How far the primary has written.
pub async fn written<C: GenericClient>(client: &C) -> Result<Place, Error> {
    let statement = statement!("replica.written", "select pg_current_wal_lsn()");
    Ok(Place(statement.query_one(client, &[]).await?.try_get(0)?))
}

/// How far a server follows; `None` if it follows nobody.
pub async fn followed<C: GenericClient>(client: &C) -> Result<Option<Place>, Error> {
    let statement = statement!(
        "replica.followed",
        "select case when pg_is_in_recovery() then pg_last_wal_replay_lsn() end"
    );
    Ok(statement.query_one(client, &[]).await?.try_get::<_, Option<PgLsn>>(0)?.map(Place))
}

/// Which database it is: the same on a server and those that follow it, and on no other.
pub async fn identity<C: GenericClient>(client: &C) -> Result<String, Error> {
    let statement = statement!(
        "replica.identity",
        "select system_identifier::text || '.' || (select oid from pg_database where datname = current_database())::text
         from pg_control_system()"
    );
    Ok(statement.query_one(client, &[]).await?.try_get(0)?)
}

impl From<u64> for Place {
    fn from(place: u64) -> Self {
        Self(place.into())
    }
}
