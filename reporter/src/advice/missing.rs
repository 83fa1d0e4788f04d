//! Indexes that would spare much reading.
//!
//! The server counts how often a table was read from end to end; which of our statements does that, and by which columns it looks, is
//! in their plans. So each candidate comes from a statement that is there, and from reading that has happened.

use std::collections::BTreeMap;

use deadpool_postgres::Client;
use shared::db::Error;
use shared::db::care::{index, scan, table};
use shared::db::statement::{self, plan};

use super::{Advice, Figure, Kind};

/// A table that was read from end to end fewer times tells nothing.
const SCANS: i64 = 10;
/// Rows that each such reading met on average; fewer are read as fast as an index.
const ROWS_A_SCAN: i64 = 5_000;

/// An index that may be missing, with the statement that asks for it.
pub(super) struct Missing {
    pub(super) advice: Advice,
    pub(super) table: String,
    pub(super) columns: Vec<String>,
    pub(super) text: String,
}

/// Finds what is missing. Tables that were read by something else than our statements are noted.
pub(super) async fn find(
    session: &Client,
    tables: &[table::State],
    notes: &mut Vec<String>,
) -> Result<Vec<Missing>, Error> {
    let read: Vec<&table::State> = tables
        .iter()
        .filter(|table| table.scans >= SCANS && table.scanned_rows / table.scans >= ROWS_A_SCAN)
        .collect();
    let mut missing = references(session).await?;
    if read.is_empty() {
        return Ok(missing);
    }
    // The most expensive statement for each index.
    let mut found: BTreeMap<scan::Scan, (f64, &statement::Statement)> = BTreeMap::new();
    for statement in statement::all() {
        let plan = match plan::explain_on(session, statement, plan::Form::Json).await {
            Ok(plan) => plan,
            Err(error) => {
                notes.push(format!("{} could not be planned: {error}", statement.name()));
                continue;
            }
        };
        let cost = plan.cost().unwrap_or_default();
        for scan in scan::of(&plan.plan) {
            let entry = found.entry(scan).or_insert((cost, statement));
            if cost > entry.0 {
                *entry = (cost, statement);
            }
        }
    }
    for table in read {
        let before = missing.len();
        let of_table = || found.keys().filter(|scan| scan.table == table.name);
        for scan in of_table() {
            // What a longer one begins with, that one does as well.
            let longer = |other: &scan::Scan| other != scan && other.columns.starts_with(&scan.columns);
            if of_table().any(longer) {
                continue;
            }
            let Some((cost, statement)) = found.get(scan) else { continue };
            missing.push(of_scan(table, scan, *cost, statement));
        }
        if missing.len() == before {
            notes.push(format!(
                "{} was read from end to end {} times, {} rows each: by no statement of ours that an index would help",
                table.name,
                table.scans,
                table.scanned_rows / table.scans
            ));
        }
    }
    Ok(missing)
}

fn of_scan(table: &table::State, scan: &scan::Scan, cost: f64, statement: &statement::Statement) -> Missing {
    let columns = scan.columns.join(", ");
    let advice = Advice {
        kind: Kind::MissingIndex,
        object: format!("{} ({columns})", table.name),
        table: table.name.clone(),
        why: format!(
            "{} reads all of it; it was read so {} times, {} rows each",
            statement.name(),
            table.scans,
            table.scanned_rows / table.scans
        ),
        before: Figure::cost(cost),
        after: None,
        remedy: format!("create index concurrently on {} ({columns})", table.name),
    };
    let text = statement.text().to_owned();
    Missing { advice, table: table.name.clone(), columns: scan.columns.clone(), text }
}

/// References that no index serves, where rows that they could mean are deleted: each time all of the table is read.
async fn references(session: &Client) -> Result<Vec<Missing>, Error> {
    let mut missing = Vec::new();
    for reference in index::bare_references(session).await? {
        if reference.deleted == 0 || reference.rows < ROWS_A_SCAN {
            continue;
        }
        let columns = reference.columns.join(", ");
        let conditions: Vec<String> =
            (1..).zip(&reference.columns).map(|(n, column)| format!("{column} = ${n}")).collect();
        let text = format!("select from only {} where {}", reference.table, conditions.join(" and "));
        let plan = plan::explain_text(session, &text, plan::Form::Json).await?;
        let advice = Advice {
            kind: Kind::MissingIndex,
            object: format!("{} ({columns})", reference.table),
            table: reference.table.to_string(),
            why: format!(
                "it refers to {}, of which {} rows were deleted: each time all of it is read",
                reference.to, reference.deleted
            ),
            before: Figure::cost(plan.cost().unwrap_or_default()),
            after: None,
            remedy: format!("create index concurrently on {} ({columns})", reference.table),
        };
        let (table, columns) = (reference.table.to_string(), reference.columns);
        missing.push(Missing { advice, table, columns, text });
    }
    Ok(missing)
}
