//! The database as a patient: what its tables, indexes and sessions look like, and what is done for them.
//!
//! It is about our own tables and no others, as [`crate::work::maintain::Table`] lists them.

pub mod bloat;
pub mod index;
pub mod scan;
pub mod server;
pub mod table;
pub mod work;

use crate::work::maintain::Table;

/// Our tables, as `ours(name, oid)`: those that hold rows, each month by itself. `$1` has the names.
const OURS: &str = "ours as (
             select c.oid, t.name from unnest($1::text[]) as t(name) join pg_class c on c.oid = to_regclass(t.name)
             where c.relkind = 'r'
             union all
             select i.inhrelid, t.name from unnest($1::text[]) as t(name) join pg_class c on c.oid = to_regclass(t.name)
                 join pg_inherits i on i.inhparent = c.oid
             where c.relkind = 'p')";

fn names<'a>(tables: impl IntoIterator<Item = &'a Table>) -> Vec<&'static str> {
    tables.into_iter().map(|table| table.as_str()).collect()
}
