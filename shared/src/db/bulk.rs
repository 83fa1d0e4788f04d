//! Rows that are written by `COPY` in its binary form: a large batch costs the server less than an insert from
//! arrays does (docs/benchmarks.md), because no array is taken apart and the rows of a page enter the log together.

use std::pin::Pin;

use deadpool_postgres::Transaction;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

use super::{Error, prepared};

/// Rows on their way into one table.
pub(super) struct Bulk(Pin<Box<BinaryCopyInWriter>>);

impl Bulk {
    /// Begins to write these columns; the others get their defaults.
    pub(super) async fn begin(
        transaction: &Transaction<'_>,
        table: &str,
        columns: &[(&str, Type)],
    ) -> Result<Self, Error> {
        let (names, types): (Vec<&str>, Vec<Type>) = columns.iter().cloned().unzip();
        let statement = format!("copy {table} ({}) from stdin (format binary)", names.join(", "));
        let sink = transaction.copy_in(&prepared(transaction, &statement).await?).await?;
        Ok(Self(Box::pin(BinaryCopyInWriter::new(sink, &types))))
    }

    /// Writes a row: as many values as there are columns, in their order.
    pub(super) async fn row(&mut self, values: &[&(dyn ToSql + Sync)]) -> Result<(), Error> {
        Ok(self.0.as_mut().write(values).await?)
    }

    /// Has the server take the rows in; until then it has refused none.
    pub(super) async fn finish(mut self) -> Result<u64, Error> {
        Ok(self.0.as_mut().finish().await?)
    }
}
