//! The gate of a limited rate: it lets so many starts through in a time as are this worker's share.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use shared::limit::Rate;

use crate::engine::clock::BootInstant;

/// How soon tokens are asked for again after there were none.
const SHORTEST_REST: Duration = Duration::from_millis(50);
const LONGEST_REST: Duration = Duration::from_secs(1);

/// The right to start one task under a limited rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Permit {
    /// When it comes too late; never for a rate that is not strict.
    pub until: Option<BootInstant>,
}

impl Permit {
    /// Whether the task may still start.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.until.is_none_or(|until| !until.is_past())
    }
}

/// The gate of one key.
#[derive(Debug)]
pub struct Gate {
    rate: Rate,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// This worker's share is let through.
    Shared {
        share: f64,
        /// Absent while the share is nothing.
        limiter: Option<DefaultDirectRateLimiter>,
        /// Permits that came back.
        unused: u32,
    },
    /// Tokens of the database are.
    Strict {
        tokens: VecDeque<Token>,
        /// How many more are asked for.
        wanted: usize,
        /// None is asked for before: there were none.
        again: BootInstant,
    },
}

/// A token that the database gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Token {
    /// Not to be used earlier.
    pub from: BootInstant,
    /// Nor later.
    pub until: BootInstant,
}

impl Gate {
    /// A gate that lets nothing through yet.
    #[must_use]
    pub fn new(rate: Rate, strict: bool) -> Self {
        let state = if strict {
            State::Strict { tokens: VecDeque::new(), wanted: 0, again: BootInstant::now() }
        } else {
            State::Shared { share: 0.0, limiter: None, unused: 0 }
        };
        Self { rate, state: Mutex::new(state) }
    }

    /// The fleet's rate.
    #[must_use]
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// Whether it asks the database.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        matches!(*self.lock(), State::Strict { .. })
    }

    /// Lets another share of the rate through from now on, 0 to 1. What was saved up before is not taken along.
    pub fn set_share(&self, now: f64) {
        if let State::Shared { share, limiter, unused } = &mut *self.lock()
            && (*share - now).abs() > f64::EPSILON
        {
            *share = now;
            *unused = 0;
            *limiter = limiter_of(self.rate, now);
        }
    }

    /// Takes a permit, or says how soon there can be one; `None` when that is not known.
    pub fn take(&self) -> Result<Permit, Option<Duration>> {
        match &mut *self.lock() {
            State::Shared { unused, .. } if *unused > 0 => {
                *unused -= 1;
                Ok(Permit { until: None })
            }
            State::Shared { limiter: Some(limiter), .. } => match limiter.check() {
                Ok(()) => Ok(Permit { until: None }),
                Err(not_until) => Err(Some(not_until.wait_time_from(DefaultClock::default().now()))),
            },
            State::Shared { limiter: None, .. } => Err(None),
            State::Strict { tokens, wanted, again } => {
                while tokens.front().is_some_and(|token| token.until.is_past()) {
                    tokens.pop_front();
                }
                match tokens.front() {
                    Some(token) if token.from.is_past() => {
                        let until = Some(token.until);
                        tokens.pop_front();
                        Ok(Permit { until })
                    }
                    Some(token) => Err(Some(token.from.remaining())),
                    None if !again.is_past() => Err(Some(again.remaining())),
                    None => {
                        *wanted = (*wanted).max(1);
                        Err(None)
                    }
                }
            }
        }
    }

    /// Takes a permit back that was not used.
    pub fn give_back(&self, permit: Permit) {
        match (&mut *self.lock(), permit.until) {
            (State::Shared { unused, .. }, None) => *unused = (*unused + 1).min(self.rate.burst),
            (State::Strict { tokens, .. }, Some(until)) => {
                tokens.push_front(Token { from: BootInstant::now(), until });
            }
            _ => {}
        }
    }

    /// How many tokens are asked for; none of a rate that is not strict.
    #[must_use]
    pub fn wanted(&self) -> usize {
        match &*self.lock() {
            State::Strict { wanted, tokens, .. } if tokens.is_empty() => *wanted,
            _ => 0,
        }
    }

    /// Asks for tokens.
    pub fn want(&self, tokens: usize) {
        if let State::Strict { wanted, .. } = &mut *self.lock() {
            *wanted = tokens;
        }
    }

    /// Takes tokens in that were asked for. Where there were none, all that are good soon have been given to others.
    pub fn supply(&self, new: Vec<Token>) {
        if let State::Strict { tokens, wanted, again } = &mut *self.lock() {
            if new.is_empty() {
                let period = Duration::try_from_secs_f64(1.0 / self.rate.per_second).unwrap_or(LONGEST_REST);
                *again = BootInstant::from_now(period.clamp(SHORTEST_REST, LONGEST_REST));
            }
            tokens.extend(new);
            *wanted = 0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics between a lock and its release.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A limiter that begins empty: whoever had this share before may have used up what a pause allows.
fn limiter_of(rate: Rate, share: f64) -> Option<DefaultDirectRateLimiter> {
    let period = Duration::try_from_secs_f64(1.0 / (rate.per_second * share)).ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of what 32 bits hold"
    )]
    let burst = NonZeroU32::new((f64::from(rate.burst) * share) as u32).unwrap_or(NonZeroU32::MIN);
    let limiter = RateLimiter::direct(Quota::with_period(period)?.allow_burst(burst));
    _ = limiter.check_n(burst);
    Some(limiter)
}
