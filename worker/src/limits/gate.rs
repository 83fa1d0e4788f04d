//! The gate of a limited rate: it lets so many starts through in a time as are this worker's share.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use shared::limit::Rate;

use crate::engine::clock::BootInstant;

/// How soon tokens are asked for again after there were none.
const SHORTEST_REST: Duration = Duration::from_millis(50);
const LONGEST_REST: Duration = Duration::from_secs(1);

/// The right to start one task under a limited rate. One that is dropped goes back to its gate, and [`Permit::spend`] uses it.
#[derive(Debug)]
pub struct Permit {
    /// Absent once it is used.
    gate: Option<Arc<Gate>>,
    /// When it comes too late; never for a rate that is not strict.
    until: Option<BootInstant>,
}

impl Permit {
    /// One that comes too late for whatever it is wanted.
    #[must_use]
    pub const fn expired() -> Self {
        Self { gate: None, until: Some(BootInstant::from_nanos(0)) }
    }

    /// Whether the task may still start.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.until.is_none_or(|until| !until.is_past())
    }

    /// Uses it: its task starts.
    pub fn spend(mut self) {
        self.gate = None;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.take() {
            gate.give_back(self.until);
        }
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
        /// When the others stop counting on this worker: nothing is let through from then on.
        until: BootInstant,
        /// Absent while the share is nothing.
        limiter: Option<DefaultDirectRateLimiter>,
        /// Permits that came back.
        unused: u32,
        /// When the last permit was given.
        last: BootInstant,
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
            let now = BootInstant::now();
            State::Shared { share: 0.0, until: now, limiter: None, unused: 0, last: now }
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

    /// Lets a share of the rate through, 0 to 1, until some moment. Of what was saved up under another share only one start is
    /// taken along, or slow rates would never come to one.
    pub fn set_share(&self, now: f64, good_until: BootInstant) {
        if let State::Shared { share, until, limiter, unused, last } = &mut *self.lock() {
            *until = good_until;
            if (*share - now).abs() > f64::EPSILON {
                *share = now;
                *limiter = limiter_of(self.rate, now);
                let period = Duration::try_from_secs_f64(1.0 / (self.rate.per_second * now));
                *unused = u32::from(period.is_ok_and(|period| last.after(period).is_past()));
            }
        }
    }

    /// Takes a permit, or says how soon there can be one; `None` when that is not known.
    ///
    /// # Errors
    /// There is none now.
    pub fn take(self: &Arc<Self>) -> Result<Permit, Option<Duration>> {
        let permit = |until| Permit { gate: Some(self.clone()), until };
        match &mut *self.lock() {
            State::Shared { until, .. } if until.is_past() => Err(None),
            State::Shared { unused, last, .. } if *unused > 0 => {
                (*unused, *last) = (*unused - 1, BootInstant::now());
                Ok(permit(None))
            }
            State::Shared { limiter: Some(limiter), last, .. } => match limiter.check() {
                Ok(()) => {
                    *last = BootInstant::now();
                    Ok(permit(None))
                }
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
                        Ok(permit(until))
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

    fn give_back(&self, until: Option<BootInstant>) {
        match (&mut *self.lock(), until) {
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn gate(per_second: f64, burst: u32, strict: bool) -> Arc<Gate> {
        Arc::new(Gate::new(Rate { per_second, burst }, strict))
    }

    fn in_an_hour() -> BootInstant {
        BootInstant::from_now(HOUR)
    }

    /// The next permit, however long it takes.
    fn next(gate: &Arc<Gate>) -> Permit {
        loop {
            match gate.take() {
                Ok(permit) => return permit,
                Err(wait) => std::thread::sleep(wait.unwrap_or(Duration::from_millis(1))),
            }
        }
    }

    #[test]
    fn a_share_lets_nothing_through_before_it_is_known_and_after_its_end() {
        let gate = gate(1e6, 100, false);
        assert_eq!(gate.take().unwrap_err(), None);
        gate.set_share(1.0, in_an_hour());
        drop(next(&gate));
        gate.set_share(1.0, BootInstant::now());
        assert_eq!(gate.take().unwrap_err(), None);
        gate.set_share(0.0, in_an_hour());
        assert_eq!(gate.take().unwrap_err(), None);
    }

    #[test]
    fn a_share_begins_empty_and_never_lets_more_through_than_its_part() {
        let gate = gate(2000.0, 200, false);
        let began = Instant::now();
        gate.set_share(0.25, in_an_hour());
        let mut starts = 0.0;
        while began.elapsed() < Duration::from_millis(300) {
            match gate.take() {
                Ok(permit) => {
                    permit.spend();
                    starts += 1.0;
                }
                Err(wait) => assert!(wait.is_some_and(|wait| wait <= Duration::from_millis(2)), "{wait:?}"),
            }
        }
        let allowed = 0.25 * 2000.0 * began.elapsed().as_secs_f64();
        assert!(starts >= 1.0 && starts <= allowed + 1.0, "{starts} of {allowed}");
    }

    #[test]
    fn a_permit_that_is_not_spent_goes_back_and_one_that_is_spent_does_not() {
        let shared = gate(1000.0, 1, false);
        shared.set_share(1.0, in_an_hour());
        let permit = next(&shared);
        // From now on none comes by itself.
        shared.set_share(1e-9, in_an_hour());
        while let Ok(more) = shared.take() {
            more.spend();
        }
        let strict = gate(1000.0, 1, true);
        strict.supply(vec![Token { from: BootInstant::now(), until: in_an_hour() }]);
        for (gate, permit) in [(&shared, permit), (&strict, strict.take().unwrap())] {
            assert!(gate.take().is_err());
            drop(permit);
            gate.take().unwrap().spend();
            assert!(gate.take().is_err());
        }
    }

    #[test]
    fn of_what_was_saved_up_another_share_takes_one_start_along_at_most() {
        let gate = gate(1000.0, 50, false);
        gate.set_share(1.0, in_an_hour());
        let permits: Vec<Permit> = (0..10).map(|_| next(&gate)).collect();
        drop(permits);
        std::thread::sleep(Duration::from_millis(2));
        gate.set_share(1e-9, in_an_hour());
        let mut starts = 0;
        while let Ok(permit) = gate.take() {
            permit.spend();
            starts += 1;
        }
        assert!(starts <= 1, "{starts}");
    }

    #[test]
    fn a_strict_gate_asks_for_tokens_and_uses_each_in_its_time() {
        let gate = gate(100.0, 100, true);
        assert_eq!(gate.wanted(), 0);
        assert_eq!(gate.take().unwrap_err(), None);
        assert_eq!(gate.wanted(), 1);
        gate.want(3);
        assert_eq!(gate.wanted(), 3);

        let now = BootInstant::now();
        gate.supply(vec![
            Token { from: now, until: now },
            Token { from: now, until: in_an_hour() },
            Token { from: in_an_hour(), until: in_an_hour() },
        ]);
        assert_eq!(gate.wanted(), 0);
        let permit = gate.take().unwrap();
        assert!(permit.is_valid());
        let wait = gate.take().unwrap_err().unwrap();
        assert!(wait > HOUR / 2, "{wait:?}");
    }

    #[test]
    fn after_there_were_no_tokens_none_is_asked_for_until_there_can_be_one() {
        let gate = gate(2.0, 2, true);
        assert!(gate.take().is_err());
        gate.supply(Vec::new());
        let wait = gate.take().unwrap_err().unwrap();
        assert!(wait <= Duration::from_millis(500), "{wait:?}");
        assert_eq!(gate.wanted(), 0);
    }
}
