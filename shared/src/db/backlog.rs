//! What each pool has before it and in work, as far as the database knows.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;

use super::statement::statement;
use super::{Error, line, parsed};
use crate::limit::Key;
use crate::task::TaskKind;

/// The tasks of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Backlog {
    /// They wait, for whatever it is.
    pub waiting: i64,
    /// Of these: they wait for a slot, and are in no queue. They are due and were never published, or stand in their pool's line.
    pub for_slot: i64,
    /// Of those that wait as well: they were published, and no worker has claimed them yet.
    pub published: i64,
    /// How often these were published, all together: each time is another copy in a queue.
    pub publications: i64,
    /// Of those that wait as well: their time has come, and the broker has not taken responsibility for them since.
    pub unpublished: i64,
    /// Since when the oldest of these could have been published, in seconds; `None` where there are none.
    pub oldest_unpublished: Option<f64>,
    /// Since when the oldest of those could run whose time has come, that wait for nothing, and that nobody has taken.
    pub oldest_due: Option<DateTime<Utc>>,
    /// They run.
    pub running: i64,
}

/// The tasks of each kind at one moment; without those in queues that the database does not know.
pub async fn by_kind<C: GenericClient>(client: &C) -> Result<BTreeMap<TaskKind, Backlog>, Error> {
    let statement = statement!(
        "backlog.by_kind",
        "with waiting as (
             select kind, count(*) as waiting,
                 count(*) filter (where waiting_for = any($2) or is_due and publication = 0) as for_slot,
                 count(*) filter (where is_due and publication > 0) as published,
                 coalesce(sum(publication) filter (where is_due), 0)::bigint as publications,
                 count(*) filter (where is_due and confirmed = 0) as unpublished,
                 extract(epoch from now() - min(run_at) filter (where is_due and confirmed = 0))::float8 as oldest_unpublished,
                 min(run_at) filter (where is_due) as oldest_due
             from (select kind, waiting_for, publication, confirmed, run_at,
                 run_at <= now() and waiting_for is null as is_due from task) as t
             where kind = any($1) group by kind),
         running as (select kind, count(*) as running from lease where kind = any($1) group by kind)
         select kind, coalesce(waiting, 0) as waiting, coalesce(for_slot, 0) as for_slot, coalesce(published, 0) as published,
             coalesce(publications, 0) as publications, coalesce(unpublished, 0) as unpublished, oldest_unpublished, oldest_due, \
             coalesce(running, 0) as running
         from waiting full join running using (kind)"
    );
    let lines: Vec<String> = TaskKind::ALL.iter().map(|kind| line::waiting_for(&Key::Pool(*kind))).collect();
    let rows = statement.query(client, &[&super::task::known_kinds(), &lines]).await?;
    rows.iter()
        .map(|row| {
            let backlog = Backlog {
                waiting: row.try_get("waiting")?,
                for_slot: row.try_get("for_slot")?,
                published: row.try_get("published")?,
                publications: row.try_get("publications")?,
                unpublished: row.try_get("unpublished")?,
                oldest_unpublished: row.try_get("oldest_unpublished")?,
                oldest_due: row.try_get("oldest_due")?,
                running: row.try_get("running")?,
            };
            Ok((parsed(row, "kind")?, backlog))
        })
        .collect()
}
