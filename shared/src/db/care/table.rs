//! Tables: how large they are, how many rows are dead, and when they were looked after last.

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use serde::Serialize;

use super::super::Error;
use super::super::parsed;
use super::super::statement::statement;
use super::{OURS, names};
use crate::work::maintain::Table;

/// A table that holds rows: one of ours, or a month of one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct State {
    /// Which of ours.
    pub table: Table,
    /// Its own name, quoted where SQL needs that.
    pub name: String,
    /// The server's number of it.
    #[serde(skip)]
    pub oid: u32,
    /// Bytes of its rows, with those that are kept apart because they are long.
    pub bytes: i64,
    /// Bytes of its indexes.
    pub index_bytes: i64,
    /// Rows that are there, as the server estimates.
    pub rows: i64,
    /// Rows that are gone and whose room is not usable yet, as the server estimates.
    pub dead_rows: i64,
    /// Rows that changed since the planner's statistics were made.
    pub changed_rows: i64,
    /// How often it was read from end to end, and how many rows that were together, since the statistics began.
    pub scans: i64,
    /// See [`State::scans`].
    pub scanned_rows: i64,
    /// How often one of its indexes was used since then.
    pub index_scans: i64,
    /// Rows that were deleted since then.
    pub deleted_rows: i64,
    /// When it was vacuumed last, by somebody or by itself.
    pub vacuumed_at: Option<DateTime<Utc>>,
    /// When its statistics were made last, by somebody or by the server itself.
    pub analyzed_at: Option<DateTime<Utc>>,
}

impl State {
    /// Dead rows of all, from 0 to 1.
    #[must_use]
    pub fn dead_share(&self) -> f64 {
        self.dead_rows as f64 / (self.rows + self.dead_rows).max(1) as f64
    }

    /// Whether so many rows are dead that a vacuum is worth its while: a thousand, and a twentieth of all.
    #[must_use]
    pub fn needs_vacuum(&self) -> bool {
        self.dead_rows >= 1_000 && self.dead_share() >= 0.05
    }

    /// Whether so much has changed that plans may be wrong: a thousand rows, and a tenth of all.
    #[must_use]
    pub fn needs_analyze(&self) -> bool {
        self.changed_rows >= 1_000 && self.changed_rows * 10 >= self.rows
    }
}

/// Some of our tables, the largest first. What is not there is left out.
pub async fn states<C: GenericClient>(client: &C, tables: &[Table]) -> Result<Vec<State>, Error> {
    let statement = statement!(
        "care.tables",
        format!(
            "with {OURS}
             select o.name as ours, o.oid, o.oid::regclass::text as name, pg_table_size(o.oid) as bytes,
                 pg_indexes_size(o.oid) as index_bytes, s.n_live_tup as rows, s.n_dead_tup as dead_rows,
                 s.n_mod_since_analyze as changed_rows, s.seq_scan as scans, s.seq_tup_read as scanned_rows,
                 coalesce(s.idx_scan, 0) as index_scans, s.n_tup_del as deleted_rows,
                 greatest(s.last_vacuum, s.last_autovacuum) as vacuumed_at,
                 greatest(s.last_analyze, s.last_autoanalyze) as analyzed_at
             from ours o join pg_stat_all_tables s on s.relid = o.oid
             order by pg_total_relation_size(o.oid) desc, o.oid::regclass::text"
        )
    );
    let rows = statement.query(client, &[&names(tables)]).await?;
    rows.iter()
        .map(|row| {
            Ok(State {
                table: parsed(row, "ours")?,
                name: row.try_get("name")?,
                oid: row.try_get("oid")?,
                bytes: row.try_get("bytes")?,
                index_bytes: row.try_get("index_bytes")?,
                rows: row.try_get("rows")?,
                dead_rows: row.try_get("dead_rows")?,
                changed_rows: row.try_get("changed_rows")?,
                scans: row.try_get("scans")?,
                scanned_rows: row.try_get("scanned_rows")?,
                index_scans: row.try_get("index_scans")?,
                deleted_rows: row.try_get("deleted_rows")?,
                vacuumed_at: row.try_get("vacuumed_at")?,
                analyzed_at: row.try_get("analyzed_at")?,
            })
        })
        .collect()
}

/// How large one of our tables is, its months and indexes included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Which.
    pub table: Table,
    /// Bytes, as VACUUM and ANALYZE have found them last.
    pub bytes: i64,
    /// Rows that are gone and whose room is not usable yet, as the server estimates.
    pub dead_rows: i64,
}

/// How large our tables are, from the catalogue alone: whoever looks again and again must not wait for a table that somebody has locked.
pub async fn sizes<C: GenericClient>(client: &C) -> Result<Vec<Size>, Error> {
    let statement = statement!(
        "care.sizes",
        format!(
            "with {OURS}
             select o.name as ours, sum(coalesce(s.n_dead_tup, 0))::bigint as dead_rows,
                 (sum(c.relpages::bigint + coalesce(t.relpages, 0) + coalesce(i.pages, 0)) \
                     * current_setting('block_size')::bigint)::bigint as bytes
             from ours o join pg_class c on c.oid = o.oid left join pg_class t on t.oid = c.reltoastrelid
             left join pg_stat_all_tables s on s.relid = o.oid
             left join lateral (
                 select sum(x.relpages)::bigint as pages from pg_index n join pg_class x on x.oid = n.indexrelid
                 where n.indrelid = o.oid) i on true
             group by o.name order by o.name"
        )
    );
    let rows = statement.query(client, &[&names(Table::ALL)]).await?;
    rows.iter()
        .map(|row| {
            let (bytes, dead_rows) = (row.try_get("bytes")?, row.try_get("dead_rows")?);
            Ok(Size { table: parsed(row, "ours")?, bytes, dead_rows })
        })
        .collect()
}

/// Those of our tables that are partitioned, each with the time of its own statistics: the server never makes them by itself.
pub async fn partitioned<C: GenericClient>(client: &C) -> Result<Vec<(Table, Option<DateTime<Utc>>)>, Error> {
    let statement = statement!(
        "care.partitioned",
        "select t.name, s.last_analyze from unnest($1::text[]) as t(name)
             join pg_class c on c.oid = to_regclass(t.name) left join pg_stat_all_tables s on s.relid = c.oid
         where c.relkind = 'p' order by t.name"
    );
    let rows = statement.query(client, &[&names(Table::ALL)]).await?;
    rows.iter().map(|row| Ok((parsed(row, "name")?, row.try_get("last_analyze")?))).collect()
}

/// Bytes of some of our tables, with their indexes.
pub async fn bytes<C: GenericClient>(client: &C, tables: &[Table]) -> Result<i64, Error> {
    let statement = statement!(
        "care.bytes",
        format!("with {OURS} select coalesce(sum(pg_total_relation_size(oid)), 0)::bigint from ours")
    );
    Ok(statement.query_one(client, &[&names(tables)]).await?.try_get(0)?)
}

/// Those of some tables that the session's role may not vacuum, analyze or build indexes of: it owns them neither itself nor through
/// a role, nor the database, and was not given the privilege that PostgreSQL has for it since version 17.
pub async fn forbidden<C: GenericClient>(client: &C, tables: &[Table]) -> Result<Vec<String>, Error> {
    let statement = statement!(
        "care.forbidden",
        "select t.name from unnest($1::text[]) as t(name) join pg_class c on c.oid = to_regclass(t.name)
             join pg_database d on d.datname = current_database()
         where not pg_has_role(c.relowner, 'usage') and not pg_has_role(d.datdba, 'usage')
             and not case when current_setting('server_version_num')::integer >= 170000
                 then has_table_privilege(c.oid, 'maintain') else false end
         order by t.name"
    );
    let rows = statement.query(client, &[&names(tables)]).await?;
    rows.iter().map(|row| Ok(row.try_get("name")?)).collect()
}
