//! Who calls, and what they may do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::events;
use super::forwarded::TrustedProxies;
use super::lockout::{Claimant, Lockout};
use super::pace::Paces;
use super::problem::Problem;
use super::tokens::Tokens;
use crate::access::{Bearer, Role};
use crate::db::Database;
use crate::db::api_token::Token;
use crate::db::audit::Actor;

/// What stands before the handlers.
#[derive(Clone)]
pub struct Gate {
    /// Where tokens are asked for: each where those before it cannot be used.
    servers: Arc<[Database]>,
    tokens: Arc<Tokens>,
    paces: Arc<Paces>,
    lockout: Arc<Lockout>,
    trusted: Arc<TrustedProxies>,
    /// Requests that are answered at once; others wait for their turn within their time.
    places: Arc<Semaphore>,
}

impl Gate {
    /// A gate that lets so many requests in at once. Tokens are asked for on the first of the servers that can be used. Whoever comes by way
    /// of a trusted gateway is told apart by the address that it names.
    #[must_use]
    pub fn new(
        servers: Vec<Database>,
        tokens: Tokens,
        paces: Paces,
        trusted: TrustedProxies,
        at_once: usize,
    ) -> Self {
        Self {
            servers: servers.into(),
            tokens: Arc::new(tokens),
            paces: Arc::new(paces),
            lockout: Arc::default(),
            trusted: Arc::new(trusted),
            places: Arc::new(Semaphore::new(at_once)),
        }
    }

    /// Forgets now and then what need not be remembered.
    pub async fn tidy(&self) -> std::convert::Infallible {
        self.paces.tidy().await
    }
}

/// Lets those through who show a good token and keep its pace; the handlers find the [`Token`] in the request.
pub async fn authenticate(
    State(gate): State<Gate>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    // Never closed, so there is always a place in the end.
    let _place = gate.places.acquire().await;
    let token = match good_token(&gate, address, request.headers()).await {
        Ok(token) => token,
        Err(problem) => return problem.into_response(),
    };
    let (pace, mut response) = match gate.paces.count(&token) {
        Ok(pace) => {
            request.extensions_mut().insert(token);
            (pace, next.run(request).await)
        }
        Err((pace, problem)) => (pace, problem.into_response()),
    };
    pace.tell(response.headers_mut());
    response
}

async fn good_token(gate: &Gate, address: SocketAddr, headers: &HeaderMap) -> Result<Token, Denied> {
    // Without a token nobody guesses one.
    let bearer = bearer(headers).map_err(Denied::unknown)?;
    // Whoever guesses from behind the same gateway does not lock out who has it already.
    if let Some(token) = gate.tokens.remembers(&bearer) {
        return Ok(token);
    }
    let client = gate.trusted.client(address.ip(), headers);
    let claimant: Claimant = (client, bearer.id);
    if let Some(wait) = gate.lockout.remaining(&claimant, Instant::now()) {
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many requests with a wrong token");
        return Err(Denied { problem: problem.retry_after(wait.as_secs().max(1)), challenge: false });
    }
    let found = gate.tokens.good(&gate.servers, &bearer).await;
    let found = found.map_err(|error| Denied { problem: error.into(), challenge: false })?;
    if let Some(token) = found {
        gate.lockout.succeeded(&claimant);
        return Ok(token);
    }
    gate.lockout.failed(claimant, Instant::now());
    events::denied(client, bearer.id);
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
pub struct Operator(pub Token);

/// A caller whose role is admin.
pub struct Admin(pub Token);

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
    allow(token, needed)?;
    Ok(token.clone())
}

/// Whether a token's role suffices.
///
/// # Errors
/// It does not.
pub fn allow(token: &Token, needed: Role) -> Result<(), Problem> {
    if token.role < needed {
        let why = format!("the token {:?} has the role {}, {needed} is needed", token.name, token.role);
        return Err(Problem::new(StatusCode::FORBIDDEN, why));
    }
    Ok(())
}

/// The holder of a token, for the audit.
#[must_use]
pub fn actor(token: &Token) -> Actor {
    Actor { name: token.name.clone(), token: Some(token.id) }
}
