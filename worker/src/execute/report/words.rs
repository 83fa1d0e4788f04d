//! How figures are written for people. What cannot be said is a dash.

use chrono::{DateTime, NaiveDate, Utc};
use shared::compliance::Answer;
use shared::task::Outcome;
use shared::terminal;

use super::document::Tone;

/// A text is cut after so many characters: its beginning says what happened.
const LONGEST: usize = 500;

/// Nothing that could be said.
pub(super) const NONE: &str = "–";

/// A share such as `98.2 %`; only what is all is 100 %.
pub(super) fn percent(share: Option<f64>) -> String {
    let Some(share) = share else { return NONE.to_owned() };
    let shown = (1000.0 * share).round() / 10.0;
    if shown >= 100.0 && share < 1.0 { "99.9 %".to_owned() } else { format!("{shown:.1} %") }
}

/// What a share was before.
pub(super) fn before(share: Option<f64>) -> String {
    share.map_or_else(|| "nothing before".to_owned(), |_| format!("before: {}", percent(share)))
}

/// A size.
pub(super) fn bytes(bytes: u64) -> String {
    terminal::bytes(i64::try_from(bytes).unwrap_or(i64::MAX))
}

/// A size that is a sum or a mean.
pub(super) fn size(size: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it saturates, and sizes are positive"
    )]
    let whole = size.max(0.0) as u64;
    bytes(whole)
}

/// A length of time in its two largest units.
pub(super) fn seconds(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds else { return NONE.to_owned() };
    if seconds < 10.0 {
        return format!("{seconds:.2} s");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "no length of time comes near the limits"
    )]
    let whole = seconds.round().max(0.0) as u64;
    let (days, hours, minutes, rest) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60, whole % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest} s"),
        (0, 0, _) => format!("{minutes} min {rest} s"),
        (0, ..) => format!("{hours} h {minutes} min"),
        (..) => format!("{days} d {hours} h"),
    }
}

/// The time from a moment until another one.
pub(super) fn between(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    seconds(Some((to - from).as_seconds_f64().max(0.0)))
}

/// A moment to the minute; reports are in UTC.
pub(super) fn moment(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M").to_string()
}

/// A day.
pub(super) fn day(day: NaiveDate) -> String {
    day.format("%Y-%m-%d").to_string()
}

/// A number of things with their name: `1 job`, `3 jobs`.
pub(super) fn count(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// As [`count`].
pub(super) fn count64(number: u64, one: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), one)
}

/// Not too long, and on one line.
pub(super) fn short(text: &str) -> String {
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = line.clone().take(LONGEST).collect();
    if line.count() > LONGEST {
        short.push('…');
    }
    short
}

/// How an answer is.
pub(super) const fn of_answer(answer: Answer) -> Tone {
    match answer {
        Answer::Pass => Tone::Good,
        Answer::Warning | Answer::Unknown => Tone::Warn,
        Answer::Fail => Tone::Bad,
    }
}

/// How an outcome is.
pub(super) const fn of_outcome(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Success => Tone::Good,
        Outcome::Warning | Outcome::Cancelled => Tone::Warn,
        Outcome::Failed | Outcome::TimedOut | Outcome::Lost => Tone::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_almost_all_is_not_all() {
        assert_eq!(percent(Some(0.9999)), "99.9 %");
        assert_eq!(percent(Some(1.0)), "100.0 %");
        assert_eq!(percent(None), NONE);
    }

    #[test]
    fn lengths_of_time_have_two_units_at_most() {
        let written = [0.5, 59.6, 119.0, 7_260.0, 90_000.0].map(|length| seconds(Some(length)));
        assert_eq!(written, ["0.50 s", "1 min 0 s", "1 min 59 s", "2 h 1 min", "1 d 1 h"]);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let short = short(&"ä\n".repeat(400));
        assert!(short.chars().count() == LONGEST + 1 && !short.contains('\n'));
    }
}
