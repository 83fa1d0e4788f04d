//! How many requests a token may make.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, StatusCode};
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use shared::access::Holder;
use shared::db::api_token::Token;
use uuid::Uuid;

use super::problem::Problem;

/// Requests a minute of a person's token: more than hands can make.
const OF_PERSONS: NonZeroU32 = NonZeroU32::new(60).expect("more than none");
/// Requests a minute of a machine's token; each may carry 500 tasks.
const OF_MACHINES: NonZeroU32 = NonZeroU32::new(6000).expect("more than none");
/// How often tokens that have their whole quota are forgotten.
const FORGET: Duration = Duration::from_mins(1);

type Limiter = RateLimiter<Uuid, DefaultKeyedStateStore<Uuid>, DefaultClock, StateInformationMiddleware>;

/// The pace of each token, in this process.
pub(super) struct Paces {
    persons: Limiter,
    machines: Limiter,
}

impl Default for Paces {
    fn default() -> Self {
        let limiter = |quota| RateLimiter::keyed(Quota::per_minute(quota)).with_middleware();
        Self { persons: limiter(OF_PERSONS), machines: limiter(OF_MACHINES) }
    }
}

/// What is left to a token, for the headers of the answer.
pub(super) struct Pace {
    most: u32,
    left: u32,
}

impl Paces {
    /// Counts a request.
    ///
    /// # Errors
    /// The token has made too many; the answer says when to come again.
    pub(super) fn count(&self, token: &Token) -> Result<Pace, (Pace, Problem)> {
        let (limiter, most) = match token.holder {
            Holder::Person => (&self.persons, OF_PERSONS),
            Holder::Machine => (&self.machines, OF_MACHINES),
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
    pub(super) async fn tidy(&self) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(FORGET).await;
            self.persons.retain_recent();
            self.machines.retain_recent();
        }
    }
}

impl Pace {
    /// Says how many requests a minute are allowed, and how many could be made at once now
    /// (draft-ietf-httpapi-ratelimit-headers, as most services send them).
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        headers.insert("ratelimit-limit", HeaderValue::from(self.most));
        headers.insert("ratelimit-remaining", HeaderValue::from(self.left));
        // A whole quota comes back in a minute, evenly.
        let reset = (u64::from(self.most - self.left) * 60).div_ceil(u64::from(self.most));
        headers.insert("ratelimit-reset", HeaderValue::from(reset));
    }
}
