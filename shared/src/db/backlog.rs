//! What waits for a slot and for nothing else, as far as the database knows.

use std::collections::BTreeMap;

use deadpool_postgres::GenericClient;

use super::{Error, line, parsed, prepared};
use crate::limit::Key;
use crate::task::TaskKind;

/// Tasks of one kind that wait for a slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// They are due and were never published, or stand in their pool's line.
    pub in_database: i64,
    /// They were published, and no worker has claimed them yet.
    pub published: i64,
}

/// The tasks of each kind that wait for a slot; without those in queues that the database does not know.
pub async fn by_kind<C: GenericClient>(client: &C) -> Result<BTreeMap<TaskKind, Backlog>, Error> {
    let statement =
        "select kind, count(*) filter (where publication = 0 or waiting_for is not null) as in_database,
             count(*) filter (where publication > 0 and waiting_for is null) as published
         from task
         where kind = any($1) and (run_at <= now() and waiting_for is null or waiting_for = any($2))
         group by kind";
    let statement = prepared(client, statement).await?;
    let lines: Vec<String> = TaskKind::ALL.iter().map(|kind| line::waiting_for(&Key::Pool(*kind))).collect();
    let rows = client.query(&statement, &[&super::task::known_kinds(), &lines]).await?;
    rows.iter()
        .map(|row| {
            let backlog =
                Backlog { in_database: row.try_get("in_database")?, published: row.try_get("published")? };
            Ok((parsed(row, "kind")?, backlog))
        })
        .collect()
}
