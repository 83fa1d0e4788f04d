//! `producer limits set`

use std::fmt::Display;
use std::str::FromStr;

use bytesize::ByteSize;
use deadpool_postgres::Transaction;
use shared::db::limit::{self, Origin};
use shared::db::{self, Database};
use shared::limit::{Key, Limit};

use crate::commands::{Exit, Failure, operator};

/// Each field that is not given stays as it is now.
#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Args {
    /// What is limited: `pool:KIND`, `target:NAME`, `source:FAILURE_DOMAIN` or `owner:NAME`
    key: Key,
    /// How many tasks may start in a minute, on average; none lifts this limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    starts_per_minute: Option<Asked<f64>>,
    /// How many may start at once after a pause
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    burst: Option<Asked<u32>>,
    /// How many may run at once
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    concurrency: Option<Asked<u32>>,
    /// How much they may read and write together on a target, such as 50MiB
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    bytes_per_second: Option<Asked<ByteSize>>,
    /// How much an owner gets compared with others, 1 to 100
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    weight: Option<Asked<u32>>,
    /// Whether the rate is never exceeded, at the price of asking the database for each few starts
    #[arg(long, value_name = "BOOL")]
    strict: Option<bool>,
}

/// A value, or none.
#[derive(Debug, Clone, Copy)]
pub(in crate::commands) struct Asked<T>(Option<T>);

impl<T: FromStr<Err: Display>> FromStr for Asked<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        text.parse().map(|value| Self(Some(value))).map_err(|error: T::Err| format!("{error}; or use none"))
    }
}

impl<T: Copy> Asked<T> {
    /// What is asked for, or else what there is.
    pub(in crate::commands) fn or(asked: Option<Self>, now: Option<T>) -> Option<T> {
        asked.map_or(now, |Self(value)| value)
    }
}

pub(super) async fn run(database: &Database, args: &Args) -> Result<Exit, Failure> {
    let key = &args.key;
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    db::job::lock_definitions(&transaction).await?;
    check_exists(&transaction, key).await?;
    let settings = limit::all(&transaction).await?;
    let now = limit::effective(&settings).get(key).map(|setting| setting.limit).unwrap_or_default();
    let limit = Limit {
        starts_per_minute: Asked::or(args.starts_per_minute, now.starts_per_minute),
        burst: Asked::or(args.burst, now.burst),
        concurrency: Asked::or(args.concurrency, now.concurrency),
        bytes_per_second: Asked::or(
            args.bytes_per_second.map(|Asked(size)| Asked(size.map(|size| size.as_u64()))),
            now.bytes_per_second,
        ),
        weight: Asked::or(args.weight, now.weight),
        strict: args.strict.unwrap_or(now.strict),
    };
    let defined = settings.iter().any(|setting| setting.key == *key && setting.origin == Origin::Definitions);
    if limit == Limit::default() && defined {
        // Nothing at all, in the place of what the definitions say.
        write(&transaction, key, limit).await?;
    } else {
        set(&transaction, key, limit).await?;
    }
    transaction.commit().await.map_err(db::Error::from)?;
    println!("{key}: {limit}");
    Ok(Exit::Done)
}

/// Sets what limits a key while everything runs.
pub(in crate::commands) async fn set(
    transaction: &Transaction<'_>,
    key: &Key,
    limit: Limit,
) -> Result<(), Failure> {
    limit.check(key).map_err(|wrong| {
        let wrong: Vec<String> = wrong.iter().map(|wrong| format!("{key}: {wrong}")).collect();
        Failure::BadInput(wrong.join("\n"))
    })?;
    Ok(write(transaction, key, limit).await?)
}

async fn write(transaction: &Transaction<'_>, key: &Key, limit: Limit) -> Result<(), db::Error> {
    let changed = limit::change(transaction, Origin::Live, &[(key.clone(), limit)], &[], &operator()).await?;
    changed.finish(transaction).await
}

async fn check_exists(transaction: &Transaction<'_>, key: &Key) -> Result<(), Failure> {
    let exists = match key {
        Key::Pool(_) => true,
        Key::Target(target) => db::target::by_name(transaction, target).await?.is_some(),
        Key::Owner(owner) => db::job::keys(transaction).await?.iter().any(|job| job.owner == owner.as_str()),
        Key::Source(source) => {
            db::job::keys(transaction).await?.iter().any(|job| job.source == source.as_str())
        }
    };
    if exists {
        return Ok(());
    }
    let why = match key {
        Key::Target(target) => format!("no target is named \"{target}\""),
        Key::Owner(_) => "no job has this owner".to_owned(),
        Key::Source(_) | Key::Pool(_) => "no job's source has this failure_domain".to_owned(),
    };
    Err(Failure::BadInput(format!("{key}: {why}")))
}
