//! Table `evidence_kept`: evidence whose month was dropped, while a job's facts or verdicts name it still.
//!
//! Whoever looks for a row of evidence looks in `evidence` and then here. Facts only ever move on to newer evidence, so
//! what is not named when its month is dropped is never named again.

use deadpool_postgres::{GenericClient, Transaction};

use super::Error;
use super::statement::{command, statement};

/// The evidence that is named: by the facts of a job's copies, and by its verdicts, which were made of such facts.
const NAMED: &str = "with named as (
         select (jsonb_path_query(facts::jsonb, '$.*.*.evidence') #>> '{}')::uuid as id from compliance
         union select (jsonb_path_query(verdicts::jsonb, '$[*].evidence[*]') #>> '{}')::uuid from compliance)";

/// Keeps what is named of a partition that is about to be dropped in the same transaction.
pub(super) async fn keep(transaction: &Transaction<'_>, partition: &str) -> Result<u64, Error> {
    let keeping = format!(
        "{NAMED} insert into evidence_kept select e.* from {partition} e join named on named.id = e.id
         on conflict (id) do nothing"
    );
    Ok(command!("evidence_kept.keep").execute(transaction, &keeping).await?)
}

/// Removes what is named no more; returns how many.
pub async fn sweep<C: GenericClient>(client: &C) -> Result<u64, Error> {
    let statement = statement!(
        "evidence_kept.sweep",
        format!(
            "{NAMED} delete from evidence_kept k where not exists (select from named where named.id = k.id)"
        )
    );
    Ok(statement.execute(client, &[]).await?)
}
