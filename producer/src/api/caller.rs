//! Who calls, and what they may do.

use std::net::SocketAddr;
use std::time::Instant;

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use shared::access::{Bearer, Role};
use shared::db::api_token::{self, Token};

use super::Api;
use super::lockout::Claimant;
use super::problem::Problem;
use crate::events;
use crate::operations::Actor;

/// Lets those through who show a good token and keep its pace; the handlers find the [`Token`] in the request.
pub(super) async fn authenticate(
    State(api): State<Api>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    // Never closed, so there is always a place in the end.
    let _place = api.places.acquire().await;
    let token = match good_token(&api, address, request.headers()).await {
        Ok(token) => token,
        Err(problem) => return problem.into_response(),
    };
    let (pace, mut response) = match api.paces.count(&token) {
        Ok(pace) => {
            request.extensions_mut().insert(token);
            (pace, next.run(request).await)
        }
        Err((pace, problem)) => (pace, problem.into_response()),
    };
    pace.tell(response.headers_mut());
    response
}

async fn good_token(api: &Api, address: SocketAddr, headers: &HeaderMap) -> Result<Token, Denied> {
    // Without a token nobody guesses one.
    let bearer = bearer(headers).map_err(Denied::unknown)?;
    let claimant: Claimant = (address.ip(), bearer.id);
    if let Some(wait) = api.lockout.remaining(&claimant, Instant::now()) {
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many requests with a wrong token");
        return Err(Denied { problem: problem.retry_after(wait.as_secs().max(1)), challenge: false });
    }
    let found = async { api_token::good(&api.database.client().await?, &bearer).await };
    let found = found.await.map_err(|error| Denied { problem: error.into(), challenge: false })?;
    if let Some(token) = found {
        api.lockout.succeeded(&claimant);
        return Ok(token);
    }
    api.lockout.failed(claimant, Instant::now());
    events::denied(address.ip(), bearer.id);
    Err(Denied::unknown("the token is not good: it is unknown, revoked or expired"))
}

fn bearer(headers: &HeaderMap) -> Result<Bearer, &'static str> {
    let header = headers.get(AUTHORIZATION).ok_or("a token is needed: send Authorization: Bearer TOKEN")?;
    let text = header.to_str().unwrap_or_default();
    let (scheme, token) = text.split_once(' ').unwrap_or_default();
    let token = if scheme.eq_ignore_ascii_case("bearer") { token.trim() } else { "" };
    token.parse().map_err(|_| "Authorization: it is no token; `producer token create` makes one")
}

/// An answer to somebody without a good token.
struct Denied {
    problem: Problem,
    /// Whether a token would help.
    challenge: bool,
}

impl Denied {
    fn unknown(why: &str) -> Self {
        Self { problem: Problem::new(StatusCode::UNAUTHORIZED, why), challenge: true }
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let mut response = self.problem.into_response();
        if self.challenge {
            let challenge = HeaderValue::from_static("Bearer realm=\"holdfast\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// A caller whose role is operator at least.
pub(super) struct Operator(pub(super) Token);

/// A caller whose role is admin.
pub(super) struct Admin(pub(super) Token);

impl<S: Sync> FromRequestParts<S> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        with_role(parts, Role::Operator).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        with_role(parts, Role::Admin).map(Self)
    }
}

fn with_role(parts: &Parts, needed: Role) -> Result<Token, Problem> {
    let Some(token) = parts.extensions.get::<Token>() else {
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "a token is needed"));
    };
    if token.role < needed {
        let why = format!("the token {:?} has the role {}, {needed} is needed", token.name, token.role);
        return Err(Problem::new(StatusCode::FORBIDDEN, why));
    }
    Ok(token.clone())
}

/// The holder of a token, for the audit.
pub(super) fn actor(token: &Token) -> Actor {
    Actor { name: token.name.clone(), token: Some(token.id) }
}
