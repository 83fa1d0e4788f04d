//! `producer pools set`

use shared::db::limit;
use shared::db::pool_setting::Change;
use shared::db::{self, Database};
use shared::limit::{Key, Limit};

use super::Which;
use crate::commands::limits::Asked;
use crate::commands::{Exit, Failure, actor};
use crate::operations;

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Args {
    #[command(flatten)]
    which: Which,
    /// How many tasks the pool of each of these workers runs at once, 1 to 30000; none leaves it to their configuration
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    slots: Option<Asked<i32>>,
    /// How many tasks all workers together may start in a minute; none lifts this limit
    #[arg(long, value_name = "N", allow_negative_numbers = true, conflicts_with = "worker")]
    starts_per_minute: Option<Asked<f64>>,
    /// How many may start at once after a pause
    #[arg(long, value_name = "N", allow_negative_numbers = true, conflicts_with = "worker")]
    burst: Option<Asked<u32>>,
}

pub(super) async fn run(database: &Database, args: &Args) -> Result<Exit, Failure> {
    let Args { which, slots, starts_per_minute, burst } = args;
    let limits = starts_per_minute.is_some() || burst.is_some();
    if slots.is_none() && !limits {
        return Err(Failure::BadInput(
            "nothing to set: use --slots, --starts-per-minute or --burst".to_owned(),
        ));
    }
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    which.of().check(&transaction).await?;
    if limits {
        let key = Key::Pool(which.kind);
        let settings = limit::all(&transaction).await?;
        let now = limit::effective(&settings).get(&key).map(|setting| setting.limit).unwrap_or_default();
        let limit = Limit {
            starts_per_minute: Asked::or(*starts_per_minute, now.starts_per_minute),
            burst: Asked::or(*burst, now.burst),
            ..now
        };
        operations::limits::set(&transaction, &key, limit, &actor()).await?;
    }
    if let Some(slots) = slots {
        let change = Change { slots: Some(Asked::or(Some(*slots), None)), ..Change::default() };
        operations::pools::change(&transaction, which.of(), change, &actor()).await?;
    }
    transaction.commit().await.map_err(db::Error::from)?;
    shared::say!("{} changes within 2 s", which.name());
    Ok(Exit::Done)
}
