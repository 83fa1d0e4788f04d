//! Table `route`: which alerts are told by which channels, as definitions say it.

use deadpool_postgres::GenericClient;
use tokio_postgres::types::Json;

use super::readable::Readable;
use super::statement::statement;
use super::{Error, from_json};
use crate::route::Route;

/// Stores routes.
pub async fn upsert<C: GenericClient>(client: &C, routes: &[&Route]) -> Result<(), Error> {
    let statement = statement!(
        "route.upsert",
        "insert into route (name, definition) select * from unnest($1::text[], $2::jsonb[])
         on conflict (name) do update set definition = excluded.definition"
    );
    let names: Vec<&str> = routes.iter().map(|route| route.name.as_str()).collect();
    let definitions: Vec<Json<&Route>> = routes.iter().map(|route| Json(*route)).collect();
    statement.execute(client, &[&names, &definitions]).await?;
    Ok(())
}

/// All routes, by name: in the order in which they count.
pub async fn all<C: GenericClient>(client: &C) -> Result<Readable<Route>, Error> {
    let statement = statement!("route.all", "select name, definition from route order by name collate \"C\"");
    let rows = statement.query(client, &[]).await?;
    Readable::each(&rows, |row| Ok(row.try_get("name")?), |row| from_json(row, "definition"))
}

/// Takes routes away.
pub async fn remove<C: GenericClient>(client: &C, names: &[&str]) -> Result<(), Error> {
    statement!("route.remove", "delete from route where name = any($1)").execute(client, &[&names]).await?;
    Ok(())
}
