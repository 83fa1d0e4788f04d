//! Table `channel`: the ways by which notifications go, as definitions say them.

use deadpool_postgres::GenericClient;
use tokio_postgres::types::Json;

use super::readable::Readable;
use super::statement::statement;
use super::{Error, from_json};
use crate::channel::{Channel, ChannelName};

/// Stores channels.
pub async fn upsert<C: GenericClient>(client: &C, channels: &[&Channel]) -> Result<(), Error> {
    let statement = statement!(
        "channel.upsert",
        "insert into channel (name, definition) select * from unnest($1::text[], $2::jsonb[])
         on conflict (name) do update set definition = excluded.definition"
    );
    let names: Vec<&str> = channels.iter().map(|channel| channel.name.as_str()).collect();
    let definitions: Vec<Json<&Channel>> = channels.iter().map(|channel| Json(*channel)).collect();
    statement.execute(client, &[&names, &definitions]).await?;
    Ok(())
}

/// All channels, by name.
pub async fn all<C: GenericClient>(client: &C) -> Result<Readable<Channel>, Error> {
    let statement = statement!("channel.all", "select name, definition from channel order by name");
    let rows = statement.query(client, &[]).await?;
    Readable::each(&rows, |row| Ok(row.try_get("name")?), |row| from_json(row, "definition"))
}

/// The channel of a name.
pub async fn by_name<C: GenericClient>(client: &C, name: &ChannelName) -> Result<Option<Channel>, Error> {
    let statement = statement!("channel.by_name", "select definition from channel where name = $1");
    let row = statement.query_opt(client, &[&name.as_str()]).await?;
    row.map(|row| from_json(&row, "definition")).transpose()
}

/// Takes channels away; what waits for them is given up when its time comes.
pub async fn remove<C: GenericClient>(client: &C, names: &[&str]) -> Result<(), Error> {
    statement!("channel.remove", "delete from channel where name = any($1)")
        .execute(client, &[&names])
        .await?;
    Ok(())
}
