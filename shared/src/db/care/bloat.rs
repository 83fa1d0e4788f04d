//! Room that nothing uses, in indexes and tables.
//!
//! It is estimated from the planner's statistics: how many rows there are and how wide they are on average, hence how many pages
//! they would take if they stood close together. The arithmetic is that of the bloat queries of ioguix
//! (<https://github.com/ioguix/pgsql-bloat-estimation>), which the PostgreSQL wiki recommends. It knows nothing of equal keys that are
//! stored once (since PostgreSQL 13), and so rather finds too little than too much. Where the extension
//! `pgstattuple` is installed, what was estimated is measured.

use deadpool_postgres::GenericClient;
use serde::Serialize;

use super::super::Error;
use super::super::statement::statement;
use super::{OURS, names};
use crate::work::maintain::Table;

/// Where a figure comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// From statistics.
    Estimated,
    /// Looked at.
    Measured,
    /// By the server's planner, for what is there.
    Planned,
}

/// An index or a table, with the room that it would need.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bloat {
    /// Of which table.
    pub of: String,
    /// Its own name.
    pub name: String,
    /// The server's number of it.
    #[serde(skip)]
    pub oid: u32,
    /// Its size.
    pub bytes: i64,
    /// What it would have if it was written anew.
    pub needed: i64,
    /// Where that comes from.
    pub basis: Basis,
}

impl Bloat {
    /// Bytes that nothing uses.
    #[must_use]
    pub const fn wasted(&self) -> i64 {
        if self.needed < self.bytes { self.bytes - self.needed } else { 0 }
    }

    /// Whether writing it anew is worth its while: a mebibyte, and two fifths of it. An index that is filled at random is never
    /// fuller than two thirds, which is no fault.
    #[must_use]
    pub fn is_worth_it(&self) -> bool {
        self.wasted() >= 1024 * 1024 && self.wasted() as f64 >= 0.4 * self.bytes as f64
    }
}

/// The trees among the indexes of some of our tables whose columns have statistics, the most bloated first.
pub async fn indexes<C: GenericClient>(client: &C, tables: &[Table]) -> Result<Vec<Bloat>, Error> {
    let statement = statement!(
        "care.index_bloat",
        format!(
            "with {OURS},
             part as (
                 select i.indexrelid, i.indrelid, c.reltuples, coalesce(
                         substring(array_to_string(c.reloptions, ' ') from 'fillfactor=([0-9]+)')::float8, 90) as fill,
                     s.null_frac, s.avg_width
                 from ours o join pg_index i on i.indrelid = o.oid and i.indisvalid
                     join pg_class c on c.oid = i.indexrelid join pg_am m on m.oid = c.relam and m.amname = 'btree'
                     join pg_class t on t.oid = i.indrelid join pg_namespace n on n.oid = t.relnamespace
                     cross join lateral unnest(i.indkey::smallint[]) with ordinality as k(number, place)
                     join pg_attribute a on a.attrelid = case when k.number = 0 then i.indexrelid else i.indrelid end
                         and a.attnum = case when k.number = 0 then k.place else k.number end
                     left join pg_stats s on s.schemaname = n.nspname and s.attname = a.attname and not s.inherited
                         and s.tablename = case when k.number = 0 then c.relname else t.relname end),
             tuple as (
                 select indexrelid, indrelid, reltuples, fill, case when max(null_frac) > 0 then 16 else 8 end as header,
                     8 * ceil(sum((1 - null_frac) * avg_width) / 8) as data
                 from part group by 1, 2, 3, 4 having bool_and(avg_width is not null) and reltuples >= 0),
             needed as (
                 select *, 1 + ceil(reltuples / greatest(floor((8192 - 24 - 16) * fill / (100 * (4 + header + data))), 1)) as pages
                 from tuple)
             select indrelid::regclass::text as of, indexrelid::regclass::text as name, indexrelid as oid,
                 pg_relation_size(indexrelid) as bytes, (pages * current_setting('block_size')::bigint)::bigint as needed
             from needed order by pg_relation_size(indexrelid) - pages * 8192 desc, indexrelid::regclass::text"
        )
    );
    let rows = statement.query(client, &[&names(tables)]).await?;
    rows.iter().map(bloat).collect()
}

/// Some of our tables whose columns have statistics, the most bloated first. What is long and kept apart from its row is left out.
pub async fn tables<C: GenericClient>(client: &C, tables: &[Table]) -> Result<Vec<Bloat>, Error> {
    let statement = statement!(
        "care.table_bloat",
        format!(
            "with {OURS},
             tuple as (
                 select c.oid, c.reltuples, coalesce(
                         substring(array_to_string(c.reloptions, ' ') from 'fillfactor=([0-9]+)')::float8, 100) as fill,
                     8 * ceil((23 + case when max(s.null_frac) > 0 then (7 + count(*)) / 8 else 0 end) / 8.0) as header,
                     8 * ceil(sum((1 - s.null_frac) * s.avg_width) / 8) as data
                 from ours o join pg_class c on c.oid = o.oid join pg_namespace n on n.oid = c.relnamespace
                     join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                     left join pg_stats s on s.schemaname = n.nspname and s.tablename = c.relname and s.attname = a.attname
                         and not s.inherited
                 where c.reltuples >= 0 group by 1, 2, 3 having bool_and(s.avg_width is not null)),
             needed as (
                 select *, ceil(reltuples / greatest(floor((8192 - 24) * fill / (100 * (4 + header + data))), 1)) as pages
                 from tuple)
             select oid::regclass::text as of, oid::regclass::text as name, oid, pg_relation_size(oid) as bytes,
                 (pages * current_setting('block_size')::bigint)::bigint as needed
             from needed order by pg_relation_size(oid) - pages * 8192 desc, oid::regclass::text"
        )
    );
    let rows = statement.query(client, &[&names(tables)]).await?;
    rows.iter().map(bloat).collect()
}

fn bloat(row: &tokio_postgres::Row) -> Result<Bloat, Error> {
    Ok(Bloat {
        of: row.try_get("of")?,
        name: row.try_get("name")?,
        oid: row.try_get("oid")?,
        bytes: row.try_get("bytes")?,
        needed: row.try_get("needed")?,
        basis: Basis::Estimated,
    })
}

/// Has the server look how full the leaves of an index are, which reads all of it; `None` without the extension `pgstattuple`, or
/// where the role may not use it.
pub async fn measured<C: GenericClient>(client: &C, index: &Bloat) -> Result<Option<Bloat>, Error> {
    let statement = statement!(
        "care.can_measure",
        "select coalesce(has_function_privilege(to_regprocedure('pgstatindex(regclass)'), 'execute'), false)"
    );
    if !statement.query_one(client, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(None);
    }
    // Not a named statement: the function is there only with the extension.
    let row = client
        .query_one("select index_size, avg_leaf_density from pgstatindex($1::oid::regclass)", &[&index.oid])
        .await?;
    let (bytes, full): (i64, f64) = (row.try_get("index_size")?, row.try_get("avg_leaf_density")?);
    let needed = if full.is_finite() { (bytes as f64 * full / 90.0).round() } else { bytes as f64 };
    #[expect(clippy::cast_possible_truncation, reason = "a size is far below 2^63")]
    let needed = (needed as i64).min(bytes);
    Ok(Some(Bloat { bytes, needed, basis: Basis::Measured, ..index.clone() }))
}
