//! `producer limits set`

use std::fmt::Display;
use std::str::FromStr;

use bytesize::ByteSize;
use shared::db::limit;
use shared::db::{self, Database};
use shared::limit::{Key, Limit};

use crate::commands::{Exit, Failure, actor};
use crate::operations::limits;

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

impl Args {
    const fn is_empty(&self) -> bool {
        let Self { key: _, starts_per_minute, burst, concurrency, bytes_per_second, weight, strict } = self;
        starts_per_minute.is_none()
            && burst.is_none()
            && concurrency.is_none()
            && bytes_per_second.is_none()
            && weight.is_none()
            && strict.is_none()
    }

    /// What was not asked for follows: without a rate there is no burst, and no more start at once than may run.
    fn fit(&self, mut limit: Limit) -> Limit {
        if limit.starts_per_minute.is_none() {
            limit.burst = limit.burst.filter(|_| self.burst.is_some());
            limit.strict &= self.strict.is_some();
        }
        if self.burst.is_none() {
            let most = limit.concurrency.unwrap_or(u32::MAX);
            limit.burst = limit.burst.map(|burst| burst.min(most).max(1));
        }
        limit
    }
}

pub(super) async fn run(database: &Database, args: &Args) -> Result<Exit, Failure> {
    let key = &args.key;
    if args.is_empty() {
        return Err(Failure::BadInput(format!("{key}: nothing to set, see --help for what can be")));
    }
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    db::job::lock_definitions(&transaction).await?;
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
    let limit = args.fit(limit);
    limits::set(&transaction, key, limit, &actor()).await?;
    transaction.commit().await?;
    shared::say!("{key}: {limit}");
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(options: &[&str]) -> Args {
        Line::parse_from([&["set", "target:disk-a"], options].concat()).args
    }

    #[test]
    fn what_was_not_asked_for_follows_what_was() {
        let now =
            Limit { starts_per_minute: Some(60.0), burst: Some(5), concurrency: Some(1), ..Limit::default() };
        let fit = |options: &[&str], limit: Limit| args(options).fit(limit).burst;
        assert_eq!(fit(&["--concurrency", "1"], now), Some(1));
        assert_eq!(
            fit(&["--concurrency", "1", "--burst", "5"], now),
            Some(5),
            "it is to be refused by its name"
        );
        let without_rate = Limit { starts_per_minute: None, strict: true, ..now };
        assert_eq!(fit(&["--starts-per-minute", "none"], without_rate), None);
        assert!(!args(&["--starts-per-minute", "none"]).fit(without_rate).strict);
    }

    #[test]
    fn a_command_that_sets_nothing_is_known() {
        assert!(args(&[]).is_empty());
        assert!(!args(&["--weight", "none"]).is_empty());
    }
}
