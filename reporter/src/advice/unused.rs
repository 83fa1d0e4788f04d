//! Indexes that cost each write and serve nobody.

use std::collections::BTreeMap;

use deadpool_postgres::GenericClient;
use shared::db::Error;
use shared::db::care::bloat::Basis;
use shared::db::care::index::{self, State};
use shared::work::maintain::Table;

use super::{Advice, Figure, Kind};

/// With fewer rows a table is read from end to end anyway, and its indexes say nothing.
const ROWS: i64 = 1_000;

/// Indexes that were broken off while they were built.
pub(super) async fn invalid<C: GenericClient>(client: &C) -> Result<Vec<Advice>, Error> {
    let indexes = index::states(client, Table::ALL).await?;
    let invalid = indexes.into_iter().filter(|index| !index.valid && index.parent.is_none());
    Ok(invalid
        .map(|index| Advice {
            kind: Kind::InvalidIndex,
            why: "it was broken off while it was built: each write pays for it, and nothing reads by it"
                .to_owned(),
            before: Figure::bytes(index.bytes, Basis::Measured),
            after: Some(Figure::bytes(0, Basis::Measured)),
            remedy: format!("drop index concurrently {}", index.name),
            object: index.name,
            table: index.of,
        })
        .collect())
}

/// Indexes that nothing has used since the server counts: of tables with many rows, and none that keeps values unique.
pub(super) async fn unused<C: GenericClient>(client: &C) -> Result<Vec<Advice>, Error> {
    Ok(by_whole(index::states(client, Table::ALL).await?)
        .into_iter()
        .filter(|index| {
            index.valid && !index.unique && !index.constraint && index.scans == 0 && index.rows >= ROWS
        })
        .map(|index| Advice {
            kind: Kind::UnusedIndex,
            why: format!(
                "nothing has read by it (docs/tables.md says what ours are for); it can be made again: {}",
                index.definition
            ),
            before: Figure::bytes(index.bytes, Basis::Measured),
            after: Some(Figure::bytes(0, Basis::Measured)),
            remedy: drop_it(&index),
            object: index.name,
            table: index.of,
        })
        .collect())
}

/// Indexes beside which another one does the same: over the same columns, or over these and more after them.
pub(super) async fn duplicates<C: GenericClient>(client: &C) -> Result<Vec<Advice>, Error> {
    let indexes = by_whole(index::states(client, Table::ALL).await?);
    let mut advice = Vec::new();
    for index in indexes.iter().filter(|index| index.valid && !index.unique && !index.constraint) {
        let Some(other) = indexes.iter().find(|other| other.valid && covers(other, index)) else { continue };
        let same = other.columns.len() == index.columns.len();
        advice.push(Advice {
            kind: Kind::DuplicateIndex,
            object: index.name.clone(),
            table: index.of.clone(),
            why: format!(
                "{} is over {} ({})",
                other.name,
                if same { "the same" } else { "the same and more" },
                other.columns.join(", ")
            ),
            before: Figure::bytes(index.bytes, Basis::Measured),
            after: Some(Figure::bytes(0, Basis::Measured)),
            remedy: drop_it(index),
        });
    }
    Ok(advice)
}

/// Of two that are the same, the one that stays is unique, or else the one with the first name.
fn covers(other: &State, index: &State) -> bool {
    let (ours, others) = (index.nature.split(' '), other.nature.split(' '));
    // Method, included columns, and the condition have to be the same; classes and order as far as the shorter one goes.
    let alike =
        ours.clone().count() <= others.clone().count() && (ours.eq(others) || is_prefix(index, other));
    let prefix = other.columns.starts_with(&index.columns);
    let stays = other.columns.len() > index.columns.len() || other.unique || other.name < index.name;
    index.oid != other.oid && index.of == other.of && alike && prefix && stays
}

/// Whether a tree's method, classes and order begin like those of another tree, neither with a condition.
fn is_prefix(index: &State, other: &State) -> bool {
    let plain = |state: &State| {
        state.definition.contains(" USING btree ")
            && !state.definition.contains(" WHERE ")
            && !state.definition.contains(" INCLUDE ")
    };
    let written = |state: &State| {
        let (_, columns) = state.definition.split_once(" USING btree (").unwrap_or_default();
        columns.trim_end_matches(')').to_owned()
    };
    let (ours, others) = (written(index), written(other));
    plain(index) && plain(other) && others.starts_with(&ours) && others[ours.len()..].starts_with(',')
}

/// The indexes of months as those of their whole tables: they can only go together.
fn by_whole(indexes: Vec<State>) -> Vec<State> {
    let mut wholes: BTreeMap<String, State> = BTreeMap::new();
    let mut single = Vec::new();
    for index in indexes {
        let Some(parent) = index.parent.clone() else {
            single.push(index);
            continue;
        };
        let whole = wholes.entry(parent.clone()).or_insert_with(|| State {
            name: parent,
            of: index.table.to_string(),
            bytes: 0,
            rows: 0,
            scans: 0,
            ..index.clone()
        });
        whole.bytes += index.bytes;
        whole.rows += index.rows;
        whole.scans += index.scans;
    }
    single.extend(wholes.into_values());
    single
}

fn drop_it(index: &State) -> String {
    // The server drops that of a whole table only at once.
    let concurrently = if index.parent.is_some() { "" } else { "concurrently " };
    format!("drop index {concurrently}{}", index.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(name: &str, columns: &[&str], unique: bool) -> State {
        State {
            table: Table::Job,
            of: "job".to_owned(),
            name: name.to_owned(),
            parent: None,
            oid: name.bytes().map(u32::from).sum(),
            definition: format!("CREATE INDEX {name} ON public.job USING btree ({})", columns.join(", ")),
            columns: columns.iter().map(ToString::to_string).collect(),
            nature: vec!["403 t"; columns.len()].join(" "),
            bytes: 8192,
            rows: 5_000,
            scans: 0,
            unique,
            constraint: unique,
            valid: true,
        }
    }

    #[test]
    fn of_two_that_are_the_same_one_stays() {
        let (a, b) = (state("a", &["x", "y"], false), state("b", &["x", "y"], false));
        assert!(covers(&a, &b) && !covers(&b, &a));
        let (a, b) = (state("a", &["x"], false), state("b", &["x"], true));
        assert!(covers(&b, &a));
    }

    #[test]
    fn a_longer_one_does_what_a_shorter_one_does_and_not_the_reverse() {
        let (short, long) = (state("z", &["x"], false), state("a", &["x", "y"], false));
        assert!(covers(&long, &short) && !covers(&short, &long));
        let (other, descending) = (state("z", &["y"], false), state("d", &["x DESC", "y"], false));
        assert!(!covers(&long, &other) && !covers(&descending, &short));
    }
}
