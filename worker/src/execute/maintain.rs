//! Looks after the database: what is old goes, dead rows make room, plans rest on new statistics, indexes are built anew.
//!
//! The attempt's detail says for each thing what it was before, what it is now, and how long it took; a dry run says the same of
//! what would be done, and changes nothing.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};
use shared::db::care::work::{self, Failure, Session};
use shared::db::care::{bloat, table};
use shared::db::{self, Database, keeping, sweep};
use shared::task::Ended;
use shared::work::MaintainParams;
use shared::work::maintain::{Old, Subject, Table};

use super::attempt::{Attempt, refuse, retry};
use crate::outcome::Outcome;

/// Does what the parameters say.
pub(super) async fn run(attempt: &Attempt<'_>, params: &MaintainParams) -> Result<Outcome, Ended> {
    let (database, dry_run) = (&attempt.worker.database, params.dry_run);
    let figures = match &params.subject {
        Subject::Old(what) => {
            tokio::select! {
                swept = sweep_all(database, what, dry_run) => swept?,
                // What was removed stays so.
                () = attempt.cancel.cancelled() => return Err(Ended::Interrupted),
            }
        }
        Subject::Vacuum(tables) => vacuum(&session(attempt, tables, dry_run).await?, tables, dry_run).await?,
        Subject::Analyze(tables) => {
            analyze(&session(attempt, tables, dry_run).await?, tables, dry_run).await?
        }
        Subject::Reindex { tables, all } => {
            let tables: Vec<Table> =
                if tables.is_empty() { Table::ALL.to_vec() } else { tables.iter().copied().collect() };
            let session = session(attempt, &tables, dry_run).await?;
            reindex(&session, &tables, *all, dry_run).await?
        }
    };
    let mut detail = json!({ "action": params.action(), "dry_run": dry_run });
    if let (Some(detail), Value::Object(figures)) = (detail.as_object_mut(), figures) {
        detail.extend(figures);
    }
    Ok(Outcome { detail: Some(detail), ..Outcome::done() })
}

fn ended(failure: Failure) -> Ended {
    match failure {
        Failure::Cancelled => Ended::Interrupted,
        Failure::Busy { .. } => retry(failure),
        Failure::Database(error) => retry(error),
    }
}

/// A session for the work, whose role may do it. The server would only warn, and leave out what it may not.
async fn session<'t>(
    attempt: &Attempt<'_>,
    tables: impl IntoIterator<Item = &'t Table>,
    dry_run: bool,
) -> Result<Session, Ended> {
    let named: Vec<Table> = tables.into_iter().copied().collect();
    let opened = Session::open(&attempt.worker.database, attempt.cancel, attempt.limit()).await;
    let session = opened.map_err(retry)?;
    let asked = if named.is_empty() { Table::ALL } else { &named };
    let forbidden = table::forbidden(session.client(), asked).await.map_err(retry)?;
    if forbidden.is_empty() || dry_run {
        return Ok(session);
    }
    Err(refuse(format!(
        "the worker's database role neither owns {} nor has the privilege MAINTAIN on it",
        forbidden.join(", ")
    )))
}

async fn sweep_all(database: &Database, what: &BTreeSet<Old>, dry_run: bool) -> Result<Value, Ended> {
    let client = database.client().await.map_err(retry)?;
    let told = keeping::told(&client).await.map_err(retry)?;
    drop(client);
    let Some(keeping) = told else {
        return Err(retry("no producer has said yet how long what is kept: run one of this version"));
    };
    let mut figures = json!({});
    let mut swept = Vec::new();
    for &old in what {
        let figure = sweep_one(database, old, keeping, dry_run).await.map_err(retry)?;
        // By its own name as well, as it always was.
        figures[old.as_str()] = figure["rows"].clone();
        swept.push(figure);
    }
    figures["swept"] = swept.into();
    Ok(figures)
}

async fn sweep_one(
    database: &Database,
    old: Old,
    keeping: keeping::Keeping,
    dry_run: bool,
) -> Result<Value, db::Error> {
    let (began, tables) = (Instant::now(), sweep::tables(old));
    let before = table::bytes(&database.client().await?, tables).await?;
    let rows = if dry_run {
        sweep::count(database, old, keeping).await?
    } else {
        sweep::run(database, old, keeping).await?
    };
    let after = if dry_run { before } else { table::bytes(&database.client().await?, tables).await? };
    Ok(json!({
        "what": old, "rows": rows, "bytes_before": before, "bytes_after": after,
        "seconds": began.elapsed().as_secs_f64(),
    }))
}

async fn vacuum(session: &Session, named: &BTreeSet<Table>, dry_run: bool) -> Result<Value, Ended> {
    let named: Vec<Table> = named.iter().copied().collect();
    let mut done = Vec::new();
    for before in work::to_vacuum(session, &named).await.map_err(retry)? {
        let mut figure = json!({
            "table": before.name, "dead_rows_before": before.dead_rows, "bytes_before": before.bytes + before.index_bytes,
        });
        if !dry_run {
            let took = session.vacuum(&before).await.map_err(ended)?;
            let after = table::states(session.client(), &[before.table]).await.map_err(retry)?;
            if let Some(after) = after.into_iter().find(|after| after.oid == before.oid) {
                figure["dead_rows_after"] = after.dead_rows.into();
                figure["bytes_after"] = (after.bytes + after.index_bytes).into();
            }
            figure["seconds"] = took.as_secs_f64().into();
        }
        done.push(figure);
    }
    Ok(json!({ "tables": done }))
}

/// A table that is partitioned is analyzed as a whole, with its months: the server looks at each month and never at the whole.
async fn analyze(session: &Session, named: &BTreeSet<Table>, dry_run: bool) -> Result<Value, Ended> {
    let client = session.client();
    let partitioned = table::partitioned(client).await.map_err(retry)?;
    let mut chosen: Vec<(String, i64)> = Vec::new();
    let states = table::states(client, Table::ALL).await.map_err(retry)?;
    for (whole, _) in &partitioned {
        if named.is_empty() || named.contains(whole) {
            let changed = states.iter().filter(|state| state.table == *whole).map(|state| state.changed_rows);
            chosen.push((whole.to_string(), changed.sum()));
        }
    }
    let is_month = |state: &table::State| partitioned.iter().any(|(whole, _)| *whole == state.table);
    let due = |state: &table::State| {
        if named.is_empty() { state.needs_analyze() } else { named.contains(&state.table) }
    };
    let single = states.iter().filter(|state| !is_month(state) && due(state));
    chosen.extend(single.map(|state| (state.name.clone(), state.changed_rows)));
    let mut done = Vec::new();
    for (name, changed) in chosen {
        let mut figure = json!({ "table": name, "changed_rows": changed });
        if !dry_run {
            figure["seconds"] = session.analyze(&name).await.map_err(ended)?.as_secs_f64().into();
        }
        done.push(figure);
    }
    Ok(json!({ "tables": done }))
}

async fn reindex(session: &Session, tables: &[Table], all: bool, dry_run: bool) -> Result<Value, Ended> {
    let leftovers = session.drop_leftovers(tables, dry_run).await.map_err(ended)?;
    let mut done = Vec::new();
    for (table, index) in work::to_reindex(session, tables, all).await.map_err(retry)? {
        let bloat::Bloat { of, name, bytes, needed, basis, .. } = &index;
        let mut figure = json!({
            "table": of, "index": name, "bytes_before": bytes, "bytes_expected": needed, "expectation": basis,
        });
        if !dry_run {
            let took = session.reindex(table, &index).await.map_err(ended)?;
            figure["bytes_after"] = session.index_bytes(tables, name).await.map_err(retry)?.into();
            figure["seconds"] = took.as_secs_f64().into();
        }
        done.push(figure);
    }
    Ok(json!({ "indexes": done, "leftovers": leftovers }))
}
