//! What the roles of workers and reporters may do in the database.

use deadpool_postgres::GenericClient;

use super::Error;
use super::statement::command;

/// Gives the roles `holdfast_worker` and `holdfast_reporter`, where the server has them, the rights that they need and takes all others
/// away. The caller owns the tables.
pub(super) async fn grant<C: GenericClient>(client: &C) -> Result<(), Error> {
    Ok(command!("rights.grant").run(client, include_str!("rights.sql")).await?)
}
