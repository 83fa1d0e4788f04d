//! What came of an attempt to deliver, and when there is another one.

use std::time::Duration;

use shared::db::delivery::Outcome;

/// How long the first rest is.
const FIRST_REST: Duration = Duration::from_secs(30);
/// How long the longest one is, and what a receiver may ask for at most.
const LONGEST_REST: Duration = Duration::from_hours(1);
/// After this time nothing is tried any more: whatever was to be told is stale.
const GIVEN_UP_AFTER: Duration = Duration::from_hours(24);
/// By how much of itself a rest may be longer, so that what failed together is not tried together.
const JITTER: f64 = 0.25;
/// The longest error that is stored, in characters.
const LONGEST_ERROR: usize = 500;

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Attempted {
    /// In a word.
    pub(super) outcome: Outcome,
    /// The code of the answer.
    pub(super) status: Option<u16>,
    /// Why it was not delivered.
    pub(super) error: Option<String>,
    /// How long the receiver wants to be left alone.
    pub(super) retry_after: Option<Duration>,
}

impl Attempted {
    pub(super) const fn delivered(status: u16) -> Self {
        Self { outcome: Outcome::Delivered, status: Some(status), error: None, retry_after: None }
    }

    /// Another attempt may succeed.
    pub(super) fn failed(why: impl Into<String>) -> Self {
        Self::not(Outcome::Failed, why)
    }

    /// No other attempt will.
    pub(super) fn refused(why: impl Into<String>) -> Self {
        Self::not(Outcome::Refused, why)
    }

    fn not(outcome: Outcome, why: impl Into<String>) -> Self {
        let error = super::message::shortened(&super::message::one_line(&why.into()), LONGEST_ERROR);
        Self { outcome, status: None, error: Some(error), retry_after: None }
    }

    /// With the code of the answer.
    pub(super) fn with_status(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }

    /// After what time the next attempt begins; `None` when there is none. `age` is how long ago the first one began, and
    /// `chance` a number from 0 to 1.
    pub(super) fn again(&self, attempt: i32, age: Duration, chance: f64) -> Option<Duration> {
        match self.outcome {
            Outcome::Delivered | Outcome::Refused => None,
            Outcome::Failed => {
                let rest = rest(attempt, chance).max(self.retry_after.unwrap_or_default());
                let rest = rest.min(LONGEST_REST);
                (age + rest < GIVEN_UP_AFTER).then_some(rest)
            }
        }
    }
}

/// 30 s after the first attempt, then twice as long each time, up to an hour; with jitter.
fn rest(attempt: i32, chance: f64) -> Duration {
    let doublings = u32::try_from(attempt - 1).unwrap_or(0).min(10);
    let rest = FIRST_REST.saturating_mul(1 << doublings);
    rest.mul_f64(1.0 + JITTER * chance).min(LONGEST_REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn rests_double_from_half_a_minute_to_an_hour_and_are_spread() {
        let failed = Attempted::failed("no answer");
        let rests: Vec<u64> =
            (1..=9).map(|attempt| failed.again(attempt, NOW, 0.0).unwrap().as_secs()).collect();
        assert_eq!(rests, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(failed.again(2, NOW, 1.0), Some(Duration::from_secs(75)));
        assert_eq!(failed.again(i32::MAX, NOW, 1.0), Some(LONGEST_REST));
    }

    #[test]
    fn a_receiver_may_ask_for_a_longer_rest_but_not_for_ever() {
        let asking = |seconds| Attempted {
            retry_after: Some(Duration::from_secs(seconds)),
            ..Attempted::failed("answered 429")
        };
        assert_eq!(asking(200).again(1, NOW, 0.0), Some(Duration::from_secs(200)));
        assert_eq!(asking(1).again(1, NOW, 0.0), Some(FIRST_REST));
        assert_eq!(asking(1_000_000).again(1, NOW, 0.0), Some(LONGEST_REST));
    }

    #[test]
    fn what_is_refused_and_what_failed_for_a_day_is_given_up() {
        assert_eq!(Attempted::refused("answered 404").again(1, NOW, 0.0), None);
        assert_eq!(Attempted::delivered(200).again(1, NOW, 0.0), None);
        let failed = Attempted::failed("no answer");
        assert!(failed.again(30, Duration::from_hours(22), 0.0).is_some());
        assert_eq!(failed.again(30, Duration::from_hours(23), 0.0), None);
    }

    #[test]
    fn an_error_is_stored_on_one_line_of_bounded_length() {
        let error = Attempted::failed(format!("a\nb{}", "x".repeat(1000))).error.unwrap();
        assert!(error.starts_with("a b") && error.chars().count() == LONGEST_ERROR, "{error}");
    }
}
