//! Tables `cache_version` and `definitions_version`: how often what is read again and again has changed.

use deadpool_postgres::Client;

use super::Error;
use super::statement::statement;

/// What changes whenever something else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version<'a> {
    /// What is counted under a name by the triggers of tables; `definitions` for those of definitions.
    Counted(&'static str),
    /// The judgement of the job of a name: whatever records evidence of a job, writes its restore points or takes them away judges it in the
    /// same transaction, and that writes its row of `compliance` anew. Changes of definitions count as well.
    Judgement(&'a str),
}

impl Version<'_> {
    /// Which one it is now: what is read after it is at least that new.
    pub async fn read(self, client: &Client) -> Result<String, Error> {
        match self {
            Self::Counted(name) => {
                let statement = statement!(
                    "cache_version.counted",
                    "select version::text from cache_version where name = $1
                     union all select value::text from definitions_version where $1 = 'definitions'"
                );
                let row = statement.query_opt(client, &[&name]).await?;
                Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or_default())
            }
            Self::Judgement(job) => {
                let statement = statement!(
                    "cache_version.judgement",
                    "select concat_ws('.', d.value, c.xmin, c.chain_length)
                     from definitions_version d left join job j on j.name = $1 left join compliance c on c.job_id = j.id"
                );
                let row = statement.query_one(client, &[&job]).await?;
                Ok(row.try_get(0)?)
            }
        }
    }
}
