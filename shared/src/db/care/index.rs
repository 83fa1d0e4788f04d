//! Indexes: how large they are, and whether anything uses them.

use deadpool_postgres::GenericClient;
use serde::Serialize;

use super::super::Error;
use super::super::parsed;
use super::super::statement::statement;
use super::{OURS, names};
use crate::work::maintain::Table;

/// An index of a table of ours, or of a month of one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct State {
    /// Of which of ours.
    pub table: Table,
    /// The table's own name.
    pub of: String,
    /// The index's name, quoted where SQL needs that.
    pub name: String,
    /// That of the whole table's index, where this is the one of a month.
    pub parent: Option<String>,
    /// The server's number of it.
    #[serde(skip)]
    pub oid: u32,
    /// How it was made; of the index of a month: how that of the whole table was.
    pub definition: String,
    /// What it is over, in order; expressions as they are written.
    pub columns: Vec<String>,
    /// All that two indexes must share to be the same but for their columns: method, classes, order, condition.
    #[serde(skip)]
    pub nature: String,
    /// Its size.
    pub bytes: i64,
    /// Rows of its table.
    pub rows: i64,
    /// How often it was used since the statistics began.
    pub scans: i64,
    /// Whether it keeps values unique, for a constraint or by itself: then nothing has to read it to need it.
    pub unique: bool,
    /// Whether it stands behind a constraint.
    pub constraint: bool,
    /// Whether it can be used: one that was broken off while it was built cannot.
    pub valid: bool,
}

/// The indexes of some of our tables, the largest first.
pub async fn states<C: GenericClient>(client: &C, tables: &[Table]) -> Result<Vec<State>, Error> {
    let statement = statement!(
        "care.indexes",
        format!(
            "with {OURS}
             select o.name as ours, o.oid::regclass::text as of, i.indexrelid as oid, i.indexrelid::regclass::text as name,
                 h.inhparent::regclass::text as parent, coalesce(pg_get_indexdef(h.inhparent), pg_get_indexdef(i.indexrelid)) as definition,
                 array(select pg_get_indexdef(i.indexrelid, n, true) from generate_series(1, i.indnatts) n order by n) as columns,
                 concat_ws(' ', c.relam, i.indnkeyatts = i.indnatts, i.indclass, i.indcollation, i.indoption,
                     pg_get_expr(i.indpred, i.indrelid)) as nature,
                 pg_relation_size(i.indexrelid) as bytes, s.n_live_tup as rows, coalesce(u.idx_scan, 0) as scans,
                 i.indisunique or i.indisexclusion as unique, i.indisvalid as valid,
                 exists (select from pg_constraint k where k.conindid = i.indexrelid) as constraint
             from ours o join pg_index i on i.indrelid = o.oid join pg_class c on c.oid = i.indexrelid
                 left join pg_inherits h on h.inhrelid = i.indexrelid
                 left join pg_stat_all_tables s on s.relid = o.oid
                 left join pg_stat_all_indexes u on u.indexrelid = i.indexrelid
             order by pg_relation_size(i.indexrelid) desc, i.indexrelid::regclass::text"
        )
    );
    let rows = statement.query(client, &[&names(tables)]).await?;
    rows.iter()
        .map(|row| {
            Ok(State {
                table: parsed(row, "ours")?,
                of: row.try_get("of")?,
                name: row.try_get("name")?,
                parent: row.try_get("parent")?,
                oid: row.try_get("oid")?,
                definition: row.try_get("definition")?,
                columns: row.try_get("columns")?,
                nature: row.try_get("nature")?,
                bytes: row.try_get("bytes")?,
                rows: row.try_get::<_, Option<i64>>("rows")?.unwrap_or_default(),
                scans: row.try_get("scans")?,
                unique: row.try_get("unique")?,
                constraint: row.try_get("constraint")?,
                valid: row.try_get("valid")?,
            })
        })
        .collect()
}

/// A reference from one table of ours to another that no index of the first begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reference {
    /// The table that refers.
    pub table: Table,
    /// By these columns.
    pub columns: Vec<String>,
    /// The table that it refers to.
    pub to: String,
    /// Rows of the table that refers.
    pub rows: i64,
    /// How often a row that could be referred to was deleted since the statistics began: each time, the table was read.
    pub deleted: i64,
    /// How often the table was read from end to end since then.
    pub scans: i64,
    /// Bytes of the table that refers.
    pub bytes: i64,
}

/// The references between our tables that no index serves.
pub async fn bare_references<C: GenericClient>(client: &C) -> Result<Vec<Reference>, Error> {
    let statement = statement!(
        "care.bare_references",
        format!(
            "with {OURS}
             select o.name as ours, k.confrelid::regclass::text as to, s.n_live_tup as rows, t.n_tup_del as deleted,
                 s.seq_scan as scans, pg_table_size(o.oid) as bytes,
                 array(select a.attname::text from unnest(k.conkey) with ordinality as c(number, n)
                     join pg_attribute a on a.attrelid = k.conrelid and a.attnum = c.number order by c.n) as columns
             from ours o join pg_constraint k on k.conrelid = o.oid and k.contype = 'f'
                 join pg_stat_all_tables s on s.relid = o.oid join pg_stat_all_tables t on t.relid = k.confrelid
             where not exists (select from pg_index i where i.indrelid = o.oid and i.indisvalid and i.indpred is null
                 and (i.indkey::smallint[])[0:cardinality(k.conkey) - 1] @> k.conkey)
             order by o.name, k.conname"
        )
    );
    let rows = statement.query(client, &[&names(Table::ALL)]).await?;
    rows.iter()
        .map(|row| {
            Ok(Reference {
                table: parsed(row, "ours")?,
                columns: row.try_get("columns")?,
                to: row.try_get("to")?,
                rows: row.try_get("rows")?,
                deleted: row.try_get("deleted")?,
                scans: row.try_get("scans")?,
                bytes: row.try_get("bytes")?,
            })
        })
        .collect()
}
