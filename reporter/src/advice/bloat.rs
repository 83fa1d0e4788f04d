//! Room that nothing uses, and statistics that nobody made.

use chrono::TimeDelta;
use deadpool_postgres::GenericClient;
use shared::db::care::bloat::{self, Basis, Bloat};
use shared::db::care::{table, work};
use shared::db::{self, Error};
use shared::work::maintain::Table;

use super::{Advice, Figure, Kind};

/// Below that, the room of a table is no matter.
const TABLE_BYTES: i64 = 16 * 1024 * 1024;

/// Indexes that are worth to be built anew.
pub(super) async fn indexes<C: GenericClient>(client: &C) -> Result<Vec<Advice>, Error> {
    let estimated = bloat::indexes(client, Table::ALL).await?;
    let states = table::states(client, Table::ALL).await?;
    let ours = |of: &str| states.iter().find(|state| state.name == of).map(|state| state.table);
    Ok(work::worth_it(client, estimated)
        .await?
        .into_iter()
        .map(|index| Advice {
            kind: Kind::BloatedIndex,
            why: wasted(&index),
            before: Figure::bytes(index.bytes, Basis::Measured),
            after: Some(Figure::bytes(index.needed, index.basis)),
            remedy: maintain("reindex", ours(&index.of)),
            object: index.name,
            table: index.of,
        })
        .collect())
}

/// Tables of which much is dead, or empty.
pub(super) async fn tables<C: GenericClient>(
    client: &C,
    states: &[table::State],
) -> Result<Vec<Advice>, Error> {
    let dead = states.iter().filter(|state| state.needs_vacuum()).map(|state| Advice {
        kind: Kind::DeadRows,
        object: state.name.clone(),
        table: state.name.clone(),
        why: format!(
            "{:.0} % of its rows are dead, and their room is not usable yet",
            100.0 * state.dead_share()
        ),
        before: Figure::rows(state.dead_rows),
        after: Some(Figure::rows(0)),
        remedy: maintain("vacuum", Some(state.table)),
    });
    let bloated = bloat::tables(client, Table::ALL).await?.into_iter();
    let bloated = bloated.filter(|table| table.is_worth_it() && table.wasted() >= TABLE_BYTES);
    let bloated = bloated.map(|table| Advice {
        kind: Kind::BloatedTable,
        why: format!("{}; new rows fill it, so nothing is needed where the table grows", wasted(&table)),
        before: Figure::bytes(table.bytes, Basis::Measured),
        after: Some(Figure::bytes(table.needed, table.basis)),
        remedy: format!(
            "to give it back to the disk, while nothing runs, because it locks the table: vacuum (full, analyze) {}",
            table.name
        ),
        object: table.name.clone(),
        table: table.name,
    });
    Ok(dead.chain(bloated).collect())
}

/// Partitioned tables as a whole that were not analyzed for a week, although they hold something: producers do that daily.
pub(super) async fn statistics<C: GenericClient>(client: &C) -> Result<Vec<Advice>, Error> {
    let now = db::now(client).await?;
    let states = table::states(client, Table::ALL).await?;
    let rows = |table: Table| {
        states.iter().filter(|state| state.table == table).map(|state| state.rows).sum::<i64>()
    };
    let old = table::partitioned(client).await?.into_iter();
    let old =
        old.filter(|(table, at)| rows(*table) >= 10_000 && at.is_none_or(|at| now - at > TimeDelta::days(7)));
    Ok(old
        .map(|(table, at)| Advice {
            kind: Kind::OldStatistics,
            object: table.to_string(),
            table: table.to_string(),
            why: at.map_or_else(
                || "as a whole it was never analyzed: no producer of this version runs".to_owned(),
                |at| format!("as a whole it was analyzed at {} last", crate::commands::moment(at)),
            ),
            before: Figure::rows(rows(table)),
            after: None,
            remedy: maintain("analyze", Some(table)),
        })
        .collect())
}

fn wasted(bloat: &Bloat) -> String {
    let share = 100.0 * bloat.wasted() as f64 / bloat.bytes.max(1) as f64;
    format!("{share:.0} % of it is empty")
}

fn maintain(action: &str, table: Option<Table>) -> String {
    let tables = table.map(|table| format!(" --param tables={table}")).unwrap_or_default();
    format!("producer enqueue maintain --param action={action}{tables}")
}
