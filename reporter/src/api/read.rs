//! Lists and single things: authorised, kept, read.

use axum::Extension;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse as _, Response};
use shared::db::api_token::Token;
use shared::http::Problem;
use shared::http::caller::allow;

use super::answer::{Answer, Failure};
use super::query::{self, Query};
use super::turns::Turns;
use super::wanted::Wanted;
use super::{Api, Entity};

/// Who asks for what.
pub(super) struct Asks {
    /// What all handlers share.
    pub(super) api: Api,
    /// Who.
    pub(super) token: Token,
    /// The query of the URL.
    pub(super) query: Query,
    /// The headers.
    pub(super) headers: HeaderMap,
}

impl FromRequestParts<Api> for Asks {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let State(api) =
            State::<Api>::from_request_parts(parts, api).await.unwrap_or_else(|never| match never {});
        let token = Extension::<Token>::from_request_parts(parts, &api).await;
        let Extension(token) =
            token.map_err(|_| Problem::new(axum::http::StatusCode::UNAUTHORIZED, "a token is needed"))?;
        let uri: &Uri = &parts.uri;
        Ok(Self { query: Query::read(uri.query())?, headers: parts.headers.clone(), token, api })
    }
}

impl Asks {
    async fn answer(&self, wanted: &Wanted<'_>, query: &str) -> Result<Answer, Problem> {
        let turns = self.api.turns.of(&self.token);
        let answer = self.api.cache.answer(&self.api.source, wanted, query, &turns).await;
        answer.map_err(|failure| failure.problem(wanted.one()))
    }
}

/// A page of a list.
pub(super) async fn list(entity: &'static Entity, asks: Asks) -> Response {
    page_of(entity, &asks).await.unwrap_or_else(Problem::into_response)
}

async fn page_of(entity: &'static Entity, asks: &Asks) -> Result<Response, Problem> {
    allow(&asks.token, entity.role)?;
    let asked = asks.query.asks(entity)?;
    let answer =
        asks.answer(&Wanted::Page(entity, &asked, asks.query.job()), &asks.query.canonical()).await?;
    let link = |cursor: &str| format!("/api/v1/{}?{}", entity.path, asks.query.behind(cursor));
    Ok(answer.respond(&asks.headers, link))
}

/// The first page of a list, as it is asked for most.
///
/// # Errors
/// The database's, which are logged.
pub(super) async fn first_page(api: &Api, entity: &'static Entity) -> Result<(), Failure> {
    let Ok(query) = Query::read(None) else { return Ok(()) };
    let Ok(asked) = query.asks(entity) else { return Ok(()) };
    api.cache
        .answer(
            &api.source,
            &Wanted::Page(entity, &asked, query.job()),
            &query.canonical(),
            &Turns::of_nobody(),
        )
        .await
        .map(drop)
}

/// One thing, with all that is known of it.
pub(super) async fn item(entity: &'static Entity, key: String, asks: Asks) -> Response {
    one(entity, &key, &asks).await.unwrap_or_else(Problem::into_response)
}

async fn one(entity: &'static Entity, name: &str, asks: &Asks) -> Result<Response, Problem> {
    allow(&asks.token, entity.role)?;
    let fields = asks.query.fields_of_one(entity)?;
    let Some(key) = query::key(&entity.listing, name) else {
        return Err(Failure::Missing.problem(entity.one));
    };
    let query = format!("/{name}?{}", asks.query.canonical());
    let answer = asks.answer(&Wanted::One(entity, &key, &fields), &query).await?;
    Ok(answer.respond(&asks.headers, str::to_owned))
}
