//! Tables `cache_version` and `definitions_version`: how often what is read again and again has changed.

use std::collections::BTreeMap;

use deadpool_postgres::GenericClient;

use super::Error;
use super::statement::statement;

/// The versions by name: what is read after them is at least that new.
pub async fn all<C: GenericClient>(client: &C) -> Result<BTreeMap<String, i64>, Error> {
    let statement = statement!(
        "cache_version.all",
        "select name, version from cache_version
         union all select 'definitions', value from definitions_version"
    );
    let rows = statement.query(client, &[]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
