//! How many requests a token may make.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use uuid::Uuid;

use super::problem::Problem;
use crate::access::Holder;
use crate::db::api_token::Token;

/// How often tokens that have their whole quota are forgotten.
const FORGET: Duration = Duration::from_mins(1);

type Limiter = RateLimiter<Uuid, DefaultKeyedStateStore<Uuid>, DefaultClock, StateInformationMiddleware>;

/// The pace of each token, in this process.
pub struct Paces {
    persons: Class,
    machines: Class,
}

struct Class {
    limiter: Limiter,
    most: NonZeroU32,
}

/// What is left to a token, for the headers of the answer.
pub struct Pace {
    most: u32,
    left: u32,
}

impl Paces {
    /// So many requests a minute of a person's token, and of a machine's.
    #[must_use]
    pub fn new(persons: NonZeroU32, machines: NonZeroU32) -> Self {
        let class =
            |most| Class { limiter: RateLimiter::keyed(Quota::per_minute(most)).with_middleware(), most };
        Self { persons: class(persons), machines: class(machines) }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// The token has made too many; the answer says when to come again.
    pub fn count(&self, token: &Token) -> Result<Pace, (Pace, Problem)> {
        let Class { limiter, most } = match token.holder {
            Holder::Person => &self.persons,
            Holder::Machine => &self.machines,
        };
        match limiter.check_key(&token.id) {
            Ok(state) => Ok(Pace { most: most.get(), left: state.remaining_burst_capacity() }),
            Err(not_until) => {
                let wait = not_until.wait_time_from(DefaultClock::default().now());
                let seconds = wait.as_secs_f64().ceil().max(1.0);
                let why = format!("a {}'s token may make {most} requests a minute", token.holder);
                let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, why);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "1 to 60 seconds"
                )]
                let problem = problem.retry_after(seconds as u64);
                Err((Pace { most: most.get(), left: 0 }, problem))
            }
        }
    }

    /// Forgets now and then what need not be remembered.
    pub async fn tidy(&self) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(FORGET).await;
            self.persons.limiter.retain_recent();
            self.machines.limiter.retain_recent();
        }
    }
}

impl Pace {
    /// Says how many requests a minute are allowed, and how many could be made at once now
    /// (draft-ietf-httpapi-ratelimit-headers, as most services send them).
    pub fn tell(&self, headers: &mut HeaderMap) {
        headers.insert("ratelimit-limit", HeaderValue::from(self.most));
        headers.insert("ratelimit-remaining", HeaderValue::from(self.left));
        // A whole quota comes back in a minute, evenly.
        let reset = (u64::from(self.most - self.left) * 60).div_ceil(u64::from(self.most));
        headers.insert("ratelimit-reset", HeaderValue::from(reset));
    }
}
