//! `/api/v1/summary`: where things stand, in the figures that the metrics and the commands show.

use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use shared::http::Problem;
use tokio::sync::Semaphore;

use super::Api;
use super::answer::{Answer, Failure};
use super::entity::{Kept, Lasting};
use super::read::Asks;
use super::source::Server;
use super::wanted::Wanted;
use crate::summary::Replica;

/// The figures are ten statements, and many look at them.
pub(super) const KEPT: Kept = Kept { name: "summary", lasting: Lasting::Moment(Duration::from_secs(5)) };

/// The answer to a request.
pub(super) async fn answer(asks: Asks) -> Response {
    answered(&asks).await.unwrap_or_else(Problem::into_response)
}

async fn answered(asks: &Asks) -> Result<Response, Problem> {
    asks.query.only(&[])?;
    let answer = kept(&asks.api, &asks.api.turns.of(&asks.token))
        .await
        .map_err(|failure| failure.problem("summary"))?;
    Ok(answer.respond(&asks.headers, str::to_owned))
}

/// The summary, as it is kept.
pub(super) async fn kept(api: &Api, turns: &Semaphore) -> Result<Answer, Failure> {
    let used = api.source.server() == Server::Replica;
    let replica = api.source.has_replica().then(|| Replica { lag_seconds: api.source.lag(), used });
    api.cache.answer(&api.source, &Wanted::Summary(replica), "", turns).await
}
