//! Table `maintenance`: the windows in which nobody is to be told of some alerts.

use deadpool_postgres::{GenericClient, Transaction};
use tokio_postgres::types::Json;

use super::readable::Readable;
use super::statement::statement;
use super::{Error, from_json};
use crate::alert::{Maintenance, MaintenanceName};

/// All of them, by name.
pub async fn all<C: GenericClient>(client: &C) -> Result<Readable<Maintenance>, Error> {
    let statement = statement!("maintenance.all", "select name, definition from maintenance order by name");
    let rows = statement.query(client, &[]).await?;
    Readable::each(&rows, |row| Ok(row.try_get("name")?), |row| from_json(row, "definition"))
}

/// Writes some and takes others away.
pub async fn change(
    transaction: &Transaction<'_>,
    set: &[&Maintenance],
    removed: &[MaintenanceName],
) -> Result<(), Error> {
    let removed: Vec<&str> = removed.iter().map(MaintenanceName::as_str).collect();
    statement!("maintenance.remove", "delete from maintenance where name = any($1)")
        .execute(transaction, &[&removed])
        .await?;
    let statement = statement!(
        "maintenance.upsert",
        "insert into maintenance (name, definition) select * from unnest($1::text[], $2::jsonb[])
         on conflict (name) do update set definition = excluded.definition"
    );
    let names: Vec<&str> = set.iter().map(|window| window.name.as_str()).collect();
    let definitions: Vec<_> = set.iter().map(Json).collect();
    statement.execute(transaction, &[&names, &definitions]).await?;
    Ok(())
}
