//! The reading half of the HTTP interface: `/api/v1`, every GET. What can be read is described by constants ([`entities`]); how it is
//! asked for ([`query`]), kept ([`cache`]) and answered ([`read`], [`answer`]) is the same for all of it.

pub mod cache;
pub mod entities;
pub mod source;

mod answer;
mod entity;
mod openapi;
mod query;
mod read;
mod report_file;
mod summary;
mod summary_schema;
mod turns;
mod wanted;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use shared::http::pace::Paces;
use shared::http::tokens::Tokens;
use shared::http::traced::traced;
use shared::http::{self, Gate, Problem, TrustedProxies, caller};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use utoipa_swagger_ui::SwaggerUi;

pub use entity::{Entity, Kept, Lasting};
pub use openapi::{described, merged};

use cache::Cache;
use source::Source;
use turns::Turns;

/// How long a request may take, waiting for its turn included.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// Requests that are answered at once; others wait for their turn within their time.
const PLACES: usize = 64;
/// How long a good token is remembered: so long may a revoked one be used.
const REMEMBERED: Duration = Duration::from_secs(5);
/// The longest path with its query, in bytes.
const LONGEST_URL: usize = 8 * 1024;

/// How many requests a minute the tokens of a class may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// A person's.
    pub person: NonZeroU32,
    /// A machine's.
    pub machine: NonZeroU32,
}

impl Default for Pace {
    /// A page of a portal makes a dozen requests, and a person opens some in a minute; a machine polls.
    fn default() -> Self {
        const PERSON: NonZeroU32 = NonZeroU32::new(600).expect("more than none");
        const MACHINE: NonZeroU32 = NonZeroU32::new(6_000).expect("more than none");
        Self { person: PERSON, machine: MACHINE }
    }
}

/// What all handlers share.
#[derive(Clone)]
pub struct Api {
    source: Arc<Source>,
    cache: Arc<Cache>,
    gate: Gate,
    turns: Turns,
}

impl Api {
    /// Reads from `source`, of whose connections one token may use half, keeps in `cache`, and answers tokens at a pace.
    #[must_use]
    pub fn new(
        source: Source,
        cache: Cache,
        pace: Pace,
        trusted: TrustedProxies,
        connections: usize,
    ) -> Self {
        let tokens = Tokens::remembered(REMEMBERED);
        let paces = Paces::new(pace.person, pace.machine);
        let gate = Gate::new(source.servers(), tokens, paces, trusted, PLACES);
        Self { source: Arc::new(source), cache: Arc::new(cache), gate, turns: Turns::new(connections / 2) }
    }

    /// Where it reads.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Forgets now and then what need not be remembered.
    pub async fn tidy(&self) -> std::convert::Infallible {
        self.gate.tidy().await
    }

    /// Reads what is asked for first, so that nobody waits for it.
    pub async fn warm(&self) {
        for entity in entities::ALL.iter().filter(|entity| entity.lasting != Lasting::Never) {
            read::first_page(self, entity).await.ok();
        }
        summary::kept(self, &Turns::of_nobody()).await.ok();
    }
}

/// Everything below `/api/v1`.
pub fn router(api: Api) -> Router {
    let mut routes: Router<Api> = Router::new().route("/summary", get(summary::answer));
    for &entity in entities::ALL {
        let list = get(async move |asked: read::Asks| read::list(entity, asked).await);
        routes = routes.route(&format!("/{}", entity.path), list);
        if let Some(key) = entity.item {
            let item = get(async move |name: http::parameters::Path<String>, asked: read::Asks| {
                read::item(entity, name.0, asked).await
            });
            routes = routes.route(&format!("/{}/{{{key}}}", entity.path), item);
        }
    }
    let file = get(async move |path: http::parameters::Path<(String, String)>, asked: read::Asks| {
        let (id, format) = path.0;
        report_file::answer(&id, &format, asked).await
    });
    routes = routes.route("/reports/{id}/{format}", file);
    let compression = CompressionLayer::new().quality(CompressionLevel::Fastest);
    let reads = Router::new()
        .nest("/api/v1", routes)
        // Who has no token makes no spans.
        .layer(middleware::from_fn(traced))
        .layer(middleware::from_fn_with_state(api.gate.clone(), caller::authenticate))
        .layer(middleware::from_fn(bounded))
        .layer(compression)
        .layer(middleware::from_fn(http::observe::measure));
    Router::new()
        .merge(reads)
        .merge(
            SwaggerUi::new("/api/v1/docs").external_url_unchecked("/api/v1/openapi.json", openapi::whole()),
        )
        .fallback(async || http::nothing_here())
        .method_not_allowed_fallback(async || http::not_this_method())
        .with_state(api)
}

/// A request is short, and is answered in time.
async fn bounded(request: Request, next: Next) -> Response {
    let length = request.uri().path_and_query().map_or(0, |url| url.as_str().len());
    if length > LONGEST_URL {
        let why = format!("the path and the query have more than {LONGEST_URL} bytes");
        return Problem::new(StatusCode::URI_TOO_LONG, why).into_response();
    }
    let why = format!("it was not answered within {} s: narrow it, or try again", TIME_LIMIT.as_secs());
    http::in_time(TIME_LIMIT, &why, request, next).await
}
