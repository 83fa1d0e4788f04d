//! Rows that are written by `COPY` in its binary form: a large batch costs the server less than an insert from
//! arrays does (docs/benchmarks.md), because no array is taken apart and the rows of a page enter the log together.

use std::pin::Pin;

use deadpool_postgres::Transaction;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

use super::Error;
use super::statement::{Command, Running};

/// Rows on their way into one table.
pub(super) struct Bulk {
    writer: Pin<Box<BinaryCopyInWriter>>,
    running: Running,
}

impl Bulk {
    /// Begins to write these columns; the others get their defaults.
    pub(super) async fn begin(
        command: &'static Command,
        transaction: &Transaction<'_>,
        table: &str,
        columns: &[(&str, Type)],
    ) -> Result<Self, Error> {
        let (names, types): (Vec<&str>, Vec<Type>) = columns.iter().cloned().unzip();
        let statement = format!("copy {table} ({}) from stdin (format binary)", names.join(", "));
        let running = command.begin();
        let sink = transaction.copy_in(&transaction.prepare_cached(&statement).await?).await?;
        Ok(Self { writer: Box::pin(BinaryCopyInWriter::new(sink, &types)), running })
    }

    /// Writes a row: as many values as there are columns, in their order.
    pub(super) async fn row(&mut self, values: &[&(dyn ToSql + Sync)]) -> Result<(), Error> {
        Ok(self.writer.as_mut().write(values).await?)
    }

    /// Has the server take the rows in; until then it has refused none.
    pub(super) async fn finish(mut self) -> Result<u64, Error> {
        let rows = self.writer.as_mut().finish().await?;
        self.running.ended(rows);
        Ok(rows)
    }
}
