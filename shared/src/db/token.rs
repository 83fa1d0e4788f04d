//! Table `token`: the tokens of strict limits. A token is the right to start one task, not before its time and not later than
//! [`TOKEN_LIFE`](crate::limit::TOKEN_LIFE) after it.
//!
//! Tokens are a rate's period apart, but for those of a pause: the generic cell rate algorithm (ITU-T I.371), whose
//! allowance is what a burst has beyond the tokens that may be used late. So in every stretch of `t` seconds at most
//! `burst + t * per_second` tasks start.

use std::time::Duration;

use deadpool_postgres::GenericClient;

use super::Error;
use super::statement::statement;
use crate::limit::{Key, Rate, TOKEN_LIFE};

/// How far ahead tokens are given, so that workers stand in line for them instead of asking again and again.
pub const AHEAD: Duration = Duration::from_secs(1);

/// Takes up to `most` tokens of a key, and says in how long the time of each has come: zero for those that can be used at
/// once. None when all are taken that will be good soon.
pub async fn take<C: GenericClient>(
    client: &C,
    key: &Key,
    rate: Rate,
    most: usize,
) -> Result<Vec<Duration>, Error> {
    // What a pause saved up is `$3` tokens.
    let first = statement!(
        "token.create",
        "insert into token (key, last) values ($1, '-infinity') on conflict do nothing"
    );
    first.execute(client, &[&key.to_string()]).await?;
    // One statement of its own, so that the row is locked for a moment only.
    let statement = statement!(
        "token.take",
        "with locked as (
             select greatest(last, now() - make_interval(secs => $2::float8 * $3::float8)) as last
             from token where key = $1 for update),
         given as (
             select last, least($5, greatest(0, floor((extract(epoch from now() - last)::float8 + $4) / $2)))::bigint as tokens
             from locked)
         update token set last = given.last + make_interval(secs => $2 * tokens) from given where key = $1
         returning extract(epoch from given.last - now())::float8 as last, tokens"
    );
    let period = 1.0 / rate.per_second;
    let late = (rate.per_second * TOKEN_LIFE.as_secs_f64()).ceil();
    let allowance = (f64::from(rate.burst) - late).max(1.0);
    let most = most as f64;
    let row = statement
        .query_one(client, &[&key.to_string(), &period, &allowance, &AHEAD.as_secs_f64(), &most])
        .await?;
    let (last, tokens): (f64, i64) = (row.try_get("last")?, row.try_get("tokens")?);
    Ok((1..=tokens)
        .map(|n| Duration::try_from_secs_f64((last + period * n as f64).max(0.0)).unwrap_or_default())
        .collect())
}
