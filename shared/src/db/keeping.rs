//! Table `keeping`: one row, how long what is kept. Producers are told by their settings, and whoever sweeps goes by it.

use std::time::Duration;

use deadpool_postgres::GenericClient;

use super::statement::statement;
use super::{Error, signed, unsigned};

/// How long what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// Ids, so that they run once, and answers to requests.
    pub id_window: Duration,
    /// Executions and evidence, rounded up to whole months, and the audit.
    pub history: Duration,
}

/// Writes down what this producer was told; the last word counts.
pub async fn tell<C: GenericClient>(client: &C, keeping: Keeping) -> Result<(), Error> {
    let statement = statement!(
        "keeping.tell",
        "insert into keeping (id_window, history) values ($1, $2)
         on conflict ((true)) do update set id_window = excluded.id_window, history = excluded.history, told_at = now()
         where (keeping.id_window, keeping.history) is distinct from (excluded.id_window, excluded.history)"
    );
    let (id_window, history) = (signed(keeping.id_window.as_secs()), signed(keeping.history.as_secs()));
    statement.execute(client, &[&id_window, &history]).await?;
    Ok(())
}

/// What was told last; `None` before the first producer ran.
pub async fn told<C: GenericClient>(client: &C) -> Result<Option<Keeping>, Error> {
    let statement = statement!("keeping.told", "select id_window, history from keeping");
    let row = statement.query_opt(client, &[]).await?;
    row.map(|row| {
        Ok(Keeping {
            id_window: Duration::from_secs(unsigned(row.try_get("id_window")?)),
            history: Duration::from_secs(unsigned(row.try_get("history")?)),
        })
    })
    .transpose()
}
